/* Errors travel up as one growing line and are printed once, by the verb.
 *
 * A function that can fail takes `struct error *` last, and returns -1 (or NULL) after filling
 * it. The first to notice says what failed, on which object and why: error_set(). Callers that
 * know more put it in front: error_wrap(). Nothing is allocated, so errors work in a child
 * between clone and exec, and can be sent through a socket as they are. */
#ifndef HULL_BASE_ERROR_H
#define HULL_BASE_ERROR_H

#define ERROR_TEXT_SIZE 1024

struct error {
    int code; /* an errno value, or 0 where no system call failed */
    char text[ERROR_TEXT_SIZE];
};

/* Fills *err with the formatted text, followed by ": strerror(code)" if code is not 0.
 * Always returns -1. err may be NULL when the caller doesn't care. */
int error_set(struct error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "formatted text: " before what *err says. Always returns -1. */
int error_wrap(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
