/* What stands in a container's /etc/hosts, /etc/resolv.conf and /etc/hostname. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "network/network_internal.h"
#include "network/rootless.h"
#include "network/wire.h"

#define FILE_LIMIT ((size_t)1 << 20)

static const char *setting(const struct container_record *record, const char *key)
{
    const char *value = json_string_value(json_object_get(record->settings, key));
    return value ? value : "";
}

static void write_name(FILE *out, const char *address, const char *hostname, const char *domainname)
{
    if (!*address)
        return;
    if (*domainname)
        fprintf(out, "%s\t%s.%s %s\n", address, hostname, domainname, hostname);
    else
        fprintf(out, "%s\t%s\n", address, hostname);
}

/* NAME:ADDRESS; an IPv6 address has colons of its own. host-gateway is the host as the container
 * sees it. */
static void write_extra(FILE *out, const char *text, const char *gateway)
{
    size_t length = strcspn(text, ":=");
    const char *address = text[length] ? text + length + 1 : "";
    size_t end = strlen(address);
    if (strcmp(address, "host-gateway") == 0) {
        address = gateway;
        end = strlen(gateway);
    } else if (end > 1 && address[0] == '[' && address[end - 1] == ']') {
        address++;
        end -= 2;
    }
    if (end > 0)
        fprintf(out, "%.*s\t%.*s\n", (int)end, address, (int)length, text);
}

static const char *find_gateway(const struct container_record *record)
{
    for (size_t i = 0; i < record->endpoint_count; i++)
        if (*record->endpoints[i].public.gateway4)
            return record->endpoints[i].public.gateway4;
    for (size_t i = 0; i < record->endpoint_count; i++)
        if (*record->endpoints[i].public.gateway6)
            return record->endpoints[i].public.gateway6;
    return "127.0.0.1";
}

static void write_local_names(FILE *out)
{
    fprintf(out, "127.0.0.1\tlocalhost\n"
                 "::1\tlocalhost ip6-localhost ip6-loopback\n"
                 "fe00::0\tip6-localnet\n"
                 "ff00::0\tip6-mcastprefix\n"
                 "ff02::1\tip6-allnodes\n"
                 "ff02::2\tip6-allrouters\n");
}

static char *compose_hosts(const struct container_record *record, const char *hostname)
{
    char *text = NULL;
    size_t size, i;
    json_t *extra;
    FILE *out = open_memstream(&text, &size);
    scope_free char *host = NULL;
    if (record->mode == NETWORK_MODE_HOST)
        host = file_read_all(AT_FDCWD, "/etc/hosts", FILE_LIMIT, NULL, NULL);
    if (host)
        fprintf(out, "%s%s", host, *host && host[strlen(host) - 1] != '\n' ? "\n" : "");
    else
        write_local_names(out);
    json_array_foreach(json_object_get(record->settings, "hosts"), i, extra)
        write_extra(out, json_string_value(extra), find_gateway(record));
    for (i = 0; i < record->endpoint_count; i++) {
        write_name(out, record->endpoints[i].public.ip4, hostname, setting(record, "domainname"));
        write_name(out, record->endpoints[i].public.ip6, hostname, setting(record, "domainname"));
    }
    if (record->mode == NETWORK_MODE_NONE)
        write_name(out, "127.0.0.1", hostname, setting(record, "domainname"));
    fclose(out);
    return text;
}

/* ---- resolv.conf ------------------------------------------------------------------------------
 */

/* The host's file, taken apart as resolv.conf(5) says: later search and domain lines replace
 * earlier ones. */
struct resolver_file {
    char *text; /* the others point into it */
    char *servers[16];
    size_t server_count;
    char *search, *options;
};

static void read_line(struct resolver_file *file, char *line)
{
    char *rest, *keyword = strtok_r(line, " \t", &rest);
    if (!keyword)
        return;
    rest += strspn(rest, " \t");
    for (size_t length = strlen(rest); length > 0 && strchr(" \t\r", rest[length - 1]);)
        rest[--length] = '\0';
    if (strcmp(keyword, "nameserver") == 0) {
        rest[strcspn(rest, " \t")] = '\0';
        if (*rest && file->server_count < sizeof file->servers / sizeof *file->servers)
            file->servers[file->server_count++] = rest;
    } else if (strcmp(keyword, "search") == 0 || strcmp(keyword, "domain") == 0) {
        file->search = rest;
    } else if (strcmp(keyword, "options") == 0) {
        file->options = rest;
    }
}

