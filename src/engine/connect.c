/* One more or one less network for a container: noted in its settings, for the next start, and done
 * at once if it runs. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "engine/attach.h"
#include "engine/machine.h"
#include "engine/settings_internal.h"
#include "engine/start.h"

/* An object's member that is an object, made if it is missing. */
static json_t *object_member(json_t *object, const char *key)
{
    json_t *member = json_object_get(object, key);
    if (json_is_object(member))
        return member;
    member = json_object();
    json_object_set_new(object, key, member);
    return member;
}

static json_t *endpoints_of(struct engine_container *container)
{
    return object_member(object_member(container->settings, "NetworkingConfig"), "EndpointsConfig");
}

static const char *mode_of(struct engine_container *container)
{
    const char *mode = settings_text(engine_host_config(container), "NetworkMode");
    return !*mode || strcmp(mode, "default") == 0 ? "bridge" : mode;
}

static bool is_private_mode(const char *mode)
{
    return strcmp(mode, "host") == 0 || strncmp(mode, "container:", 10) == 0;
}

/* The key under which the settings name the network: its name, or what the user wrote (an id). */
static const char *find_key(struct networks *networks, json_t *endpoints, const char *id)
{
    const char *key;
    json_t *endpoint;
    json_object_foreach(endpoints, key, endpoint)
    {
        char other[NETWORK_ID_SIZE];
        if (network_find(networks, key, other, NULL, NULL) == 1 && strcmp(other, id) == 0)
            return key;
    }
    return NULL;
}

static bool is_network(struct networks *networks, const char *name, const char *id)
{
    char other[NETWORK_ID_SIZE];
    return network_find(networks, name, other, NULL, NULL) == 1 && strcmp(other, id) == 0;
}

static json_t *describe_request(const struct network_endpoint_request *request)
{
    json_t *aliases = json_array(), *ipam = json_object();
    for (size_t i = 0; i < request->alias_count; i++)
        json_array_append_new(aliases, json_string(request->aliases[i]));
    if (request->ip4)
        json_object_set_new(ipam, "IPv4Address", json_string(request->ip4));
    if (request->ip6)
        json_object_set_new(ipam, "IPv6Address", json_string(request->ip6));
    json_t *endpoint = json_pack("{s:o, s:o}", "Aliases", aliases, "IPAMConfig", ipam);
    if (request->mac)
        json_object_set_new(endpoint, "MacAddress", json_string(request->mac));
    return endpoint;
}

/* What a change works on. */
struct change {
    struct engine *engine;
    struct networks *networks;
    struct engine_container container; /* as the database has it now */
    char network_id[NETWORK_ID_SIZE];
    char *network_name;
    bool is_up;
    int lock;
};

static void change_release(struct change *change)
{
    engine_container_release(&change->container);
    free(change->network_name);
    scope_close_fd(&change->lock);
}

static int change_begin(struct change *change, const struct engine_container *container,
                        const char *network, struct error *err)
{
    struct monitor_status status = {0};
    change->networks = engine_networks(change->engine, err);
    change->lock = change->networks ? engine_lock(container, false, err) : -1;
    if (change->lock < 0)
        return -1;
    int found =
        network_find(change->networks, network, change->network_id, &change->network_name, err);
    if (found == 0) {
        error_set(err, 0, "network '%s' not found (hull network ls lists them)", network);
        err->code = ENOENT;
    }
    if (found <= 0)
        return -1;
    found = engine_row_find(change->engine, container->id, &change->container, err);
    if (found == 0)
        return error_set(err, ENOENT, "container %.12s is gone", container->id);
    if (found < 0 || engine_settle(change->engine, container, change->lock, &status, err) < 0)
        return -1;
    change->is_up = engine_is_up(&status) && status.state != MONITOR_RESTARTING;
    monitor_status_release(&status);
    if (is_private_mode(mode_of(&change->container)))
        return error_set(err, 0, "container '%s' shares the network of %s, and can't have another",
                         change->container.name, mode_of(&change->container));
    if (change->is_up && engine_is_machine(container))
        return error_set(err, 0,
                         "container '%s' is a virtual machine, whose networks can't change while "
                         "it runs (stop it first)",
                         change->container.name);
    return 0;
}

