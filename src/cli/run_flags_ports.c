/* --publish and --expose. */
#include <arpa/inet.h>
#include <string.h>

#include "base/scope.h"
#include "cli/quantity.h"
#include "cli/run_flags_internal.h"

struct range {
    int64_t first, last;
};

struct publication {
    char *address;     /* "" is all */
    struct range host; /* first 0: any free port */
    struct range container;
    const char *protocol;
};

/* "80" or "80-90" */
static bool read_range(const char *text, size_t length, struct range *range)
{
    scope_free char *copy = memory_format("%.*s", (int)length, text);
    char *dash = strchr(copy, '-');
    if (dash)
        *dash = '\0';
    if (!quantity_read_integer(copy, 1, 65535, &range->first))
        return false;
    range->last = range->first;
    if (dash && !quantity_read_integer(dash + 1, range->first, 65535, &range->last))
        return false;
    return true;
}

static const char *find_protocol(const char *text)
{
    static const char *const names[] = {"tcp", "udp", "sctp"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(text, names[i]) == 0)
            return names[i];
    return NULL;
}

static void expose(struct run_flags *flags, int64_t port, const char *protocol)
{
    char key[24];
    snprintf(key, sizeof key, "%d/%s", (int)port, protocol);
    json_object_set_new(run_flags_map(flags->settings, "ExposedPorts"), key, json_object());
}

/* Binds each port of the container's range to its counterpart of the host's, or a single port to
 * any of the host's range. */
static int publish(struct run_flags *flags, const char *value, const struct publication *from)
{
    int64_t inside = from->container.last - from->container.first;
    int64_t outside = from->host.last - from->host.first;
    bool any_of_range = from->host.first && inside == 0 && outside > 0;
    if (from->host.first && inside != outside && !any_of_range)
        return run_flags_fail(flags, "publish", value, "the two ranges differ in length");
    for (int64_t i = 0; i <= inside; i++) {
        char key[24], host[24] = "";
        snprintf(key, sizeof key, "%d/%s", (int)(from->container.first + i), from->protocol);
        if (any_of_range)
            snprintf(host, sizeof host, "%d-%d", (int)from->host.first, (int)from->host.last);
        else if (from->host.first)
            snprintf(host, sizeof host, "%d", (int)(from->host.first + i));
        expose(flags, from->container.first + i, from->protocol);
        json_t *bindings = run_flags_list(run_flags_map(flags->host, "PortBindings"), key);
        json_array_append_new(bindings,
                              json_pack("{s:s, s:s}", "HostIp", from->address, "HostPort", host));
    }
    return 0;
}

static bool is_any_address(const char *text)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

/* [[IP:][HOST]:]CONTAINER[/PROTOCOL]; an IPv6 address may be in brackets. */
static int add_short(struct run_flags *flags, const char *value)
{
    struct publication result = {.protocol = "tcp"};
    scope_free char *text = memory_copy_string(value), *address = memory_copy_string("");
    char *slash = strchr(text, '/'), *container = strrchr(text, ':'), *host = NULL;
    if (slash) {
        *slash = '\0';
        result.protocol = find_protocol(slash + 1);
        container = strrchr(text, ':');
    }
    if (!result.protocol)
        return run_flags_fail(flags, "publish", value, "the protocol is tcp, udp or sctp");
    if (container) {
        *container++ = '\0';
        host = strrchr(text, ':');
        host = host ? host + 1 : text;
        if (host > text) {
            host[-1] = '\0';
            size_t length = strlen(text);
            bool in_brackets = length > 1 && text[0] == '[' && text[length - 1] == ']';
            free(address);
            address = memory_format("%.*s", (int)(in_brackets ? length - 2 : length),
                                    in_brackets ? text + 1 : text);
        }
    } else {
        container = text;
    }
    if (*address && !is_any_address(address))
        return run_flags_fail(flags, "publish", value, "'%s' is no IP address", address);
    if (!read_range(container, strlen(container), &result.container))
        return run_flags_fail(flags, "publish", value,
                              "'%s' is no port or range of ports from 1 to 65535", container);
    if (host && *host && strcmp(host, "0") != 0 && !read_range(host, strlen(host), &result.host))
        return run_flags_fail(flags, "publish", value,
                              "'%s' is no port or range of ports of the host", host);
    result.address = address;
    return publish(flags, value, &result);
}

/* published=8080,target=80,protocol=tcp,mode=host */
static int add_long(struct run_flags *flags, const char *value,
                    const struct run_flags_record *record)
{
    struct publication result = {.protocol = "tcp", .address = ""};
    for (size_t i = 0; i < record->count; i++) {
        const struct run_flags_field *field = &record->fields[i];
        const char *text = field->value ? field->value : "";
        bool is_known = true;
        if (strcmp(field->key, "target") == 0)
            is_known = quantity_read_integer(text, 1, 65535, &result.container.first);
        else if (strcmp(field->key, "published") == 0)
            is_known = read_range(text, strlen(text), &result.host);
        else if (strcmp(field->key, "protocol") == 0)
            is_known = (result.protocol = find_protocol(text)) != NULL;
        else if (strcmp(field->key, "mode") == 0)
            is_known = strcmp(text, "host") == 0 || strcmp(text, "ingress") == 0;
        else
            return run_flags_fail(flags, "publish", value, "there is no key '%s'", field->key);
        if (!is_known)
            return run_flags_fail(flags, "publish", value, "'%s' is no %s", text, field->key);
    }
    if (!result.container.first)
        return run_flags_fail(flags, "publish", value, "target is missing");
    result.container.last = result.container.first;
    return publish(flags, value, &result);
}

static int add_publication(struct run_flags *flags, const char *flag, const char *value)
{
    struct run_flags_record record;
    if (!strchr(value, '='))
        return add_short(flags, value);
    int status = run_flags_read_record(flags, flag, value, &record);
    if (status == 0)
        status = add_long(flags, value, &record);
    arena_release(&record.arena);
    return status;
}

static int add_exposed(struct run_flags *flags, const char *flag, const char *value)
{
    size_t length = strcspn(value, "/");
    const char *protocol = value[length] ? find_protocol(value + length + 1) : "tcp";
    struct range range;
    if (!protocol)
        return run_flags_fail(flags, flag, value, "the protocol is tcp, udp or sctp");
    if (!read_range(value, length, &range))
        return run_flags_fail(flags, flag, value, "not a port or range of ports from 1 to 65535");
    for (int64_t port = range.first; port <= range.last; port++)
        expose(flags, port, protocol);
    return 0;
}

int run_flags_add_ports(struct run_flags *flags)
{
    if (run_flags_for_each(flags, "publish", add_publication) < 0)
        return -1;
    return run_flags_for_each(flags, "expose", add_exposed);
}
