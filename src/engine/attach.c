/* A container's network: what the settings say, as src/network wants it, and back: the files below
 * /etc that go with what it got. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "engine/attach.h"
#include "engine/machine.h"
#include "engine/rootless.h"
#include "engine/settings_internal.h"

#define CONTAINER_MODE "container:"

struct networks *engine_networks(struct engine *engine, struct error *err)
{
    if (!engine->networks) {
        const struct network_options options = {
            .database = &engine->database,
            .run_root = engine->run_root,
            .warnings = engine->warnings,
            .rootless = rootless_is_active(),
        };
        if (network_open(&engine->networks, &options, err) < 0)
            return NULL;
    }
    return engine->networks;
}

/* Texts of the settings, as an array that lives in the arena. */
static const char *const *take_texts(struct arena *arena, const json_t *list, size_t *count)
{
    const char **texts = arena_allocate(arena, json_array_size(list) + 1, sizeof *texts);
    const json_t *text;
    size_t i;
    json_array_foreach(list, i, text) texts[i] = json_string_value(text);
    *count = json_array_size(list);
    return texts;
}

static const char *text_or_null(const json_t *object, const char *key)
{
    const char *text = settings_text(object, key);
    return *text ? text : NULL;
}

/* ---- Networks ---- */

static void take_endpoint(struct arena *arena, const char *network, const json_t *endpoint,
                          const char *mac, struct network_endpoint_request *request)
{
    const json_t *ipam = json_object_get(endpoint, "IPAMConfig");
    *request = (struct network_endpoint_request){
        .network = network,
        .ip4 = text_or_null(ipam, "IPv4Address"),
        .ip6 = text_or_null(ipam, "IPv6Address"),
        .mac = text_or_null(endpoint, "MacAddress") ? text_or_null(endpoint, "MacAddress") : mac,
    };
    request->aliases =
        take_texts(arena, json_object_get(endpoint, "Aliases"), &request->alias_count);
}

/* That of NetworkMode is eth0, whatever its place in EndpointsConfig. */
static void take_endpoints(struct arena *arena, const json_t *settings, const char *mode,
                           struct network_request *request)
{
    const json_t *config =
        json_object_get(json_object_get(settings, "NetworkingConfig"), "EndpointsConfig");
    struct network_endpoint_request *endpoints =
        arena_allocate(arena, json_object_size(config) + 1, sizeof *endpoints);
    const char *network;
    json_t *endpoint;
    bool is_default = !*mode || strcmp(mode, "default") == 0;
    const char *first = is_default ? "bridge" : mode;
    const json_t *of_first = json_object_get(config, first);
    if (!of_first && is_default)
        of_first = json_object_get(config, "default");
    take_endpoint(arena, first, of_first, text_or_null(settings, "MacAddress"), &endpoints[0]);
    request->endpoint_count = 1;
    json_object_foreach((json_t *)(uintptr_t)config, network, endpoint)
    {
        if (endpoint != of_first)
            take_endpoint(arena, network, endpoint, NULL, &endpoints[request->endpoint_count++]);
    }
    request->endpoints = endpoints;
}

/* ---- Ports ---- */

/* "80/tcp" with {"HostIp", "HostPort"}, the latter perhaps a range, or "". */
static int take_port(struct network_ports *ports, const char *port, const json_t *binding,
                     struct error *err)
{
    const char *address = settings_text(binding, "HostIp");
    bool is_ipv6 = strchr(address, ':') && address[0] != '[';
    scope_free char *text =
        *address ? memory_format("%s%s%s:%s:%s", is_ipv6 ? "[" : "", address, is_ipv6 ? "]" : "",
                                 settings_text(binding, "HostPort"), port)
                 : memory_format("%s:%s", settings_text(binding, "HostPort"), port);
    return network_ports_parse(ports, *text == ':' ? text + 1 : text, err);
}

