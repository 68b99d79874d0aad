/* What the parts of settings share. */
#ifndef HULL_ENGINE_SETTINGS_INTERNAL_H
#define HULL_ENGINE_SETTINGS_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/settings.h"

/* Members, types and ranges only (settings_schema.c). */
int settings_check_schema(const json_t *settings, struct error *err);

/* As docker: letters, digits, "_.-", and at least two of them. */
bool settings_is_volume_name(const char *name);

/* The member called key: its text or "", its number or 0, whether it is true. Of NULL too. */
static inline const char *settings_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static inline int64_t settings_integer(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static inline bool settings_flag(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

/* Whether the member holds anything: neither absent, null, empty nor 0. */
static inline bool settings_given(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_true(value) || json_object_size(value) > 0 || json_array_size(value) > 0 ||
           json_string_length(value) > 0 || json_integer_value(value) != 0;
}

#endif
