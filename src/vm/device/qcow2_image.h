/* An open qcow2 image, private to the files qcow2_*.c. Whatever is called with the lock held says
 * so; int results are errno values, or 0. */
#ifndef HULL_VM_QCOW2_IMAGE_H
#define HULL_VM_QCOW2_IMAGE_H

#include "vm/device/qcow2.h"

#define QCOW2_MAGIC 0x514649fbu
#define QCOW2_OFFSET_MASK 0x00fffffffffffe00ull /* of entries of the L1, L2 and refcount tables */
#define QCOW2_COPIED (1ull << 63)               /* its refcount is 1: it may be written in place */
#define QCOW2_COMPRESSED (1ull << 62)
#define QCOW2_ZERO 1ull

#define QCOW2_USERS_MAX 16 /* threads at once */

/* Clusters of metadata in memory. */
struct qcow2_table {
    uint64_t offset; /* in the file; 0: unused */
    uint64_t used;   /* when, in ticks */
    bool dirty;
    uint8_t *bytes; /* a cluster, as in the file */
};
struct qcow2_cache {
    unsigned count;
    uint64_t ticks;
    struct qcow2_table *tables;
};

/* Clusters of the file that nothing refers to any more once the L2 tables are on the disk. */
struct qcow2_free {
    uint64_t first, count;
    bool punch; /* give their room back to the file system */
};

struct qcow2 {
    int fd;
    char *path;
    bool read_only;
    unsigned version, cluster_bits, refcount_order;
    uint64_t cluster_size, size;
    uint64_t l2_entries; /* in a table */
    bool zstd;           /* compressed so, not by zlib */

    uint64_t l1_offset, *l1; /* as many as the size needs, in the host's byte order */
    uint32_t l1_count;
    uint32_t l1_dirty_first, l1_dirty_end;
    uint64_t refcount_table_offset, *refcount_table;
    uint32_t refcount_table_count;
    uint32_t refcount_dirty_first, refcount_dirty_end;
    struct qcow2_cache l2_cache, refcount_cache;

    pthread_mutex_t lock; /* of all tables, and what follows */
    pthread_cond_t changed;
    uint64_t busy[QCOW2_USERS_MAX]; /* guest clusters that are being allocated */
    unsigned busy_count;
    int failed; /* an fdatasync failed once: what is on the disk is unknown */
    struct qcow2_free *frees;
    size_t free_count, free_room;
    uint64_t next_free; /* cluster of the file: where to look for a free one */
    uint64_t file_end;  /* in bytes: what lies behind was never written */
    uint64_t file_size; /* in bytes: the file is at least so long */

    pthread_mutex_t gate_lock; /* may be taken with the lock held, not the other way round */
    pthread_cond_t gate_changed;
    unsigned users; /* who reads or writes clusters without the lock */
    bool closed;    /* no new ones: a flush waits to free clusters */

    struct qcow2 *backing; /* or, if it is raw, its file; or neither */
    int backing_fd;
    uint64_t backing_size;

    pthread_mutex_t compressed_lock; /* of the cluster uncompressed last */
    uint64_t compressed_entry;
    uint8_t *compressed_bytes;
};

/* qcow2_header.c */
/* Reads and checks the header of image->fd, and the L1 and refcount tables. *backing becomes the
 * name of the backing file, and *format its format, or NULL; the caller frees them. */
int qcow2_read_header(struct qcow2 *image, char **backing, char **format, struct error *err);

/* qcow2_open.c */
int qcow2_open_at_depth(struct qcow2 **image, int fd, const char *path,
                        const struct disk_settings *settings, unsigned depth, struct error *err);

/* qcow2_backing.c */
int qcow2_open_backing(struct qcow2 *image, const char *name, const char *format,
                       const struct disk_settings *settings, unsigned depth, struct error *err);
/* Reads where the image has nothing. */
int qcow2_read_backing(struct qcow2 *image, const struct iovec *parts, unsigned count,
                       uint64_t offset, uint64_t size);
static inline bool qcow2_has_backing(const struct qcow2 *image)
{
    return image->backing || image->backing_fd >= 0;
}

/* qcow2_cache.c; with the lock held */
void qcow2_cache_open(struct qcow2_cache *cache, unsigned count);
void qcow2_cache_close(struct qcow2_cache *cache);
/* The table at an offset of the file, read if it isn't in memory; valid until two others were got.
 */