static void read_host_file(struct resolver_file *file)
{
    *file = (struct resolver_file){0};
    file->text = file_read_all(AT_FDCWD, "/etc/resolv.conf", FILE_LIMIT, NULL, NULL);
    char *rest = file->text;
    for (char *line; rest && (line = strsep(&rest, "\n"));)
        if (*line != '#' && *line != ';')
            read_line(file, line);
}

static bool is_loopback(const char *server)
{
    struct address address;
    struct subnet loopback = {{AF_INET, (address_number)127 << 24}, 8};
    if (!address_parse(&address, server))
        return false;
    return subnet_contains(&loopback, &address) ||
           (address.family == AF_INET6 && address.number == 1);
}

static bool host_resolver_is_local(struct networks *networks)
{
    if (networks->host_resolver < 0) {
        struct resolver_file host;
        read_host_file(&host);
        networks->host_resolver = host.server_count > 0;
        for (size_t i = 0; i < host.server_count; i++)
            if (!is_loopback(host.servers[i]))
                networks->host_resolver = 0;
        free(host.text);
    }
    return networks->host_resolver == 1;
}

bool network_uses_resolver(struct networks *networks, const struct container_record *record)
{
    if (record->mode != NETWORK_MODE_BRIDGE || networks->rootless)
        return false;
    for (size_t i = 0; i < record->endpoint_count; i++)
        if (strcmp(record->endpoints[i].public.network_name, NETWORK_DEFAULT) != 0)
            return true;
    return record->endpoint_count > 0 &&
           json_array_size(json_object_get(record->settings, "dns")) == 0 &&
           host_resolver_is_local(networks);
}

static void write_servers(FILE *out, struct networks *networks,
                          const struct container_record *record, const struct resolver_file *host,
                          bool resolver)
{
    const json_t *given = json_object_get(record->settings, "dns");
    size_t i;
    const json_t *server;
    if (resolver) {
        fprintf(out, "nameserver %s\n",
                wire_is_wanted(record, NULL) ? NETWORK_MACHINE_RESOLVER : NETWORK_RESOLVER);
        return;
    }
    json_array_foreach(given, i, server) fprintf(out, "nameserver %s\n", json_string_value(server));
    if (networks->rootless && record->mode == NETWORK_MODE_BRIDGE && json_array_size(given) == 0 &&
        host_resolver_is_local(networks))
        fprintf(out, "nameserver %s\n", ROOTLESS_RESOLVER);
    for (i = 0; json_array_size(given) == 0 && i < host->server_count; i++)
        if (record->mode == NETWORK_MODE_HOST || !is_loopback(host->servers[i]))
            fprintf(out, "nameserver %s\n", host->servers[i]);
}

/* What was given, or else the host's line. */
static void write_words(FILE *out, const char *keyword, const json_t *given, const char *host,
                        const char *more)
{
    size_t i;
    const json_t *word;
    bool any = *more || json_array_size(given) > 0 || (host && *host);
    if (!any)
        return;
    fprintf(out, "%s", keyword);
    json_array_foreach(given, i, word) fprintf(out, " %s", json_string_value(word));
    if (json_array_size(given) == 0 && host && *host)
        fprintf(out, " %s", host);
    fprintf(out, "%s\n", more);
}

static char *compose_resolv_conf(struct networks *networks, const struct container_record *record)
{
    struct resolver_file host;
    char *text = NULL;
    size_t size;
    const json_t *search = json_object_get(record->settings, "searches");
    const char *first = json_string_value(json_array_get(search, 0));
    bool resolver = network_uses_resolver(networks, record);
    read_host_file(&host);
    FILE *out = open_memstream(&text, &size);
    write_servers(out, networks, record, &host, resolver);
    if (!first || strcmp(first, ".") != 0)
        write_words(out, "search", search, host.search, "");
    /* Names without a dot are asked as they are: containers' are. */
    write_words(out, "options", json_object_get(record->settings, "options"), host.options,
                resolver ? " ndots:0" : "");
    fclose(out);
    free(host.text);
    return text;
}

int network_compose_files(struct networks *networks, const struct container_record *record,
                          struct network_attachment *attachment, struct error *err)
{
    char own[256] = "";
    const char *hostname = setting(record, "hostname");
    if (record->mode == NETWORK_MODE_CONTAINER)
        return 0;
    if (!*hostname && record->mode == NETWORK_MODE_HOST) {
        if (gethostname(own, sizeof own - 1) < 0)
            return error_set(err, errno, "can't read the host's name");
    } else if (!*hostname) {
        snprintf(own, sizeof own, "%.12s", record->id);
    }
    if (*own)
        hostname = own;
    attachment->hosts = compose_hosts(record, hostname);
    attachment->resolv_conf = compose_resolv_conf(networks, record);
    attachment->hostname = memory_format("%s\n", hostname);
    return 0;
}
