/* Attaching a container: its record, then what the record says, one after the other. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"
#include "network/network_internal.h"
#include "network/publish.h"
#include "network/rootless.h"

/* What an attach works on. */
struct attach {
    struct networks *networks;
    const struct network_request *request;
    struct network_record *records; /* of each endpoint's network */
    struct container_record container;
    struct publication publication;
};

static void attach_release(struct attach *attach)
{
    network_record_release_list(attach->records, attach->container.endpoint_count);
    container_record_release(&attach->container);
    publication_release(&attach->publication);
}

static bool is_id(const char *text)
{
    return text && strlen(text) == NETWORK_ID_SIZE - 1 &&
           strspn(text, "0123456789abcdef") == NETWORK_ID_SIZE - 1;
}

static int check_addresses(const char *const *texts, size_t count, const char *what,
                           struct error *err)
{
    struct address address;
    for (size_t i = 0; i < count; i++)
        if (!address_parse(&address, texts[i]))
            return error_set(err, 0, "'%s' is no IP address of a %s", texts[i], what);
    return 0;
}

static int check_extra_hosts(const struct network_request *request, struct error *err)
{
    for (size_t i = 0; i < request->extra_host_count; i++) {
        const char *text = request->extra_hosts[i];
        size_t length = strcspn(text, ":=");
        char value[NETWORK_ADDRESS_SIZE] = "";
        struct address address;
        if (text[length])
            snprintf(value, sizeof value, "%s", text + length + 1);
        size_t end = strlen(value);
        if (end > 1 && value[0] == '[' && value[end - 1] == ']') {
            value[end - 1] = '\0';
            memmove(value, value + 1, end - 1);
        }
        if (length == 0 || strpbrk(text, " \t\n#") ||
            (strcmp(value, "host-gateway") != 0 && !address_parse(&address, value)))
            return error_set(err, 0, "extra host '%s': want NAME:ADDRESS, or NAME:host-gateway",
                             text);
    }
    return 0;
}

/* What would break the lines of resolv.conf and hosts. */
static int check_words(const char *const *texts, size_t count, const char *what, struct error *err)
{
    for (size_t i = 0; i < count; i++)
        if (!*texts[i] || strpbrk(texts[i], " \t\r\n"))
            return error_set(err, 0, "'%s' is no %s", texts[i], what);
    return 0;
}

static int check_request(const struct network_request *request, struct error *err)
{
    const char *names[2] = {request->hostname, request->domainname};
    if (!is_id(request->container_id))
        return error_set(err, EINVAL, "a container's id is 64 hexadecimal digits");
    for (size_t i = 0; i < 2; i++)
        if (names[i] && *names[i] && check_words(&names[i], 1, "name of a host", err) < 0)
            return -1;
    if (check_addresses(request->dns_servers, request->dns_server_count, "DNS server", err) < 0 ||
        check_words(request->dns_searches, request->dns_search_count, "domain to search", err) <
            0 ||
        check_words(request->dns_options, request->dns_option_count, "option of resolv.conf", err) <
            0)
        return -1;
    return check_extra_hosts(request, err);
}

static void pack_texts(json_t *settings, const char *key, const char *const *texts, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(texts[i]));
    json_object_set_new(settings, key, list);
}

static json_t *pack_settings(const struct network_request *request)
{
    json_t *settings = json_object();
    if (request->hostname)
        json_object_set_new(settings, "hostname", json_string(request->hostname));
    if (request->domainname)
        json_object_set_new(settings, "domainname", json_string(request->domainname));
    pack_texts(settings, "dns", request->dns_servers, request->dns_server_count);
    pack_texts(settings, "searches", request->dns_searches, request->dns_search_count);
    pack_texts(settings, "options", request->dns_options, request->dns_option_count);
    pack_texts(settings, "hosts", request->extra_hosts, request->extra_host_count);
    if (request->is_machine)
        json_object_set_new(settings, "machine", json_integer(request->machine_owner));
    return settings;
}

static void fill_container(struct attach *attach)
{
    const struct network_request *request = attach->request;
    struct container_record *container = &attach->container;
    snprintf(container->id, sizeof container->id, "%s", request->container_id);
    container->name = memory_copy_string(request->container_name ? request->container_name : "");
    container->mode = request->mode;
    container->state = CONTAINER_MAKING;
    container->other =
        memory_copy_string(request->mode == NETWORK_MODE_CONTAINER && request->other_container
                               ? request->other_container
                               : "");
    container->settings = pack_settings(request);
}

/* In the transaction: the networks can't be removed between being found and being used. */
static int prepare_endpoints(struct attach *attach, struct error *err)
{
    static const struct network_endpoint_request by_default = {.network = NETWORK_DEFAULT};
    const struct network_request *request = attach->request;
    struct container_record *container = &attach->container;
    bool given = request->endpoint_count > 0;
    size_t count = given ? request->endpoint_count : 1;
    attach->records = memory_allocate(count, sizeof *attach->records);
    container->endpoints = memory_allocate(count, sizeof *container->endpoints);
    for (size_t i = 0; i < count; i++) {
        const struct network_endpoint_request *wanted =
            given ? &request->endpoints[i] : &by_default;
        struct network_record *network = &attach->records[i];
        struct endpoint_record *endpoint = &container->endpoints[container->endpoint_count++];
        if (network_record_require(attach->networks, wanted->network, network, err) < 0)
            return -1;
        if (strcmp(network->driver, "bridge") != 0)
            return error_set(err, 0, "network '%s' can't be one among others", network->name);
        for (size_t j = 0; j < i; j++)
            if (strcmp(attach->records[j].id, network->id) == 0)
                return error_set(err, 0, "network '%s' is given twice", network->name);
        if (endpoint_prepare(attach->networks, network, wanted, endpoint, err) < 0)
            return -1;
        snprintf(endpoint->public.interface, sizeof endpoint->public.interface, "eth%zu", i);
    }
    return 0;
}