int qcow2_cache_get(struct qcow2 *image, struct qcow2_cache *cache, uint64_t offset,
                    struct qcow2_table **table);
/* The same for a new table of zeros, which is dirty. */
int qcow2_cache_add(struct qcow2 *image, struct qcow2_cache *cache, uint64_t offset,
                    struct qcow2_table **table);
void qcow2_cache_forget(struct qcow2_cache *cache, uint64_t offset);
bool qcow2_cache_has(const struct qcow2_cache *cache, uint64_t offset);
bool qcow2_cache_is_dirty(const struct qcow2_cache *cache);
int qcow2_cache_write(struct qcow2 *image, struct qcow2_cache *cache);

/* qcow2_refcount.c; with the lock held */
int qcow2_get_refcount(struct qcow2 *image, uint64_t cluster, uint64_t *count);
/* A cluster that was free, with a refcount of 1 now. *fresh: it was never written. */
int qcow2_allocate(struct qcow2 *image, uint64_t *offset, bool *fresh);
/* Counts clusters down when nothing on the disk refers to them any more. */
void qcow2_free_later(struct qcow2 *image, uint64_t offset, uint64_t size, bool punch);
/* Does it: L2 tables are on the disk, and there are no users. */
int qcow2_free_now(struct qcow2 *image);
/* Whether a cluster of the file is one that tables are in, as far as tables tell. */
bool qcow2_is_metadata(const struct qcow2 *image, uint64_t offset);

/* qcow2_map.c; with the lock held */
enum qcow2_kind { QCOW2_UNALLOCATED, QCOW2_ZEROED, QCOW2_DATA, QCOW2_PACKED };
struct qcow2_mapping {
    enum qcow2_kind kind;
    uint64_t host;  /* offset in the file; also of a zeroed cluster that has one; or 0 */
    bool copied;    /* host may be written in place */
    uint64_t entry; /* as it is in the table */
};
int qcow2_map(struct qcow2 *image, uint64_t cluster, struct qcow2_mapping *mapping);
/* The first cluster's mapping, and how many of size bytes from offset on lie behind each other in
 * the file, or are of its other kind; with to_write: can be written in place. */
int qcow2_find_run(struct qcow2 *image, uint64_t offset, uint64_t size, bool to_write,
                   struct qcow2_mapping *mapping, uint64_t *run);
int qcow2_set_entry(struct qcow2 *image, uint64_t cluster, uint64_t entry);
/* Frees later what a mapping that was replaced referred to. */
void qcow2_release(struct qcow2 *image, const struct qcow2_mapping *mapping, bool punch);

/* qcow2_compressed.c */
/* Where the compressed bytes of an entry are. */
void qcow2_compressed_range(const struct qcow2 *image, uint64_t entry, uint64_t *offset,
                            uint64_t *size);
/* Copies size bytes from offset on in the cluster to the parts; without the lock. */
int qcow2_read_compressed(struct qcow2 *image, uint64_t entry, uint64_t offset,
                          const struct iovec *parts, unsigned count);

/* qcow2_flush.c; with the lock held */
/* Writes all tables, in an order that a crash can't harm; they may not be on the disk yet. */
int qcow2_write_tables(struct qcow2 *image);
/* Writes the refcount blocks and the entries of the refcount table that refer to new ones. */
int qcow2_write_refcounts(struct qcow2 *image);
int qcow2_sync(struct qcow2 *image);
int qcow2_flush_locked(struct qcow2 *image);

/* qcow2_read.c */
/* Reads a range of one cluster, or of several that lie behind each other in the file or are of
 * kind zeroed or unallocated, as the mapping of the first says; without the lock. */
int qcow2_read_mapping(struct qcow2 *image, const struct qcow2_mapping *mapping,
                       const struct iovec *parts, unsigned count, uint64_t offset, uint64_t size);

/* qcow2_gate.c */
/* Begins a use of clusters without the lock; with the lock held, which is let go of while a flush
 * frees clusters. */
void qcow2_enter(struct qcow2 *image);
/* Ends it; with the lock held or not. */
void qcow2_leave(struct qcow2 *image);
/* Waits, with the lock held but not meanwhile, until nobody uses clusters, and lets nobody in. */
void qcow2_close_gate(struct qcow2 *image);
void qcow2_open_gate(struct qcow2 *image);

#endif
