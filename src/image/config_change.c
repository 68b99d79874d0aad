/* Instructions of a Dockerfile that change an image's configuration (OCI image-spec, config). */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/quantity.h"
#include "base/scope.h"
#include "image/image.h"

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t\n\v\f\r");
}

/* ["a", "b"], or else a command line for a shell. */
static json_t *parse_command(const char *text)
{
    json_t *list = *text == '[' ? json_loads(text, 0, NULL) : NULL;
    size_t i;
    json_t *word;
    json_array_foreach(list, i, word) if (!json_is_string(word))
    {
        json_decref(list);
        list = NULL;
        break;
    }
    if (json_is_array(list))
        return list;
    json_decref(list);
    return json_pack("[s, s, s]", "/bin/sh", "-c", text);
}

/* The next word; quotes keep blanks together, a backslash takes the next letter as it is. Returns
 * what follows, or NULL at the end. The caller frees *word. */
static const char *next_word(const char *text, char **word)
{
    text = skip_blanks(text);
    if (!*text)
        return NULL;
    char *to = *word = memory_allocate(1, strlen(text) + 1);
    char quote = '\0';
    for (; *text && (quote || !isspace((unsigned char)*text)); text++) {
        if (*text == '\\' && text[1] && quote != '\'')
            *to++ = *++text;
        else if (quote ? *text == quote : *text == '"' || *text == '\'')
            quote = quote ? '\0' : *text;
        else
            *to++ = *text;
    }
    *to = '\0';
    return text;
}

static json_t *member(json_t *object, const char *key, json_t *(*make)(void))
{
    json_t *found = json_object_get(object, key);
    if (found && !json_is_null(found))
        return found;
    found = make();
    json_object_set_new(object, key, found);
    return found;
}

/* -1, as all that follow: a text isn't UTF-8. */
static int set_variable(json_t *list, const char *name, const char *value)
{
    json_t *entry;
    size_t i, length = strlen(name);
    json_t *text = json_sprintf("%s=%s", name, value);
    json_array_foreach(list, i, entry)
    {
        const char *old = json_string_value(entry);
        if (old && strncmp(old, name, length) == 0 && old[length] == '=') {
            return json_array_set_new(list, i, text);
        }
    }
    return json_array_append_new(list, text);
}

static int set_pair(json_t *config, bool label, const char *name, const char *value)
{
    if (label)
        return json_object_set_new(member(config, "Labels", json_object), name, json_string(value));
    return set_variable(member(config, "Env", json_array), name, value);
}

/* ENV and LABEL: "name=value name=value", or the old "name value with blanks". */
static int change_pairs(json_t *config, const char *text, bool label, struct error *err)
{
    bool first = true;
    for (char *next; (text = next_word(text, &next)); first = false) {
        scope_free char *word = next;
        char *equals = strchr(word, '=');
        if (!equals && first && *skip_blanks(text)) {
            return set_pair(config, label, word, skip_blanks(text));
        }
        if (!equals || equals == word)
            return error_set(err, 0, "'%.100s' should be NAME=VALUE", word);
        *equals = '\0';
        if (set_pair(config, label, word, equals + 1) < 0)
            return -1;
    }
    return 0;
}

static int change_ports(json_t *config, const char *text, struct error *err)
{
    json_t *ports = member(config, "ExposedPorts", json_object);
    for (char *next; (text = next_word(text, &next));) {
        scope_free char *word = next;
        unsigned int first, last;
        char protocol[8] = "tcp";
        int used = 0;
        bool range = sscanf(word, "%5u-%5u%n", &first, &last, &used) == 2;
        if (!range && sscanf(word, "%5u%n", &first, &used) == 1)
            last = first;
        else if (!range)
            first = 0;
        if (word[used] == '/')
            snprintf(protocol, sizeof protocol, "%.7s", word + used + 1);
        else if (word[used])
            first = 0;
        if (first == 0 || last > 65535 || last < first ||
            (strcmp(protocol, "tcp") != 0 && strcmp(protocol, "udp") != 0 &&
             strcmp(protocol, "sctp") != 0))
            return error_set(err, 0, "'%.100s' is no port (write it as 80, 53/udp or 8000-8010)",
                             word);
        for (; first <= last; first++) {
            char key[24];
            snprintf(key, sizeof key, "%u/%s", first, protocol);
            json_object_set_new(ports, key, json_object());
        }
    }
    return 0;
}

static int change_volumes(json_t *config, const char *text)
{
    json_t *volumes = member(config, "Volumes", json_object), *path;
    json_t *list = *text == '[' ? json_loads(text, 0, NULL) : NULL;
    size_t i;
    if (json_is_array(list)) {
        int status = 0;
        json_array_foreach(list, i, path) if (json_is_string(path) && status == 0) status =
            json_object_set_new(volumes, json_string_value(path), json_object());
        json_decref(list);
        return status;
    }
    json_decref(list);
    for (char *next; (text = next_word(text, &next));) {
        int status = json_object_set_new(volumes, next, json_object());
        free(next);
        if (status < 0)
            return -1;
    }
    return 0;
}