static int check_other(struct attach *attach, struct error *err)
{
    scope_container_record struct container_record other = {0};
    const char *id = attach->container.other;
    int found = is_id(id) ? container_record_load(attach->networks, id, &other, err) : 0;
    if (found < 0)
        return -1;
    if (found == 0 || other.state != CONTAINER_READY)
        return error_set(err, ENOENT, "container %.12s, whose network is to be shared, doesn't run",
                         id);
    return 0;
}

/* The record of what will be made. The sockets are there already: they are this process's. */
static int record(struct attach *attach, struct error *err)
{
    scope_transaction struct database_transaction transaction = {0};
    const struct network_request *request = attach->request;
    if (database_begin(attach->networks->database, &transaction, err) < 0 ||
        container_record_sweep(attach->networks, false, err) < 0)
        return -1;
    if (request->mode == NETWORK_MODE_BRIDGE && prepare_endpoints(attach, err) < 0)
        return -1;
    if (request->mode == NETWORK_MODE_CONTAINER && check_other(attach, err) < 0)
        return -1;
    if (container_record_insert(attach->networks, &attach->container, err) < 0)
        return -1;
    const char *binding = attach->records ? attach->records[0].host_binding : "";
    if (request->mode == NETWORK_MODE_BRIDGE &&
        publication_bind(attach->networks, request->ports, request->port_count, binding,
                         &attach->publication, err) < 0)
        return -1;
    attach->container.ports =
        memory_allocate(attach->publication.count, sizeof(struct network_port));
    for (size_t i = 0; i < attach->publication.count; i++) {
        attach->container.ports[attach->container.port_count++] = attach->publication.ports[i];
        if (container_record_insert_port(attach->networks, attach->container.id, i,
                                         &attach->publication.ports[i], err) < 0)
            return -1;
    }
    return database_commit(&transaction, err);
}

/* The ports were free just now, and are bound again by pasta. */
static int make_rootless(struct attach *attach, struct error *err)
{
    publication_release(&attach->publication);
    if (attach->container.mode != NETWORK_MODE_BRIDGE)
        return 0;
    return rootless_start(attach->networks, &attach->container, err);
}

static int make(struct attach *attach, struct error *err)
{
    const struct container_record *container = &attach->container;
    struct networks *networks = attach->networks;
    if (container->mode != NETWORK_MODE_BRIDGE && container->mode != NETWORK_MODE_NONE)
        return 0;
    scope_close int namespace =
        namespace_make(networks, container->id, attach->request->user_namespace, err);
    if (namespace < 0)
        return -1;
    if (networks->rootless)
        return make_rootless(attach, err);
    for (size_t i = 0; i < container->endpoint_count; i++)
        if (endpoint_make(networks, container, i, &attach->records[i], namespace, err) < 0)
            return -1;
    if (network_uses_resolver(networks, container) && resolver_update(networks, err) < 0)
        return -1;
    if (attach->publication.count == 0)
        return 0;
    if (publication_start(networks, &attach->container, &attach->publication, err) < 0 ||
        rules_update(networks, err) < 0)
        return -1;
    conntrack_forget(container->ports, container->port_count);
    /* Here libnftables is loaded anyway. */
    if (!attach->records[0].internal)
        foreign_warn(networks, attach->records[0].interface);
    return 0;
}

static int attach_recorded(struct attach *attach, struct network_attachment *attachment,
                           struct error *err)
{
    struct networks *networks = attach->networks;
    const char *id = attach->container.id;
    if (make(attach, err) < 0 || container_record_complete(networks, id, err) < 0)
        return -1;
    int found = network_find_attachment(networks, id, attachment, err);
    if (found == 0)
        return error_set(err, ENOENT, "it was detached by another process meanwhile");
    return found < 0 ? -1 : 0;
}

static int attach_all(struct attach *attach, struct network_attachment *attachment,
                      struct error *err)
{
    fill_container(attach);
    if (record(attach, err) < 0)
        return -1;
    if (attach_recorded(attach, attachment, err) == 0)
        return 0;
    struct error other;
    if (network_detach(attach->networks, attach->container.id, &other) < 0)
        warnings_say(attach->networks->warnings, &other);
    return -1;
}

int network_attach(struct networks *networks, const struct network_request *request,
                   struct network_attachment *attachment, struct error *err)
{
    struct attach attach = {.networks = networks, .request = request};
    *attachment = (struct network_attachment){0};
    if (check_request(request, err) < 0 ||
        (networks->rootless && request->mode == NETWORK_MODE_BRIDGE &&
         rootless_check(request, err) < 0) ||
        container_record_recover(networks, err) < 0 ||
        network_detach(networks, request->container_id, err) < 0)
        return error_wrap(err, "container %.12s", request->container_id);
    networks_begin_volatile(networks);
    int result = attach_all(&attach, attachment, err);
    networks_end_volatile(networks);
    attach_release(&attach);
    return result < 0 ? error_wrap(err, "network of container %.12s", request->container_id) : 0;
}
