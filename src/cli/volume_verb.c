#include "cli/volume_verb.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "database/database.h"

/* A volume's mount point is told to others, who may be in another working directory. */
static int open_store(const struct cli_context *context, struct database *database,
                      struct volume_store *store, struct error *err)
{
    if (database_open_root(database, context->root, err) < 0)
        return -1;
    scope_free char *root = realpath(context->root, NULL);
    if (!root)
        return error_set(err, errno, "can't resolve %s", context->root);
    scope_free char *directory = memory_format("%s/volumes", strcmp(root, "/") == 0 ? "" : root);
    return volume_open(store, database, directory, err);
}

int volume_verb_run(struct cli_context *context,
                    int (*act)(struct cli_context *context, struct volume_store *store,
                               struct error *err),
                    struct error *err)
{
    scope_database struct database database = {0};
    struct volume_store store = {0};
    int status = open_store(context, &database, &store, err);
    if (status == 0)
        status = act(context, &store, err);
    volume_close(&store);
    if (status < 0)
        context->exit_status = 1;
    return status;
}

json_t *volume_verb_read_map(struct cli_context *context, const char *flag, struct error *err)
{
    const char **values;
    size_t count = command_values(context->line, flag, &values);
    json_t *map = json_object();
    for (size_t i = 0; i < count; i++) {
        size_t length = strcspn(values[i], "=");
        const char *value = values[i] + length + (values[i][length] == '=');
        scope_free char *key = memory_format("%.*s", (int)length, values[i]);
        if (length == 0)
            error_set(err, 0, "--%s '%s': the key is missing (KEY=VALUE)", flag, values[i]);
        else if (json_object_set_new(map, key, json_string(value)) < 0)
            error_set(err, 0, "--%s '%s': this isn't UTF-8", flag, values[i]);
        else
            continue;
        json_decref(map);
        return NULL;
    }
    return map;
}
