#include "engine/machine_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/remove_tree.h"
#include "base/scope.h"
#include "engine/machine.h"
#include "monitor/document.h"
#include "vm/agent/agent.h"

#define STAT_MS 20000
#define STALL_MS 60000 /* without any progress */
#define MAX_LINKS 40   /* as path_resolution(7) */

/* ---- the guest's side ---- */

struct place {
    char *socket;
    struct agent_address agent;
    char *path;    /* absolute, without "/." or a slash at its end */
    bool contents; /* "/." */
    bool has_slash;
    json_t *status; /* what the agent says of it; NULL: it isn't there */
};

static void release_place(struct place *place)
{
    free(place->socket);
    free(place->path);
    json_decref(place->status);
}
#define scope_place __attribute__((cleanup(release_place)))

static int check_runs(struct engine *engine, const struct engine_container *container,
                      struct error *err)
{
    struct monitor_status status = {0};
    if (engine_status(engine, container, &status, err) < 0)
        return -1;
    bool runs = status.state == MONITOR_RUNNING;
    monitor_status_release(&status);
    return runs ? 0
                : error_set(err, 0,
                            "container %s is a virtual machine: its files can be copied while it "
                            "runs",
                            container->name);
}

static void split(struct place *place, const char *path)
{
    size_t length = strlen(path);
    for (;;) {
        if (length > 0 && path[length - 1] == '/')
            place->has_slash = true;
        else if (length > 0 && path[length - 1] == '.' && (length == 1 || path[length - 2] == '/'))
            place->has_slash = place->contents = true;
        else
            break;
        length--;
    }
    place->path = memory_format("%s%.*s", *path == '/' && length > 0 ? "" : "/", (int)length, path);
}

/* 0 also where there is no such file. */
static int look(struct place *place, struct error *err)
{
    json_decref(place->status);
    place->status =
        agent_call(&place->agent, "stat", json_pack("{s:s}", "path", place->path), STAT_MS, err);
    return place->status || err->code == ENOENT ? 0 : -1;
}

static const char *link_of(const struct place *place)
{
    const char *link = json_string_value(json_object_get(place->status, "link"));
    return link ? link : "";
}

static bool is_directory(const struct place *place)
{
    return place->status &&
           S_ISDIR((mode_t)json_integer_value(json_object_get(place->status, "mode")));
}

/* The length of what is before the last component, with its slash. */
static int length_above(const char *path)
{
    return (int)(strrchr(path, '/') - path) + 1;
}

static int follow(struct place *place, struct error *err)
{
    for (int links = 0; *link_of(place); links++) {
        const char *link = link_of(place);
        if (links == MAX_LINKS)
            return error_set(err, ELOOP, "can't open %s", place->path);
        char *path = *link == '/'
                         ? memory_copy_string(link)
                         : memory_format("%.*s%s", length_above(place->path), place->path, link);
        free(place->path);
        place->path = path;
        if (look(place, err) < 0)
            return -1;
    }
    return 0;
}

static int find_place(struct engine *engine, const struct engine_container *container,
                      const char *path, bool follows, struct place *place, struct error *err)
{
    *place = (struct place){0};
    if (check_runs(engine, container, err) < 0)
        return -1;
    place->socket = memory_format("%s/jail/run/vsock", container->run_directory);
    place->agent = (struct agent_address){place->socket, AGENT_PORT};
    split(place, path);
    if (look(place, err) < 0)
        return -1;
    return follows || place->has_slash ? follow(place, err) : 0;
}

static int find_source(struct engine *engine, const struct engine_container *container,
                       const char *path, const struct copy_options *options, struct place *place,
                       struct error *err)
{
    if (find_place(engine, container, path, options->follow_link, place, err) < 0)
        return -1;
    if (!place->status)
        return error_set(err, ENOENT, "can't find %s:%s", container->name, path);
    return place->has_slash && !is_directory(place)
               ? error_set(err, ENOTDIR, "can't copy %s:%s", container->name, path)
               : 0;
}

static json_t *owner_of(const struct copy_options *options)
{
    return options->owners ? NULL : json_pack("{s:{s:i, s:i}}", "owner", "uid", 0, "gid", 0);
}

/* ---- between the two ---- */

/* A directory in the container's own, which is removed again. */
struct rest {
    char *path;
    int fd;
};

static void release_rest(struct rest *rest)
{
    if (rest->fd >= 0)
        close(rest->fd);
    if (rest->path)
        remove_tree(AT_FDCWD, rest->path, NULL, NULL);
    free(rest->path);
}
#define scope_rest __attribute__((cleanup(release_rest)))

