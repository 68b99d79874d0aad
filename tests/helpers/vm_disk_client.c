/* What a virtual machine's start does with the library of src/vm/image, as a program:
 *
 *     vm_disk_client layers ROOT IMAGE            print the disk of an image's layers as JSON
 *     vm_disk_client materialise DESCRIPTION OUT  write the disk that such JSON describes
 *     vm_disk_client writable ROOT PATH SIZE      make a writable disk
 *     vm_disk_client kernel ROOT [NAME]           print which kernel a machine would start with */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/quantity.h"
#include "base/scope.h"
#include "vm/image/disk.h"
#include "vm/image/kernel.h"

static int print_layers(const char *root, const char *name, struct error *err)
{
    scope_free char *directory = memory_format("%s/images", root);
    scope_image_store struct image_store *store = NULL;
    scope_image struct image image = {0};
    scope_disk_layout struct disk_layout layout = {0};
    bool user_xattrs;
    if (image_store_open(&store, directory, err) < 0)
        return -1;
    int found = image_find(store, name, &image, err);
    if (found <= 0)
        return found < 0 ? -1 : error_set(err, 0, "no such image");
    if (disk_make_layers(store, &image, &layout, &user_xattrs, err) < 0)
        return -1;
    json_t *description = disk_layout_describe(&layout);
    json_dumpf(description, stdout, JSON_INDENT(1));
    json_decref(description);
    return 0;
}

static int write_extent(const struct disk_extent *extent, int out, struct error *err)
{
    size_t length = extent->length;
    scope_free char *text =
        extent->path ? file_read_all(AT_FDCWD, extent->path, SIZE_MAX / 2, &length, err) : NULL;
    if (extent->path && !text)
        return -1;
    if (lseek(out, (off_t)extent->offset, SEEK_SET) < 0 ||
        file_write_all(out, text ? text : (const char *)extent->bytes, length) < 0)
        return error_set(err, errno, "can't write");
    return 0;
}

static int materialise(const char *file, const char *out, struct error *err)
{
    scope_disk_layout struct disk_layout layout = {0};
    json_t *description = json_load_file(file, 0, NULL);
    int status = disk_layout_parse(&layout, description, err);
    json_decref(description);
    if (status < 0)
        return -1;
    scope_close int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)layout.size) < 0)
        return error_set(err, errno, "can't make %s", out);
    for (size_t i = 0; status == 0 && i < layout.count; i++)
        status = write_extent(&layout.extents[i], fd, err);
    return status;
}

static int make_writable(const char *root, const char *path, const char *text, struct error *err)
{
    scope_free char *directory = memory_format("%s/vm", root);
    int64_t size;
    if (!quantity_read_size(text, &size))
        return error_set(err, 0, "no size");
    return disk_make_writable(directory, path, size, err);
}

static int print_kernel(const char *root, const char *name, struct error *err)
{
    scope_kernel struct kernel kernel = {0};
    if (kernel_find(root, name, &kernel, err) < 0)
        return -1;
    printf("%s %s %s %s %s\n", kernel.name, kernel.version, kernel.vmlinuz ? kernel.vmlinuz : "-",
           kernel.vmlinux ? kernel.vmlinux : "-", kernel.modules ? kernel.modules : "-");
    return 0;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    int status;
    if (argc == 4 && strcmp(argv[1], "layers") == 0)
        status = print_layers(argv[2], argv[3], &err);
    else if (argc == 4 && strcmp(argv[1], "materialise") == 0)
        status = materialise(argv[2], argv[3], &err);
    else if (argc == 5 && strcmp(argv[1], "writable") == 0)
        status = make_writable(argv[2], argv[3], argv[4], &err);
    else if ((argc == 3 || argc == 4) && strcmp(argv[1], "kernel") == 0)
        status = print_kernel(argv[2], argv[3], &err);
    else
        status = error_set(&err, 0, "see the source for the arguments");
    if (status < 0)
        fprintf(stderr, "vm_disk_client: %s\n", err.text);
    return status < 0;
}
