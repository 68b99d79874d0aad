/* Who a user is, as the image's files say now: "name", "name:group", or numbers for either; as
 * docker has it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/quantity.h"
#include "base/scope.h"
#include "container/rootpath.h"
#include "guest.h"

#define FILE_LIMIT (4U << 20)
#define MAXIMUM_ID 4294967294LL
#define MAX_GROUPS 65536 /* NGROUPS_MAX */

/* A file of the container's, "" if there is none that can be read. */
static char *read_in(int root, const char *path)
{
    scope_close int fd = rootpath_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    char *text = NULL;
    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        text = file_read_all_fd(fd, path, FILE_LIMIT, NULL, NULL);
    return text ? text : memory_copy_string("");
}

/* Takes the next line with at least three fields off *rest; how many fields, 0 at the end. */
static size_t take_line(char **rest, char *fields[7])
{
    char *line;
    while ((line = strsep(rest, "\n"))) {
        size_t count = 0;
        while (line && count < 7)
            fields[count++] = strsep(&line, ":");
        if (count >= 3)
            return count;
    }
    return 0;
}

static bool read_id(const char *text, uint32_t *id)
{
    int64_t number;
    if (!quantity_read_integer(text, 0, MAXIMUM_ID, &number))
        return false;
    *id = (uint32_t)number;
    return true;
}

/* The entry for a name or number; its name, which points into passwd, or NULL. */
static const char *find_user(char *passwd, const char *wanted, struct config_process *process)
{
    char *fields[7];
    uint32_t number, uid, gid;
    bool is_number = read_id(wanted, &number);
    for (size_t count; (count = take_line(&passwd, fields)) > 0;) {
        if (count < 4 || !read_id(fields[2], &uid) || !read_id(fields[3], &gid) ||
            (strcmp(fields[0], wanted) != 0 && !(is_number && uid == number)))
            continue;
        process->uid = uid;
        process->gid = gid;
        return fields[0];
    }
    return NULL;
}

static bool find_group(char *group, const char *wanted, uint32_t *gid)
{
    char *fields[7];
    while (take_line(&group, fields) > 0) {
        if (strcmp(fields[0], wanted) == 0 && read_id(fields[2], gid))
            return true;
    }
    return read_id(wanted, gid);
}

static bool has_member(char *members, const char *name)
{
    char *member;
    while ((member = strsep(&members, ","))) {
        if (strcmp(member, name) == 0)
            return true;
    }
    return false;
}

static void add_gid(struct config_process *process, uint32_t gid)
{
    /* The array has room: add_groups(). */
    gid_t *gids = (gid_t *)(uintptr_t)process->additional_gids;
    for (size_t i = 0; i < process->additional_gid_count; i++)
        if (gids[i] == gid)
            return;
    if (process->additional_gid_count < MAX_GROUPS)
        gids[process->additional_gid_count++] = gid;
}

/* The user's own group and those it is a member of, beside those that were given. */
static void add_groups(char *group, const char *name, struct config_process *process,
                       struct arena *arena)
{
    char *fields[7];
    uint32_t gid;
    size_t given = process->additional_gid_count, room = given + 2;
    for (const char *at = group; at && (at = strchr(at, '\n')); at++)
        room++;
    gid_t *all = arena_allocate(arena, room, sizeof *all);
    if (given)
        memcpy(all, process->additional_gids, given * sizeof *all);
    process->additional_gids = all;
    add_gid(process, process->gid);
    for (size_t found; name && (found = take_line(&group, fields)) > 0;) {
        if (found >= 4 && read_id(fields[2], &gid) && has_member(fields[3], name))
            add_gid(process, gid);
    }
}

int user_resolve(struct config_process *process, const char *username, int root,
                 struct arena *arena, struct error *err)
{
    scope_free char *passwd = read_in(root, "/etc/passwd"), *group = read_in(root, "/etc/group");
    scope_free char *wanted = memory_copy_string(username);
    char *group_wanted = strchr(wanted, ':');
    if (group_wanted)
        *group_wanted++ = '\0';
    const char *name = find_user(passwd, *wanted ? wanted : "0", process);
    process->gid = name ? process->gid : 0;
    if (!name && *wanted && !read_id(wanted, &process->uid))
        return error_set(err, 0, "unable to find user %s: no matching entries in passwd file",
                         wanted);
    bool has_group = group_wanted && *group_wanted;
    if (has_group && !find_group(group, group_wanted, &process->gid))
        return error_set(err, 0, "unable to find group %s: no matching entries in group file",
                         group_wanted);
    add_groups(group, has_group ? NULL : name, process, arena);
    return 0;
}
