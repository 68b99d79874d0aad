/* The store: put, patch, get, and finding what a path names. */
#include "vm/control/metadata.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "vm/control/metadata_internal.h"

#define MAX_PATCH_DEPTH 4096 /* more than the JSON parser reads */
#define MAX_FILE_SIZE (64 << 20)

struct metadata *metadata_create(size_t limit, struct metrics_mmds *counters)
{
    struct metadata *metadata = memory_allocate(1, sizeof *metadata);
    metadata->limit = limit;
    metadata->counters = counters;
    return metadata;
}

void metadata_destroy(struct metadata *metadata)
{
    if (metadata)
        json_decref(metadata->content);
    free(metadata);
}

void metadata_configure(struct metadata *metadata, const struct metadata_settings *settings)
{
    metadata->version = settings->version;
    metadata->imds_compat = settings->imds_compat;
}

const json_t *metadata_get(const struct metadata *metadata)
{
    return metadata->content;
}

/* Takes the reference. */
static enum metadata_result replace(struct metadata *metadata, json_t *content)
{
    if (json_dumpb(content, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) > metadata->limit) {
        json_decref(content);
        return METADATA_TOO_LARGE;
    }
    json_decref(metadata->content);
    metadata->content = content;
    return METADATA_DONE;
}

enum metadata_result metadata_put(struct metadata *metadata, const json_t *content)
{
    return replace(metadata, json_deep_copy(content));
}

/* RFC 7396, section 2. Takes the reference to target and returns the result's. */
static json_t *merge(json_t *target, const json_t *patch, int depth)
{
    const char *key;
    json_t *value;
    if (!json_is_object(patch) || depth == 0) {
        json_decref(target);
        return json_deep_copy(patch);
    }
    if (!json_is_object(target)) {
        json_decref(target);
        target = json_object();
    }
    json_object_foreach((json_t *)(uintptr_t)patch, key, value)
    {
        if (json_is_null(value))
            json_object_del(target, key);
        else
            json_object_set_new(target, key,
                                merge(json_incref(json_object_get(target, key)), value, depth - 1));
    }
    return target;
}

enum metadata_result metadata_patch(struct metadata *metadata, const json_t *patch)
{
    if (!metadata->content)
        return METADATA_NOT_INITIALIZED;
    return replace(metadata, merge(json_deep_copy(metadata->content), patch, MAX_PATCH_DEPTH));
}

const char *metadata_result_text(enum metadata_result result)
{
    return result == METADATA_TOO_LARGE ? "The MMDS patch request doesn't fit."
                                        : "The MMDS data store is not initialized.";
}

int metadata_load(struct metadata *metadata, const char *path, struct error *err)
{
    size_t length;
    json_error_t where;
    scope_free char *text = file_read_all(AT_FDCWD, path, MAX_FILE_SIZE, &length, err);
    if (!text)
        return error_wrap(err, "Unable to open or read from the mmds content file");
    json_t *content =
        json_loadb(text, length, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    if (!content)
        return error_set(err, 0,
                         "MMDS error: metadata provided not valid json: %s at line %d "
                         "column %d of '%s'",
                         where.text, where.line, where.column, path);
    enum metadata_result result = metadata_put(metadata, content);
    json_decref(content);
    return result == METADATA_DONE ? 0
                                   : error_set(err, 0, "Populating MMDS from file failed: %s",
                                               metadata_result_text(result));
}

/* ---- JSON pointers ---- */

/* One component with ~0 and ~1 undone (RFC 6901, section 4), or NULL if it isn't valid. */
static char *unescape(const char *text, size_t length)
{
    char *result = memory_allocate(length + 1, 1);
    size_t at = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '~' && (i + 1 == length || (text[i + 1] != '0' && text[i + 1] != '1'))) {
            free(result);
            return NULL;
        }
        result[at++] = text[i] != '~' ? text[i] : text[++i] == '0' ? '~' : '/';
    }
    return result;
}

static const json_t *find_element(const json_t *array, const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > 9 || strspn(name, "0123456789") != length ||
        (name[0] == '0' && length > 1))
        return NULL;
    return json_array_get(array, (size_t)strtoul(name, NULL, 10));
}

/* Empty components, of a doubled or trailing slash, don't count. */
const json_t *metadata_find(const json_t *content, const char *path, size_t length)
{
    const char *end = path + length;
    while (content && path < end) {
        const char *slash = memchr(path, '/', (size_t)(end - path));
        size_t size = (size_t)((slash ? slash : end) - path);
        if (size > 0) {
            scope_free char *name = unescape(path, size);
            content = !name                     ? NULL
                      : json_is_object(content) ? json_object_get(content, name)
                      : json_is_array(content)  ? find_element(content, name)
                                                : NULL;
        }
        path += size + (slash != NULL);
    }
    return content;
}

/* ---- tokens ---- */

int metadata_token_make(struct metadata_tokens *tokens, int64_t now, unsigned ttl,
                        struct metadata_token *token)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char random[METADATA_TOKEN_BYTES];
    size_t place = 0;
    if (getrandom(random, sizeof random, GRND_NONBLOCK) != sizeof random)
        return -1;
    for (size_t i = 0; i < sizeof random; i++) {
        token->text[2 * i] = digits[random[i] >> 4];
        token->text[2 * i + 1] = digits[random[i] & 15];
    }
    token->text[2 * sizeof random] = '\0';
    for (size_t i = 1; i < METADATA_MAX_TOKENS; i++) {
        if (tokens->items[i].ends < tokens->items[place].ends)
            place = i;
    }
    tokens->items[place].token = *token;
    tokens->items[place].ends = now + (int64_t)ttl * 1000;
    return 0;
}

bool metadata_token_is_valid(const struct metadata_tokens *tokens, int64_t now, const char *text,
                             size_t length)
{
    bool valid = false;
    if (length != 2 * METADATA_TOKEN_BYTES)
        return false;
    for (size_t i = 0; i < METADATA_MAX_TOKENS; i++) {
        unsigned char difference = 0;
        /* All of it, so that the time doesn't tell how much was right. */
        for (size_t j = 0; j < length; j++)
            difference |= (unsigned char)(text[j] ^ tokens->items[i].token.text[j]);
        valid = valid || (difference == 0 && tokens->items[i].ends > now);
    }
    return valid;
}
