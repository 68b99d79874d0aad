/* Typed reading of a JSON document, where every error names the place.
 *
 * A node is a value and how it was reached: a chain of these on the caller's stack is the path
 * ("process.rlimits[2].type"), which is put into words only when something is wrong; reading
 * what is right allocates nothing but the arrays of the result.
 *
 * The config_read_… functions take the member called key of the object from. They return 1 if it
 * is given, 0 if it is absent or null (then *out stays as it was), and -1 with the error set. */
#ifndef HULL_OCI_CONFIG_READER_H
#define HULL_OCI_CONFIG_READER_H

#include <jansson.h>

#include "oci/config.h"

/* An integer outside int64_t, which jansson can't represent. */
struct config_big_integer {
    bool fits; /* in a uint64_t; otherwise it is out of every range */
    uint64_t value;
};

struct config_reader {
    struct arena *arena;
    struct error *err;
    struct config_big_integer *big_integers; /* in the order of the text */
    size_t big_integer_count;
};

struct config_node {
    struct config_reader *reader;
    const struct config_node *parent; /* NULL: the document itself */
    const char *key;                  /* NULL: the element at index of an array */
    size_t index;
    json_t *value;
};

/* The document in text, or NULL with the error set; the caller gives it back with json_decref().
 * Integers up to 2^64 - 1 are understood, strings may hold NUL (the readers refuse it then with
 * its path). */
json_t *config_load(struct config_reader *reader, const char *text, size_t length);

/* Sets the reader's error to "PATH: reason"; always returns -1. */
int config_fail(const struct config_node *node, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int config_fail_member(const struct config_node *from, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int config_fail_element(const struct config_node *from, const char *key, size_t index,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Text from the document for use in an error: in quotes, on one line, and not too long. */
struct config_quoted {
    char text[96];
};
struct config_quoted config_quote(const char *text);

/* Passes on what a config_read_… function said, but turns "not given" into an error. */
int config_require(int found, const struct config_node *from, const char *key);

/* -1 unless node is of the type; the message says what was expected and what found. */
int config_expect_object(const struct config_node *node);
int config_get_string(const struct config_node *node, const char **out);

int config_read_object(const struct config_node *from, const char *key, struct config_node *out);
int config_read_array(const struct config_node *from, const char *key, struct config_node *out);
struct config_node config_element(const struct config_node *array, size_t index);

int config_read_string(const struct config_node *from, const char *key, const char **out);
/* An empty string counts as not given (it is how Go programs write "no value"). */
int config_read_text(const struct config_node *from, const char *key, const char **out);
/* A text that begins with '/'. */
int config_read_absolute_path(const struct config_node *from, const char *key, const char **out);

int config_read_bool(const struct config_node *from, const char *key, bool *out);
int config_read_int64(const struct config_node *from, const char *key, int64_t minimum,
                      int64_t maximum, int64_t *out);
int config_read_number(const struct config_node *from, const char *key, int64_t minimum,
                       int64_t maximum, struct config_number *out);
int config_read_uint32(const struct config_node *from, const char *key, uint32_t maximum,
                       uint32_t *out);
int config_read_uint64(const struct config_node *from, const char *key, uint64_t *out);
int config_get_uint32(const struct config_node *node, uint32_t *out);

/* items gets one NULL more than count says, as exec(3) wants it. */
int config_read_strings(const struct config_node *from, const char *key,
                        struct config_strings *out);
/* An object whose values are all strings, in the order of the text. */
int config_read_pairs(const struct config_node *from, const char *key, struct config_pairs *out);

/* An array of objects: each is given to convert with its zeroed slot of size bytes. *items_out
 * (a pointer to the pointer to the slots) and *count get the result. */
int config_read_list(const struct config_node *from, const char *key, size_t size,
                     int (*convert)(const struct config_node *item, void *slot), void *items_out,
                     size_t *count);

/* One of a fixed set of names. The error lists them if they are few. */
struct config_choice {
    const char *name;
    int64_t value;
};
struct config_choices {
    const struct config_choice *items;
    size_t count;
};
#define CONFIG_CHOICES(array)                                                                      \
    {                                                                                              \
        (array), sizeof(array) / sizeof *(array)                                                   \
    }
int config_get_choice(const struct config_node *node, const struct config_choices *choices,
                      const struct config_choice **out);
int config_read_choice(const struct config_node *from, const char *key,
                       const struct config_choices *choices, const struct config_choice **out);

/* The same for members that must be there: 1 or -1. */
static inline int config_require_object(const struct config_node *from, const char *key,
                                        struct config_node *out)
{
    return config_require(config_read_object(from, key, out), from, key);
}

static inline int config_require_string(const struct config_node *from, const char *key,
                                        const char **out)
{
    return config_require(config_read_string(from, key, out), from, key);
}

static inline int config_require_absolute_path(const struct config_node *from, const char *key,
                                               const char **out)
{
    return config_require(config_read_absolute_path(from, key, out), from, key);
}

static inline int config_require_strings(const struct config_node *from, const char *key,
                                         struct config_strings *out)
{
    return config_require(config_read_strings(from, key, out), from, key);
}

static inline int config_require_choice(const struct config_node *from, const char *key,
                                        const struct config_choices *choices,
                                        const struct config_choice **out)
{
    return config_require(config_read_choice(from, key, choices, out), from, key);
}

static inline int config_require_uint32(const struct config_node *from, const char *key,
                                        uint32_t maximum, uint32_t *out)
{
    return config_require(config_read_uint32(from, key, maximum, out), from, key);
}

static inline int config_require_uint64(const struct config_node *from, const char *key,
                                        uint64_t *out)
{
    return config_require(config_read_uint64(from, key, out), from, key);
}

static inline int config_require_int64(const struct config_node *from, const char *key,
                                       int64_t minimum, int64_t maximum, int64_t *out)
{
    return config_require(config_read_int64(from, key, minimum, maximum, out), from, key);
}

static inline int config_require_bool(const struct config_node *from, const char *key, bool *out)
{
    return config_require(config_read_bool(from, key, out), from, key);
}

#endif