static int take_ports(struct network_ports *ports, const json_t *settings, struct error *err)
{
    const json_t *host = json_object_get(settings, "HostConfig");
    json_t *published = json_object_get(host, "PortBindings"), *bindings, *binding;
    const char *port;
    size_t i;
    json_object_foreach(published, port, bindings)
    {
        if (json_array_size(bindings) == 0 && network_ports_parse(ports, port, err) < 0)
            return -1;
        json_array_foreach(bindings, i,
                           binding) if (take_port(ports, port, binding, err) < 0) return -1;
    }
    json_object_foreach(json_object_get(settings, "ExposedPorts"), port, bindings)
    {
        if (settings_flag(host, "PublishAllPorts") && !json_object_get(published, port) &&
            network_ports_parse_exposed(ports, port, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- Links ---- */

/* "CONTAINER[:ALIAS]": the address of a running container under its name and the alias, docker's
 * old way where there is no DNS. */
static int take_link(struct engine *engine, const char *text, json_t *hosts, struct error *err)
{
    scope_container struct engine_container other = {0};
    struct network_attachment attachment = {0};
    const char *colon = strchr(text, ':');
    scope_free char *name = memory_copy_string(text);
    name[colon ? (size_t)(colon - text) : strlen(name)] = '\0';
    struct monitor_status status = {0};
    if (engine_find(engine, name, &other, err) < 0 ||
        engine_status(engine, &other, &status, err) < 0)
        return error_wrap(err, "--link '%s'", text);
    /* A container that has ended keeps its address until its clean-up is done. */
    bool is_up = engine_is_up(&status);
    monitor_status_release(&status);
    int found = is_up ? network_find_attachment(engine->networks, other.id, &attachment, err) : 0;
    const char *address =
        found == 1 && attachment.endpoint_count > 0 ? attachment.endpoints[0].ip4 : "";
    if (*address) {
        json_array_append_new(hosts, json_sprintf("%s:%s", other.name, address));
        if (colon)
            json_array_append_new(hosts, json_sprintf("%s:%s", colon + 1, address));
    } else if (found >= 0) {
        found = error_set(err, 0, "--link '%s': container %s doesn't run, or has no address", text,
                          other.name);
    }
    network_attachment_release(&attachment);
    return found < 0 ? -1 : 0;
}

/* --add-host's, and those of links; kept in *hosts. */
static int take_hosts(struct engine *engine, const json_t *host, json_t **hosts, struct error *err)
{
    const json_t *link;
    size_t i;
    *hosts = json_array();
    json_array_extend(*hosts, json_object_get(host, "ExtraHosts"));
    json_array_foreach(json_object_get(host, "Links"), i, link)
    {
        if (take_link(engine, json_string_value(link), *hosts, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- All of it ---- */

static int take_mode(struct engine *engine, const char *mode, bool is_disabled,
                     struct network_request *request, struct engine_container *other,
                     struct error *err)
{
    if (strcmp(mode, "host") == 0)
        request->mode = NETWORK_MODE_HOST;
    else if (is_disabled || strcmp(mode, "none") == 0)
        request->mode = NETWORK_MODE_NONE;
    else if (strncmp(mode, CONTAINER_MODE, strlen(CONTAINER_MODE)) == 0) {
        request->mode = NETWORK_MODE_CONTAINER;
        if (engine_find(engine, mode + strlen(CONTAINER_MODE), other, err) < 0)
            return error_wrap(err, "the network of another container");
        request->other_container = other->id;
    }
    return 0;
}

static int fill_request(struct engine *engine, const struct engine_container *container,
                        struct arena *arena, struct network_request *request,
                        struct engine_container *other, struct network_ports *ports,
                        struct error *err)
{
    const json_t *settings = container->settings;
    const json_t *host = json_object_get(settings, "HostConfig");
    const char *mode = settings_text(host, "NetworkMode");
    *request = (struct network_request){
        .container_id = container->id,
        .container_name = container->name,
        .hostname = text_or_null(settings, "Hostname"),
        .domainname = text_or_null(settings, "Domainname"),
        .mode = NETWORK_MODE_BRIDGE,
    };
    if (take_mode(engine, mode, settings_flag(settings, "NetworkDisabled"), request, other, err) <
        0)
        return -1;
    if (request->mode == NETWORK_MODE_BRIDGE) {
        take_endpoints(arena, settings, mode, request);
        if (take_ports(ports, settings, err) < 0)
            return -1;
    }
    request->is_machine = engine_is_machine(container);
    request->machine_owner = engine_machine_owner(container);
    request->ports = ports->list;
    request->port_count = ports->count;
    request->dns_servers =
        take_texts(arena, json_object_get(host, "Dns"), &request->dns_server_count);
    request->dns_searches =
        take_texts(arena, json_object_get(host, "DnsSearch"), &request->dns_search_count);
    request->dns_options =
        take_texts(arena, json_object_get(host, "DnsOptions"), &request->dns_option_count);
    return 0;
}

int engine_network_write_files(const struct engine_container *container,
                               const struct network_attachment *attachment, struct error *err)
{
    const struct {
        const char *name, *text;
    } files[] = {{"hosts", attachment->hosts},
                 {"hostname", attachment->hostname},
                 {"resolv.conf", attachment->resolv_conf}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (files[i].text &&
            engine_write_file(container->run_directory, files[i].name, files[i].text, err) < 0)
            return -1;
    return 0;
}

int engine_network_attach(struct engine *engine, const struct engine_container *container,
                          int user_namespace, struct engine_network *result, struct error *err)
{
    struct arena arena = {0};
    struct network_request request;
    struct network_ports ports = {0};
    scope_container struct engine_container other = {0};
    struct networks *networks = engine_networks(engine, err);
    *result = (struct engine_network){0};
    int status =
        networks ? fill_request(engine, container, &arena, &request, &other, &ports, err) : -1;
    request.user_namespace = user_namespace;
    json_t *hosts = NULL;
    if (status == 0)
        status = take_hosts(engine, engine_host_config(container), &hosts, err);
    if (status == 0) {
        request.extra_hosts = take_texts(&arena, hosts, &request.extra_host_count);
        status = network_attach(networks, &request, &result->attachment, err);
    }
    if (status == 0)
        status = engine_network_write_files(container, &result->attachment, err);
    if (status == 0)
        result->files =
            memory_copy_string(request.mode == NETWORK_MODE_CONTAINER ? other.run_directory
                                                                      : container->run_directory);
    network_ports_release(&ports);
    arena_release(&arena);
    json_decref(hosts);
    return status;
}

void engine_network_release(struct engine_network *network)
{
    network_attachment_release(&network->attachment);
    free(network->files);
    *network = (struct engine_network){0};
}

int engine_network_rename(struct engine *engine, const struct engine_container *container,
                          const char *name, struct error *err)
{
    struct networks *networks = engine_networks(engine, err);
    return networks ? network_rename(networks, container->id, name, err) : -1;
}
