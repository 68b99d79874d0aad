/* Which word somebody may have meant who typed another. */
#ifndef HULL_BASE_COMMAND_SUGGEST_H
#define HULL_BASE_COMMAND_SUGGEST_H

#include <stddef.h>

struct command_suggestion {
    const char *word; /* NULL: none so far */
    size_t distance;
};

/* Takes word for the best if it is nearer to the `length` letters typed than what there was. Only
 * words that one could have meant: at most a third of the letters wrong, or two. */
void command_suggest(struct command_suggestion *best, const char *typed, size_t length,
                     const char *word);

#endif
