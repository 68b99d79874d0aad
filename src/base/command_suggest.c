#include "base/command_suggest.h"

#include <string.h>

#define LENGTH_MAX 63

/* The least number of letters to insert, drop or replace that turns one word into the other
 * (Levenshtein). Longer words than any flag are far from everything. */
static size_t edit_distance(const char *from, size_t from_length, const char *to)
{
    size_t to_length = strlen(to);
    if (from_length > LENGTH_MAX || to_length > LENGTH_MAX)
        return LENGTH_MAX;
    size_t row[LENGTH_MAX + 1];
    for (size_t j = 0; j <= to_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= from_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= to_length; j++) {
            size_t best = diagonal + (from[i - 1] != to[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[to_length];
}

void command_suggest(struct command_suggestion *best, const char *typed, size_t length,
                     const char *word)
{
    size_t distance = edit_distance(typed, length, word);
    size_t limit = length / 3 < 2 ? 2 : length / 3;
    if (distance <= limit && distance < length && (!best->word || distance < best->distance))
        *best = (struct command_suggestion){word, distance};
}