static int make_rest(const struct engine_container *container, struct rest *rest, struct error *err)
{
    *rest = (struct rest){memory_format("%s/copy.%d", container->directory, (int)getpid()), -1};
    remove_tree(AT_FDCWD, rest->path, NULL, NULL);
    if (mkdir(rest->path, 0700) < 0 ||
        (rest->fd = open(rest->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return error_set(err, errno, "can't make %s", rest->path);
    return 0;
}

static struct copy_place place_in(const struct rest *rest, const char *path)
{
    return (struct copy_place){
        .root = rest->fd, .user_namespace = -1, .path = path, .name = rest->path};
}

/* An archive on its way through an unlinked file: the agent is waited for here, and libarchive,
 * too.
 */
static int open_archive(const struct rest *rest, struct error *err)
{
    int fd = open(rest->path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd < 0 ? error_set(err, errno, "can't make a file in %s", rest->path) : fd;
}

/* ---- out ---- */

int machine_copy_to_archive(struct engine *engine, const struct engine_container *container,
                            const char *path, const struct copy_options *options, int fd,
                            struct error *err)
{
    scope_place struct place place = {0};
    if (find_source(engine, container, path, options, &place, err) < 0)
        return -1;
    return agent_copy_out(&place.agent, place.path, fd, NULL, STALL_MS, err);
}

static int fetch(const struct place *place, const struct rest *rest, struct error *err)
{
    const struct copy_options all = {.owners = true};
    const struct copy_place root = place_in(rest, "/");
    scope_close int archive = open_archive(rest, err);
    if (archive < 0 || agent_copy_out(&place->agent, place->path, archive, NULL, STALL_MS, err) < 0)
        return -1;
    return lseek(archive, 0, SEEK_SET) < 0 ? error_set(err, errno, "can't read the archive")
                                           : copy_from_archive(archive, &root, &all, err);
}

int machine_copy_out(struct engine *engine, const struct engine_container *container,
                     const char *path, const struct copy_place *destination,
                     const struct copy_options *options, int64_t *bytes, struct error *err)
{
    scope_place struct place place = {0};
    scope_rest struct rest rest = {.fd = -1};
    if (find_source(engine, container, path, options, &place, err) < 0 ||
        make_rest(container, &rest, err) < 0 || fetch(&place, &rest, err) < 0)
        return -1;
    /* A link that was followed keeps its own name. */
    const char *name = place.path + length_above(place.path);
    scope_free char *inside = memory_format("/%s%s", name, place.contents ? "/." : "");
    const struct copy_place source = place_in(&rest, inside);
    return copy_tree(&source, destination, options, bytes, err);
}

/* ---- in ---- */

int machine_copy_from_archive(struct engine *engine, const struct engine_container *container,
                              int fd, const char *path, const struct copy_options *options,
                              struct error *err)
{
    scope_place struct place place = {0};
    if (find_place(engine, container, path, true, &place, err) < 0)
        return -1;
    if (!is_directory(&place))
        return error_set(err, place.status ? ENOTDIR : ENOENT,
                         "can't extract an archive into %s:%s", container->name, path);
    return agent_copy_in(&place.agent, place.path, owner_of(options), fd, STALL_MS, err);
}

static int send_archive(const struct place *place, const char *directory, const struct rest *rest,
                        const struct copy_options *options, struct error *err)
{
    const struct copy_place all = place_in(rest, "/.");
    scope_close int archive = open_archive(rest, err);
    if (archive < 0 || copy_to_archive(&all, options, archive_take_file, &archive, err) < 0)
        return -1;
    if (lseek(archive, 0, SEEK_SET) < 0)
        return error_set(err, errno, "can't read the archive");
    return agent_copy_in(&place->agent, directory, owner_of(options), archive, STALL_MS, err);
}

int machine_copy_in(struct engine *engine, const struct engine_container *container,
                    const struct copy_place *source, const char *path,
                    const struct copy_options *options, int64_t *bytes, struct error *err)
{
    scope_place struct place place = {0};
    scope_rest struct rest rest = {.fd = -1};
    if (find_place(engine, container, path, true, &place, err) < 0 ||
        make_rest(container, &rest, err) < 0)
        return -1;
    if (!place.status && place.has_slash && !place.contents)
        return error_set(err, ENOENT, "can't copy into the directory %s:%s", container->name, path);
    /* Into a directory under the source's own name, else under the path's last. */
    bool is_whole = is_directory(&place);
    const char *name = place.path + length_above(place.path);
    scope_free char *inside = memory_format("/%s", is_whole ? "" : name);
    scope_free char *above = memory_format("%.*s", length_above(place.path), place.path);
    const struct copy_place resting = place_in(&rest, inside);
    if (copy_tree(source, &resting, options, bytes, err) < 0)
        return -1;
    return send_archive(&place, is_whole ? place.path : above, &rest, options, err);
}
