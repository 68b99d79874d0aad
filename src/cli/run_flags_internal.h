/* What the parts of run_flags share. Each part fills the settings from the flags of its subject. */
#ifndef HULL_CLI_RUN_FLAGS_INTERNAL_H
#define HULL_CLI_RUN_FLAGS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/run_flags.h"

struct run_flags {
    struct command_line *line;
    const struct warnings *warnings;
    json_t *settings;
    json_t *host; /* "HostConfig", borrowed */
    struct error *err;
};

/* -1 with "--FLAG 'VALUE': reason". */
int run_flags_fail(const struct run_flags *flags, const char *flag, const char *value,
                   const char *reason, ...) __attribute__((format(printf, 4, 5)));

/* Whether the verb has the flag: `create` lacks some of `run`. */
bool run_flags_has(const struct run_flags *flags, const char *flag);

/* Calls take for each value of a flag in its order, until one fails. */
int run_flags_for_each(struct run_flags *flags, const char *flag,
                       int (*take)(struct run_flags *flags, const char *flag, const char *value));

/* The member called key of object, which becomes an empty array or object if it isn't there;
 * borrowed. */
json_t *run_flags_list(json_t *object, const char *key);
json_t *run_flags_map(json_t *object, const char *key);

/* The string of length bytes as a JSON value; bytes that aren't UTF-8 can't be in settings, and
 * become U+FFFD. */
json_t *run_flags_text(const char *text, size_t length);

/* A record of a CSV, as --mount and the long --network and --publish take it: key=value fields
 * separated by commas, of which any may be in double quotes. */
struct run_flags_field {
    char *key;
    char *value; /* NULL: no equals sign */
};
struct run_flags_record {
    struct run_flags_field fields[64];
    size_t count;
    struct arena arena;
};
/* Keys become lower-case. -1 with the error of a quotation mark without its counterpart, or of a
 * field too many. Call arena_release() in any case. */
int run_flags_read_record(const struct run_flags *flags, const char *flag, const char *text,
                          struct run_flags_record *record);

/* --cpus and --restart, which `update` has, too. */
int run_flags_add_cpus(struct run_flags *flags);
int run_flags_add_restart(struct run_flags *flags);

int run_flags_add_process(struct run_flags *flags);
int run_flags_add_health(struct run_flags *flags);
int run_flags_add_labels(struct run_flags *flags);
int run_flags_add_resources(struct run_flags *flags);
int run_flags_add_devices(struct run_flags *flags);
int run_flags_add_mounts(struct run_flags *flags);
int run_flags_add_networks(struct run_flags *flags);
int run_flags_add_ports(struct run_flags *flags);
int run_flags_add_security(struct run_flags *flags);

/* Reads FILE's lines of NAME=VALUE, for --env-file and --label-file, and gives each to take. A line
 * may begin with '#'. */
int run_flags_read_lines(struct run_flags *flags, const char *flag, const char *path,
                         int (*take)(struct run_flags *flags, const char *flag, const char *line));

#endif
