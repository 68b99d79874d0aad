#include "vm/image/disk.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/image/tool.h"

#define YEAR_9999 "253402300799"
#define NAME_DIGITS 24 /* of a layer's name */

/* A UUID of the layer's name, as text (RFC 9562, section 5.8: version 8 is for what one makes up).
 */
static void make_uuid(const char *name, char text[37])
{
    snprintf(text, 37, "%.8s-%.4s-8%.3s-8%.3s-%.6s000000", name, name + 8, name + 12, name + 15,
             name + 18);
}

/* The UUID's bytes as a partition table has them: the first three parts are little-endian (UEFI
 * 2.10, appendix A). 0 if the text isn't one. */
static bool read_uuid(const char *text, unsigned char bytes[16])
{
    static const unsigned char places[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int i = 0; i < 16; i++, text += 2) {
        unsigned int byte;
        if (*text == '-')
            text++;
        if (sscanf(text, "%2x", &byte) != 1)
            return false;
        bytes[places[i]] = (unsigned char)byte;
    }
    return true;
}

/* mkfs.erofs fails late on a full disk, and only after it has taken all of it from others. Files
 * with holes take as much there as they say they have. */
static int check_room(const char *file, int64_t size, struct error *err)
{
    struct statvfs status;
    scope_free char *directory = memory_copy_string(file);
    *strrchr(directory, '/') = '\0';
    if (statvfs(directory, &status) < 0)
        return error_set(err, errno, "can't see how much room there is at %s", directory);
    int64_t room = (int64_t)status.f_bavail * (int64_t)status.f_frsize;
    if (size > room)
        return error_set(err, ENOSPC, "%lld bytes are needed at %s, where %lld are free",
                         (long long)size, directory, (long long)room);
    return 0;
}

/* Version 1.5 cuts the last byte off names of 255 bytes, and then doesn't find the file. */
static const char *explain(const struct error *err)
{
    return err && strstr(err->text, "[Error 2]")
               ? " (it may have names of 255 bytes, which mkfs.erofs 1.5 can't read)"
               : "";
}

/* Times are the files' own; only the superblock's is fixed, so that the same layer makes the same
 * bytes: files younger than that would get it as theirs. Not compressed: what is read of it is
 * shared by all guests in the host's page cache, and a guest has less time than the host has room.
 */
static int make_erofs(const char *name, const char *directory, int64_t size, const char *file,
                      struct error *err)
{
    char uuid[37];
    make_uuid(name, uuid);
    const char *const argv[] = {"mkfs.erofs", "-U", uuid, "--quiet", file, directory, NULL};
    const struct tool tool = {
        .argv = argv, .package = "erofs-utils", .variable = "SOURCE_DATE_EPOCH=" YEAR_9999};
    if (check_room(file, size, err) < 0)
        return error_wrap(err, "can't make a disk of layer %s", name);
    if (tool_run(&tool, err) < 0)
        return error_wrap(err, "can't make a disk of layer %s%s", name, explain(err));
    return 0;
}

static const struct image_derivation erofs = {.suffix = "erofs", .make = make_erofs};

static int add_partition(const char *file, struct disk_partition *partition, struct error *err)
{
    char uuid[37];
    struct stat status;
    const char *name = strrchr(file, '/') + 1;
    if (stat(file, &status) < 0)
        return error_set(err, errno, "can't open %s", file);
    if (strspn(name, "0123456789abcdef") != NAME_DIGITS)
        return error_set(err, 0, "%s isn't named like a layer", file);
    make_uuid(name, uuid);
    *partition = (struct disk_partition){.path = file, .size = (uint64_t)status.st_size};
    if (!read_uuid(uuid, partition->identity))
        return error_set(err, 0, "%s isn't named like a layer", file);
    return 0;
}

int disk_make_layers(struct image_store *store, const struct image *image,
                     struct disk_layout *layout, bool *user_xattrs, struct error *err)
{
    scope_image_derived struct image_derived derived = {0};
    *layout = (struct disk_layout){0};
    if (image_derive(store, image, &erofs, &derived, err) < 0)
        return -1;
    *user_xattrs = derived.user_xattrs;
    scope_free struct disk_partition *partitions =
        memory_allocate(derived.count + 1, sizeof *partitions);
    for (size_t i = 0; i < derived.count; i++)
        if (add_partition(derived.files[i], &partitions[i], err) < 0)
            return -1;
    return disk_layout_make(layout, partitions, derived.count, err);
}