static const struct {
    const char *flag, *key;
} health_flags[] = {
    {"--interval=", "Interval"},        {"--timeout=", "Timeout"},
    {"--start-period=", "StartPeriod"}, {"--start-interval=", "StartInterval"},
    {"--retries=", "Retries"},
};

static int read_health_flag(json_t *check, const char *word, struct error *err)
{
    for (size_t i = 0; i < sizeof health_flags / sizeof *health_flags; i++) {
        size_t length = strlen(health_flags[i].flag);
        if (strncmp(word, health_flags[i].flag, length) != 0)
            continue;
        bool retries = strcmp(health_flags[i].key, "Retries") == 0;
        int64_t value;
        if (!(retries ? quantity_read_integer(word + length, 0, INT32_MAX, &value)
                      : quantity_read_duration(word + length, &value)) ||
            value < 0)
            break;
        json_object_set_new(check, health_flags[i].key, json_integer(value));
        return 0;
    }
    return error_set(err, 0, "HEALTHCHECK doesn't know '%.100s'", word);
}

static int change_health(json_t *config, const char *text, struct error *err)
{
    json_t *check = json_object();
    int status = 0;
    while (status == 0 && strncmp(text, "--", 2) == 0) {
        char *word;
        text = skip_blanks(next_word(text, &word));
        status = read_health_flag(check, word, err);
        free(word);
    }
    if (status == 0 && strcasecmp(text, "NONE") == 0) {
        json_object_set_new(check, "Test", json_pack("[s]", "NONE"));
    } else if (status == 0 && strncasecmp(text, "CMD", 3) == 0 && isspace((unsigned char)text[3])) {
        json_t *command = parse_command(skip_blanks(text + 3));
        bool shell = *skip_blanks(text + 3) != '[';
        if (shell)
            json_object_set_new(check, "Test",
                                json_pack("[s, s]", "CMD-SHELL", skip_blanks(text + 3)));
        else {
            json_array_insert_new(command, 0, json_string("CMD"));
            json_object_set(check, "Test", command);
        }
        json_decref(command);
    } else if (status == 0) {
        status = error_set(err, 0, "HEALTHCHECK wants CMD … or NONE");
    }
    if (status == 0)
        json_object_set(config, "Healthcheck", check);
    json_decref(check);
    return status;
}

static int change_text(json_t *config, const char *key, const char *text, struct error *err)
{
    char *word;
    if (!next_word(text, &word))
        return error_set(err, 0, "it has no value");
    json_object_set_new(config, key, json_string(word));
    free(word);
    return 0;
}

/* Relative to the one before (OCI image-spec knows only absolute ones). */
static int change_directory(json_t *config, const char *text, struct error *err)
{
    const char *old = json_string_value(json_object_get(config, "WorkingDir"));
    scope_free char *path = memory_format("%s/%s", *text == '/' ? "" : old ? old : "", text);
    return change_text(config, "WorkingDir", *text == '/' ? text : path, err);
}

static int apply(json_t *config, const char *name, const char *text, struct error *err)
{
    if (strcasecmp(name, "CMD") == 0)
        return json_object_set_new(config, "Cmd", parse_command(text));
    if (strcasecmp(name, "ENTRYPOINT") == 0)
        return json_object_set_new(config, "Entrypoint", parse_command(text));
    if (strcasecmp(name, "ENV") == 0)
        return change_pairs(config, text, false, err);
    if (strcasecmp(name, "LABEL") == 0)
        return change_pairs(config, text, true, err);
    if (strcasecmp(name, "EXPOSE") == 0)
        return change_ports(config, text, err);
    if (strcasecmp(name, "HEALTHCHECK") == 0)
        return change_health(config, text, err);
    if (strcasecmp(name, "ONBUILD") == 0)
        return json_array_append_new(member(config, "OnBuild", json_array), json_string(text));
    if (strcasecmp(name, "STOPSIGNAL") == 0)
        return change_text(config, "StopSignal", text, err);
    if (strcasecmp(name, "USER") == 0)
        return change_text(config, "User", text, err);
    if (strcasecmp(name, "VOLUME") == 0)
        return change_volumes(config, text);
    if (strcasecmp(name, "WORKDIR") == 0)
        return change_directory(config, text, err);
    return error_set(
        err, 0,
        "'%.40s' is none of CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, "
        "STOPSIGNAL, USER, VOLUME, WORKDIR",
        name);
}

int image_config_change(json_t *config, const char *instruction, struct error *err)
{
    const char *start = skip_blanks(instruction);
    size_t length = strcspn(start, " \t");
    scope_free char *name = memory_format("%.*s", (int)length, start);
    const char *text = skip_blanks(start + length);
    struct error reason = {0};
    int status =
        *text ? apply(config, name, text, &reason) : error_set(&reason, 0, "it has no value");
    if (status < 0)
        return error_set(err, 0, "change '%.200s': %s", instruction,
                         reason.text[0] ? reason.text : "it isn't UTF-8");
    return 0;
}
