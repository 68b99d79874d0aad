/* Who a user of the image is. The image's files are read below its layers' directories, and nothing
 * in them leads out. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/quantity.h"
#include "base/scope.h"
#include "engine/spec_internal.h"

#define FILE_LIMIT (4 << 20) /* of passwd and group */
#define MAXIMUM_ID 4294967294LL

/* overlayfs: a directory of an upper layer with this attribute hides those below. */
static bool hides_lower(int directory)
{
    char value;
    return (fgetxattr(directory, "trusted.overlay.opaque", &value, 1) == 1 ||
            fgetxattr(directory, "user.overlay.opaque", &value, 1) == 1) &&
           value == 'y';
}

/* Looks for etc/NAME in one layer. 1 with *text, 0 not there, 2 not there nor below, -1 error. */
static int read_in_layer(const char *layer, const char *name, char **text, struct error *err)
{
    scope_close int root = open(layer, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return errno == ENOENT ? 0 : error_set(err, errno, "can't open %s", layer);
    scope_close int etc = file_open_resolved(root, "etc", O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0,
                                             RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (etc < 0) {
        struct stat status;
        bool is_whiteout = fstatat(root, "etc", &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                           S_ISCHR(status.st_mode) && status.st_rdev == 0;
        return is_whiteout ? 2 : 0;
    }
    scope_free char *path = memory_format("etc/%s", name);
    scope_close int fd = file_open_resolved(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0,
                                            RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    struct stat status;
    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
        *text = file_read_all_fd(fd, path, FILE_LIMIT, NULL, err);
        return *text ? 1 : -1;
    }
    bool is_gone = fstatat(etc, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                   S_ISCHR(status.st_mode) && status.st_rdev == 0;
    return is_gone || hides_lower(etc) ? 2 : 0;
}

/* The whole of etc/NAME, "" if the image has none. NULL with the error. */
static char *read_image_file(const char *const *layers, size_t count, const char *name,
                             struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        char *text = NULL;
        int found = read_in_layer(layers[i], name, &text, err);
        if (found < 0) {
            error_wrap(err, "the image's /etc/%s", name);
            return NULL;
        }
        if (found == 1)
            return text;
        if (found == 2)
            break;
    }
    return memory_copy_string("");
}

/* Takes a line off *text and splits it at its colons; the number of fields, 0 at the end. */
static size_t next_line(char **text, char *fields[], size_t limit)
{
    while (**text) {
        char *line = *text;
        size_t length = strcspn(line, "\n"), count = 0;
        *text += length + (line[length] == '\n');
        line[length] = '\0';
        while (line && count < limit)
            fields[count++] = strsep(&line, ":");
        if (count > 2)
            return count;
    }
    return 0;
}

/* Finds the user by name or number. Returns whether it is in the file. */
static bool find_user(char *passwd, const char *wanted, bool is_number, struct spec_user *user)
{
    char *fields[7];
    size_t count;
    while ((count = next_line(&passwd, fields, 7)) > 0) {
        int64_t uid, gid;
        if (count < 4 || !quantity_read_integer(fields[2], 0, MAXIMUM_ID, &uid) ||
            !quantity_read_integer(fields[3], 0, MAXIMUM_ID, &gid))
            continue;
        if (is_number ? (unsigned int)uid != user->uid : strcmp(fields[0], wanted) != 0)
            continue;
        user->uid = (unsigned int)uid;
        user->gid = (unsigned int)gid;
        if (count > 5 && fields[5][0] == '/')
            user->home = memory_copy_string(fields[5]);
        user->name = memory_copy_string(fields[0]);
        return true;
    }
    return false;
}

static bool is_member(const char *members, const char *name)
{
    size_t length = strlen(name);
    while (members && *members) {
        size_t size = strcspn(members, ",");
        if (size == length && memcmp(members, name, length) == 0)
            return true;
        members += size + (members[size] == ',');
    }
    return false;
}

static void add_group(struct spec_user *user, unsigned int gid)
{
    for (size_t i = 0; i < user->group_count; i++)
        if (user->groups[i] == gid)
            return;
    user->groups = memory_resize(user->groups, user->group_count + 1, sizeof *user->groups);
    user->groups[user->group_count++] = gid;
}

static bool find_group(char *group, const char *wanted, unsigned int *gid)
{
    char *fields[4];
    size_t count;
    while ((count = next_line(&group, fields, 4)) > 0) {
        int64_t number;
        if (strcmp(fields[0], wanted) == 0 &&
            quantity_read_integer(fields[2], 0, MAXIMUM_ID, &number)) {
            *gid = (unsigned int)number;
            return true;
        }
    }
    return false;
}

static void add_memberships(char *group, struct spec_user *user)
{
    char *fields[4];
    size_t count;
    while ((count = next_line(&group, fields, 4)) > 0) {
        int64_t number;
        if (count == 4 && is_member(fields[3], user->name) &&
            quantity_read_integer(fields[2], 0, MAXIMUM_ID, &number))
            add_group(user, (unsigned int)number);
    }
}

int spec_look_up_group(const char *const *layers, size_t layer_count, const char *text,
                       unsigned int *gid, struct error *err)
{
    int64_t number;
    if (quantity_read_integer(text, 0, MAXIMUM_ID, &number)) {
        *gid = (unsigned int)number;
        return 0;
    }
    scope_free char *group = read_image_file(layers, layer_count, "group", err);
    if (!group)
        return -1;
    if (find_group(group, text, gid))
        return 0;
    return error_set(err, 0, "group '%.64s' is not in the image's /etc/group (give its number)",
                     text);
}

static int look_up(const char *const *layers, size_t layer_count, const char *text,
                   struct spec_user *user, struct error *err)
{
    scope_free char *name =
        memory_format("%.*s", (int)strcspn(text ? text : "", ":"), text ? text : "");
    const char *group_name = text && strchr(text, ':') ? strchr(text, ':') + 1 : "";
    scope_free char *passwd = read_image_file(layers, layer_count, "passwd", err);
    int64_t number = 0;
    if (!passwd)
        return -1;
    bool is_number = !*name || quantity_read_integer(name, 0, MAXIMUM_ID, &number);
    user->uid = (unsigned int)number;
    bool known = find_user(passwd, name, is_number, user);
    if (!known && !is_number)
        return error_set(err, 0, "user '%.64s' is not in the image's /etc/passwd (give a number)",
                         name);
    if (*group_name)
        return spec_look_up_group(layers, layer_count, group_name, &user->gid, err);
    scope_free char *group = known ? read_image_file(layers, layer_count, "group", err) : NULL;
    if (!known)
        return 0;
    if (!group)
        return -1;
    add_memberships(group, user);
    return 0;
}

int spec_look_up_user(const char *const *layers, size_t layer_count, const char *text,
                      struct spec_user *user, struct error *err)
{
    *user = (struct spec_user){0};
    if (look_up(layers, layer_count, text, user, err) == 0)
        return 0;
    spec_release_user(user);
    return -1;
}

void spec_release_user(struct spec_user *user)
{
    free(user->groups);
    free(user->home);
    free(user->name);
    *user = (struct spec_user){0};
}
