/* Files in and out of the container, as tar archives: what a child of the agent does with a
 * connection of its own, waiting as it needs. Every path is resolved below the container's root;
 * the working directory is /proc/self/fd. */
#ifndef HULL_GUEST_COPY_H
#define HULL_GUEST_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "base/error.h"

/* ---- copy_frames.c: frames, one after the other ---- */

struct copy_output {
    int fd;
    size_t used;
    char bytes[32768];
};

int copy_write(struct copy_output *output, const void *bytes, size_t length, struct error *err);
int copy_flush(struct copy_output *output, struct error *err);

struct copy_input {
    int fd;
    bool at_end;
    size_t start, length;
    char bytes[32768];
};

/* Reads all of length, or fails; 0 bytes left at the very beginning is an error, too. */
int copy_read(struct copy_input *input, void *bytes, size_t length, struct error *err);
/* Reads what is behind the archive, up to the end that the host says. */
int copy_drain(struct copy_input *input, struct error *err);

/* ---- tar_header.c: POSIX.1-2001 "pax" ---- */

#define TAR_BLOCK 512

struct tar_attribute {
    char *name, *value;
    size_t length; /* of value */
};

struct tar_entry {
    char type; /* '0' file, '1' hard link, '2' symbolic link, '3' '4' devices, '5' directory, '6' */
    char *path, *link;
    uint64_t size;
    mode_t mode; /* permissions */
    uint32_t uid, gid;
    unsigned int major, minor;
    struct timespec mtime;
    struct tar_attribute *attributes; /* extended ones */
    size_t attribute_count;
};

void tar_entry_release(struct tar_entry *entry);
/* Adds a copy of an attribute. */
void tar_entry_add_attribute(struct tar_entry *entry, const char *name, const void *value,
                             size_t length);
int tar_write_header(struct copy_output *output, const struct tar_entry *entry, struct error *err);
/* 1: read; 0: the archive's end; -1. Release the entry in any case. */
int tar_read_header(struct copy_input *input, struct tar_entry *entry, struct error *err);

/* ---- tar_write.c, tar_extract.c ---- */

/* Archives what path leads to, under the last component of path. */
int tar_write_tree(struct copy_output *output, int root, const char *path, struct error *err);

struct tar_extraction {
    int root;         /* of the container */
    const char *path; /* of the directory to extract in */
    bool has_owner;   /* all is to belong to: */
    uint32_t uid, gid;
};
int tar_extract(struct copy_input *input, const struct tar_extraction *extraction,
                struct error *err);

#endif