/* The container has mounts of these very files: they are written over, not replaced. */
static int overwrite(const char *directory, const char *name, const char *text, struct error *err)
{
    scope_free char *path = memory_format("%s/%s", directory, name);
    scope_close int fd = text ? open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (!text)
        return 0;
    if (fd < 0 || file_write_all(fd, text, strlen(text)) < 0 ||
        ftruncate(fd, (off_t)strlen(text)) < 0)
        return error_set(err, errno, "can't write %s", path);
    return 0;
}

static int rewrite_files(const struct engine_container *container,
                         const struct network_attachment *attachment, struct error *err)
{
    if (overwrite(container->run_directory, "hosts", attachment->hosts, err) < 0)
        return -1;
    return overwrite(container->run_directory, "resolv.conf", attachment->resolv_conf, err);
}

static int change_end(struct change *change, const struct network_attachment *attachment,
                      const char *action, struct error *err)
{
    if ((change->is_up && rewrite_files(&change->container, attachment, err) < 0) ||
        engine_row_set_settings(change->engine, &change->container, err) < 0)
        return -1;
    json_t *attributes = json_pack("{s:s, s:s, s:s}", "container", change->container.id, "name",
                                   change->network_name, "type", "bridge");
    engine_emit(change->engine, "network", action, change->network_id, attributes);
    return 0;
}

static int connect_to(struct change *change, const struct network_endpoint_request *request,
                      struct error *err)
{
    struct network_attachment attachment = {0};
    json_t *endpoints = endpoints_of(&change->container);
    const char *mode = mode_of(&change->container);
    if (find_key(change->networks, endpoints, change->network_id) ||
        is_network(change->networks, mode, change->network_id))
        return error_set(err, 0, "container '%s' is connected to network '%s' already",
                         change->container.name, change->network_name);
    if (change->is_up &&
        network_connect(change->networks, change->container.id, request, &attachment, err) < 0)
        return -1;
    json_object_set_new(endpoints, change->network_name, describe_request(request));
    if (strcmp(mode, "none") == 0)
        json_object_set_new(engine_host_config(&change->container), "NetworkMode",
                            json_string(change->network_name));
    int result = change_end(change, &attachment, "connect", err);
    network_attachment_release(&attachment);
    return result;
}

int engine_network_connect(struct engine *engine, const struct engine_container *container,
                           const struct network_endpoint_request *request, struct error *err)
{
    struct change change = {.engine = engine, .lock = -1};
    int result = change_begin(&change, container, request->network, err);
    if (result == 0)
        result = connect_to(&change, request, err);
    change_release(&change);
    return result;
}

/* The first of those that are left becomes eth0 at the next start. */
static void forget_network(struct change *change)
{
    json_t *endpoints = endpoints_of(&change->container);
    const char *key;
    bool was_mode = is_network(change->networks, mode_of(&change->container), change->network_id);
    while ((key = find_key(change->networks, endpoints, change->network_id)))
        json_object_del(endpoints, key);
    if (!was_mode)
        return;
    void *first = json_object_iter(endpoints);
    json_object_set_new(engine_host_config(&change->container), "NetworkMode",
                        json_string(first ? json_object_iter_key(first) : "none"));
}

static int disconnect_from(struct change *change, struct error *err)
{
    struct network_attachment attachment = {0};
    if (!find_key(change->networks, endpoints_of(&change->container), change->network_id) &&
        !is_network(change->networks, mode_of(&change->container), change->network_id))
        return error_set(err, 0, "container '%s' is not connected to network '%s'",
                         change->container.name, change->network_name);
    if (change->is_up && network_disconnect(change->networks, change->container.id,
                                            change->network_id, &attachment, err) < 0)
        return -1;
    forget_network(change);
    int result = change_end(change, &attachment, "disconnect", err);
    network_attachment_release(&attachment);
    return result;
}

int engine_network_disconnect(struct engine *engine, const struct engine_container *container,
                              const char *network, struct error *err)
{
    struct change change = {.engine = engine, .lock = -1};
    int result = change_begin(&change, container, network, err);
    if (result == 0)
        result = disconnect_from(&change, err);
    change_release(&change);
    return result;
}

int engine_network_is_used(struct engine *engine, const char *network_id, struct error *err)
{
    struct networks *networks = engine_networks(engine, err);
    scope_engine_list struct engine_list list = {0};
    if (!networks || engine_list(engine, &list, err) < 0)
        return -1;
    for (size_t i = 0; i < list.count; i++) {
        struct engine_container *container = &list.items[i];
        if (is_network(networks, mode_of(container), network_id) ||
            find_key(networks, endpoints_of(container), network_id))
            return 1;
    }
    return 0;
}
