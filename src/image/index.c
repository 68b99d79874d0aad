/* index.json: which manifests the store has, and under which names. */
#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "image/store.h"

json_t *store_index_read(struct image_store *store, struct error *err)
{
    size_t length;
    scope_free char *text = file_read_all(store->fd, "index.json", STORE_SMALL_LIMIT, &length, err);
    if (!text) {
        error_wrap(err, "image store %s", store->directory);
        return NULL;
    }
    json_error_t reason;
    json_t *index = json_loadb(text, length, JSON_REJECT_DUPLICATES, &reason);
    if (!json_is_array(json_object_get(index, "manifests"))) {
        error_set(err, 0,
                  "image store %s: index.json is damaged: %s (restore it, or remove the directory "
                  "to begin anew)",
                  store->directory, index ? "it has no manifests" : reason.text);
        json_decref(index);
        return NULL;
    }
    return index;
}

int store_index_write(struct image_store *store, json_t *index, struct error *err)
{
    scope_free char *text = json_dumps(index, JSON_INDENT(2));
    if (!text)
        return error_set(err, 0, "image store %s: can't write index.json", store->directory);
    struct error reason = {0};
    if (store_replace_file(store, "index.json", text, strlen(text), true, &reason) == 0)
        return 0;
    if ((reason.code == ENOSPC || reason.code == EDQUOT) &&
        unlinkat(store->fd, "reserve", 0) == 0 &&
        store_replace_file(store, "index.json", text, strlen(text), true, &reason) == 0)
        return 0;
    if (err)
        *err = reason;
    return -1;
}

static const char *annotation(const json_t *element, const char *key)
{
    const char *text =
        json_string_value(json_object_get(json_object_get(element, "annotations"), key));
    return text ? text : "";
}

const char *store_index_name(const json_t *element)
{
    return annotation(element, STORE_REF_NAME);
}

const char *store_index_digest(const json_t *element)
{
    const char *digest = json_string_value(json_object_get(element, "digest"));
    return digest && reference_is_digest(digest) ? digest : "";
}

json_t *store_index_find(json_t *index, const char *name)
{
    json_t *element;
    size_t i;
    json_array_foreach(json_object_get(index, "manifests"), i,
                       element) if (strcmp(store_index_name(element), name) == 0) return element;
    return NULL;
}

static size_t count_elements(json_t *manifests, const char *digest)
{
    json_t *element;
    size_t i, count = 0;
    json_array_foreach(manifests, i, element) count +=
        strcmp(store_index_digest(element), digest) == 0;
    return count;
}

void store_index_untag(json_t *index, const char *name)
{
    json_t *manifests = json_object_get(index, "manifests");
    for (size_t i = json_array_size(manifests); i-- > 0;) {
        json_t *element = json_array_get(manifests, i);
        if (strcmp(store_index_name(element), name) != 0)
            continue;
        if (count_elements(manifests, store_index_digest(element)) > 1)
            json_array_remove(manifests, i);
        else
            json_object_del(json_object_get(element, "annotations"), STORE_REF_NAME);
    }
}

/* Whether the element is the one to be kept for its manifest and the name. */
static bool serves(const json_t *element, const char *digest, const char *name)
{
    return strcmp(store_index_digest(element), digest) == 0 &&
           (!name || strcmp(store_index_name(element), name) == 0);
}

void store_index_add(json_t *index, const json_t *descriptor, const char *name)
{
    json_t *manifests = json_object_get(index, "manifests"), *element;
    const char *digest = store_index_digest(descriptor);
    size_t i;
    json_array_foreach(manifests, i, element) if (serves(element, digest, name)) return;
    scope_free char *digests = NULL;
    if (name)
        store_index_untag(index, name);
    /* The first name takes the place of none. */
    json_array_foreach(manifests, i, element)
    {
        if (strcmp(store_index_digest(element), digest) != 0)
            continue;
        if (!digests)
            digests = memory_copy_string(annotation(element, STORE_DIGESTS));
        if (*store_index_name(element) == '\0') {
            json_array_remove(manifests, i);
            break;
        }
    }
    element = json_deep_copy(descriptor);
    json_t *annotations = json_object();
    if (name)
        json_object_set_new(annotations, STORE_REF_NAME, json_string(name));
    if (digests && *digests)
        json_object_set_new(annotations, STORE_DIGESTS, json_string(digests));
    json_object_set_new(element, "annotations", annotations);
    json_array_append_new(manifests, element);
}

void store_index_drop(json_t *index, const char *digest)
{
    json_t *manifests = json_object_get(index, "manifests");
    for (size_t i = json_array_size(manifests); i-- > 0;)
        if (strcmp(store_index_digest(json_array_get(manifests, i)), digest) == 0)
            json_array_remove(manifests, i);
}

static bool has_word(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at++)
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

/* Takes a word out of a text of words, in place. */
static bool drop_word(char *words, const char *word)
{
    size_t length = strlen(word);
    for (char *at = words; (at = strstr(at, word)); at++) {
        bool begins = at == words || at[-1] == ' ';
        char after = at[length];
        if (!begins || (after != ' ' && after != '\0'))
            continue;
        if (after == ' ')
            memmove(at, at + length + 1, strlen(at + length + 1) + 1);
        else
            at[at == words ? 0 : -1] = '\0';
        return true;
    }
    return false;
}

bool store_index_forget_digest(json_t *index, const char *text)
{
    json_t *element;
    size_t i;
    bool found = false;
    json_array_foreach(json_object_get(index, "manifests"), i, element)
    {
        scope_free char *noted = memory_copy_string(annotation(element, STORE_DIGESTS));
        if (!drop_word(noted, text))
            continue;
        found = true;
        json_t *annotations = json_object_get(element, "annotations");
        if (*noted)
            json_object_set_new(annotations, STORE_DIGESTS, json_string(noted));
        else
            json_object_del(annotations, STORE_DIGESTS);
    }
    return found;
}

void store_index_note_digest(json_t *index, const char *digest, const char *text)
{
    json_t *element;
    size_t i;
    json_array_foreach(json_object_get(index, "manifests"), i, element)
    {
        if (strcmp(store_index_digest(element), digest) != 0)
            continue;
        const char *noted = annotation(element, STORE_DIGESTS);
        if (has_word(noted, text))
            continue;
        json_t *annotations = json_object_get(element, "annotations");
        if (!annotations) {
            annotations = json_object();
            json_object_set_new(element, "annotations", annotations);
        }
        json_object_set_new(annotations, STORE_DIGESTS,
                            json_sprintf("%s%s%s", noted, *noted ? " " : "", text));
    }
}

const char *store_index_of_platforms(const json_t *element)
{
    const char *digest = annotation(element, STORE_INDEX);
    return reference_is_digest(digest) ? digest : "";
}

void store_index_set_platforms(json_t *index, const char *digest, const char *name,
                               const char *platforms)
{
    json_t *element;
    size_t i;
    json_array_foreach(json_object_get(index, "manifests"), i, element)
    {
        if (strcmp(store_index_digest(element), digest) != 0 ||
            strcmp(store_index_name(element), name ? name : "") != 0)
            continue;
        json_t *annotations = json_object_get(element, "annotations");
        if (*platforms && !annotations) {
            annotations = json_object();
            json_object_set_new(element, "annotations", annotations);
        }
        if (*platforms)
            json_object_set_new(annotations, STORE_INDEX, json_string(platforms));
        else
            json_object_del(annotations, STORE_INDEX);
    }
}
