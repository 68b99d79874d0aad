/* Memory that a short-lived process needs until it ends: allocation that does not fail (the
 * process says so and ends; everything it made was recorded first, so it can be undone), and an
 * arena for objects that live and die together. */
#ifndef HULL_BASE_MEMORY_H
#define HULL_BASE_MEMORY_H

#include <stddef.h>

/* Zeroed memory for count objects of size bytes; ends the process if there is none. */
void *memory_allocate(size_t count, size_t size);
/* As realloc for count objects of size bytes; new memory is not zeroed. */
void *memory_resize(void *memory, size_t count, size_t size);
char *memory_copy_string(const char *text);
/* A formatted string; the caller frees it. */
char *memory_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct arena_block;
struct arena {
    struct arena_block *blocks;
};

/* Zeroed memory that lives until arena_release(). */
void *arena_allocate(struct arena *arena, size_t count, size_t size);
char *arena_copy_string(struct arena *arena, const char *text);
char *arena_format(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void arena_release(struct arena *arena);

#endif
