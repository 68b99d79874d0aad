/* --detach-keys, as docker writes them: "ctrl-p,ctrl-q". */
#include <string.h>

#include "monitor/monitor.h"

/* One key of `length` bytes: a character, or ctrl- with a letter or one of @ [ \ ] ^ _. */
static int parse_key(const char *text, size_t length)
{
    if (length == 1)
        return (unsigned char)text[0];
    if (length != 6 || strncmp(text, "ctrl-", 5) != 0)
        return -1;
    unsigned char key = (unsigned char)text[5];
    if (key >= 'a' && key <= 'z')
        return key - 'a' + 1;
    if (key == '@' || (key >= '[' && key <= '_'))
        return key - '@';
    return -1;
}

int monitor_parse_keys(const char *text, unsigned char *keys, size_t size, struct error *err)
{
    size_t count = 0;
    for (const char *at = text; *text && at; count++) {
        size_t length = strcspn(at, ",");
        int key = parse_key(at, length);
        if (key < 0)
            return error_set(err, 0,
                             "invalid detach keys '%s': keys are a character or ctrl- and one of "
                             "a-z @ [ \\ ] ^ _, separated by commas",
                             text);
        if (count == size)
            return error_set(err, 0, "detach keys '%s' are more than %zu", text, size);
        keys[count] = (unsigned char)key;
        at = at[length] ? at + length + 1 : NULL;
    }
    return (int)count;
}

bool monitor_filter_keys(struct monitor_key_filter *filter, const unsigned char *bytes,
                         size_t count, unsigned char *to, size_t *length)
{
    *length = 0;
    for (size_t i = 0; i < count; i++) {
        if (filter->count && bytes[i] == filter->keys[filter->seen]) {
            if (++filter->seen == filter->count)
                return true;
            continue;
        }
        memcpy(to + *length, filter->keys, filter->seen);
        *length += filter->seen;
        filter->seen = filter->count && bytes[i] == filter->keys[0];
        if (!filter->seen)
            to[(*length)++] = bytes[i];
        else if (filter->count == 1)
            return true;
    }
    return false;
}
