#include "vm/runtime/record.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/scope.h"
#include "monitor/document.h"

#define RECORD_LIMIT (1u << 20)

static char *path_of(const struct record *record, const char *suffix)
{
    return memory_format("%s/%s.%s", record->root, record->id, suffix);
}

char *record_control_path(const struct record *record)
{
    return path_of(record, "control");
}

/* As hull-oci's. */
static bool is_id(const char *id)
{
    for (const char *at = id; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("_+-.", *at))
            return false;
    return *id && *id != '.' && strlen(id) <= 128;
}

static int write_record(const struct record *record, struct error *err)
{
    scope_free char *path = path_of(record, "container");
    scope_json json_t *document = json_pack(
        "{s:s, s:i, s:I, s:o}", "bundle", record->bundle, "keeper", (int)record->keeper,
        "keeperStart", (json_int_t)record->keeper_start, "cgroup", cgroup_to_json(&record->cgroup));
    return document_write(path, document, err);
}

int record_enter(struct record *record, const char *root, const char *id, const char *bundle,
                 const struct cgroup *cgroup, struct error *err)
{
    *record = (struct record){.root = memory_copy_string(root),
                              .id = memory_copy_string(id),
                              .bundle = memory_copy_string(bundle),
                              .cgroup = *cgroup};
    if (!is_id(id))
        return error_set(err, 0, "not an id: letters, digits and _+-. only");
    if (file_make_directories(root, 0700, err) < 0)
        return -1;
    scope_free char *path = path_of(record, "container");
    scope_close int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return errno == EEXIST ? error_set(err, 0, "a machine with this id is there already")
                               : error_set(err, errno, "can't make %s", path);
    return write_record(record, err);
}

int record_set_keeper(struct record *record, pid_t keeper, struct error *err)
{
    char state;
    record->keeper = keeper;
    if (process_start_time(keeper, &record->keeper_start, &state) < 0)
        return error_set(err, errno, "the machine's keeper has vanished");
    return write_record(record, err);
}

static int parse(struct record *record, const char *text, struct error *err)
{
    scope_json json_t *document = json_loads(text, 0, NULL);
    const char *bundle = json_string_value(json_object_get(document, "bundle"));
    if (!bundle)
        return error_set(err, 0, "the record of the machine in %s is damaged", record->root);
    record->bundle = memory_copy_string(bundle);
    record->keeper = (pid_t)json_integer_value(json_object_get(document, "keeper"));
    record->keeper_start = (uint64_t)json_integer_value(json_object_get(document, "keeperStart"));
    return cgroup_from_json(&record->cgroup, json_object_get(document, "cgroup"), err);
}

int record_read(struct record *record, const char *root, const char *id, struct error *err)
{
    struct error why;
    *record = (struct record){.root = memory_copy_string(root), .id = memory_copy_string(id)};
    if (!is_id(id))
        return 0;
    scope_free char *path = path_of(record, "container");
    scope_free char *text = file_read_all(AT_FDCWD, path, RECORD_LIMIT, NULL, &why);
    if (!text && why.code == ENOENT)
        return 0;
    if (!text) {
        *err = why;
        return -1;
    }
    /* Whoever entered it was killed before it was written. */
    if (!*text) {
        record->bundle = memory_copy_string("");
        return 1;
    }
    return parse(record, text, err) < 0 ? -1 : 1;
}

int record_require(struct record *record, const char *root, const char *id, struct error *err)
{
    int found = record_read(record, root, id, err);
    if (found == 0)
        return error_set(err, ENOENT, "no such machine below %s", root);
    return found < 0 ? -1 : 0;
}

bool record_is_alive(const struct record *record)
{
    uint64_t start;
    char state;
    return record->keeper > 0 && process_start_time(record->keeper, &start, &state) == 0 &&
           start == record->keeper_start && state != 'Z' && state != 'X';
}

int record_remove(const struct record *record, struct error *err)
{
    scope_free char *control = record_control_path(record);
    scope_free char *path = path_of(record, "container");
    if ((unlink(control) < 0 && errno != ENOENT) || (unlink(path) < 0 && errno != ENOENT))
        return error_set(err, errno, "can't remove %s", path);
    return 0;
}

void record_release(struct record *record)
{
    free(record->root);
    free(record->id);
    free(record->bundle);
    *record = (struct record){0};
}
