#include "base/describe.h"

#include <string.h>

bool describe_completes_objects(const struct command_verb *verb)
{
    return verb->arguments && !verb->makes_object &&
           strncmp(verb->arguments, "CONTAINER", strlen("CONTAINER")) == 0;
}

bool describe_get_name(const struct command_verb *verb, size_t number,
                       char name[DESCRIBE_NAME_SIZE])
{
    const char *at = verb->name;
    size_t length = strlen(at);
    if (number > 0) {
        at = verb->aliases ? verb->aliases : "";
        for (; --number > 0 && *at; at += *at == ',')
            at += strcspn(at, ",");
        length = strcspn(at, ",");
    }
    snprintf(name, DESCRIBE_NAME_SIZE, "%.*s", (int)length, at);
    return *name != '\0';
}

size_t describe_next_word(const struct command_verb *verb, const struct command_group *group,
                          size_t number, char word[DESCRIBE_NAME_SIZE])
{
    char name[DESCRIBE_NAME_SIZE];
    size_t length = group ? strlen(group->name) : 0;
    for (; !verb->hidden && describe_get_name(verb, number, name); number++) {
        const char *blank = strchr(name, ' ');
        bool is_member = group ? blank && (size_t)(blank - name) == length &&
                                     strncmp(name, group->name, length) == 0
                               : !blank;
        if (is_member) {
            snprintf(word, DESCRIBE_NAME_SIZE, "%s", group ? blank + 1 : name);
            return number + 1;
        }
    }
    return 0;
}
