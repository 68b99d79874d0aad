/* What the engine does with the library of src/network, as a program:
 *
 *     network_client DIRECTORY VERB [ARGUMENT...]
 *
 * DIRECTORY/hull.db is the database, DIRECTORY/run the run root. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "network/network.h"

#define MANY 64

static void say(const struct warnings *warnings, const char *text)
{
    (void)warnings;
    fprintf(stderr, "warning: %s\n", text);
}

static const struct warnings warnings = {say, NULL};

/* attach ID [-n NETWORK] [-4 ADDRESS] … : -4, -6, -M and -a count for the last -n. */
struct arguments {
    struct network_request request;
    struct network_endpoint_request endpoints[MANY];
    const char *aliases[MANY][MANY];
    const char *dns[MANY], *searches[MANY], *options[MANY], *hosts[MANY];
    struct network_ports ports;
};

static int set_mode(struct network_request *request, const char *text)
{
    static const char *const modes[] = {"bridge", "host", "none"};
    for (int i = 0; i < 3; i++)
        if (strcmp(text, modes[i]) == 0)
            request->mode = (enum network_mode)i;
    if (strncmp(text, "container:", 10) == 0) {
        request->mode = NETWORK_MODE_CONTAINER;
        request->other_container = text + 10;
    }
    return 0;
}

static int take(struct arguments *arguments, int letter, const char *value, struct error *err)
{
    struct network_request *request = &arguments->request;
    size_t last = request->endpoint_count ? request->endpoint_count - 1 : 0;
    struct network_endpoint_request *endpoint = &arguments->endpoints[last];
    switch (letter) {
    case 'n':
        arguments->endpoints[request->endpoint_count].aliases =
            arguments->aliases[request->endpoint_count];
        arguments->endpoints[request->endpoint_count++].network = value;
        return 0;
    case '4':
        endpoint->ip4 = value;
        return 0;
    case '6':
        endpoint->ip6 = value;
        return 0;
    case 'M':
        endpoint->mac = value;
        return 0;
    case 'a':
        arguments->aliases[last][endpoint->alias_count++] = value;
        return 0;
    case 'm':
        return set_mode(request, value);
    case 'p':
        return network_ports_parse(&arguments->ports, value, err);
    case 'N':
        request->container_name = value;
        return 0;
    case 'H':
        request->hostname = value;
        return 0;
    case 'D':
        request->domainname = value;
        return 0;
    case 'd':
        arguments->dns[request->dns_server_count++] = value;
        return 0;
    case 's':
        arguments->searches[request->dns_search_count++] = value;
        return 0;
    case 'o':
        arguments->options[request->dns_option_count++] = value;
        return 0;
    case 'h':
        arguments->hosts[request->extra_host_count++] = value;
        return 0;
    case 'u':
        request->user_namespace = open(value, O_RDONLY | O_CLOEXEC);
        return request->user_namespace < 0 ? error_set(err, 0, "no %s", value) : 0;
    default:
        return error_set(err, 0, "unknown flag");
    }
}

static int parse(struct arguments *arguments, int argc, char **argv, struct error *err)
{
    struct network_request *request = &arguments->request;
    int letter;
    request->container_id = argv[0];
    request->container_name = "";
    request->endpoints = arguments->endpoints;
    request->dns_servers = arguments->dns;
    request->dns_searches = arguments->searches;
    request->dns_options = arguments->options;
    request->extra_hosts = arguments->hosts;
    while ((letter = getopt(argc, argv, "n:4:6:M:a:m:p:N:H:D:d:s:o:h:u:")) != -1)
        if (take(arguments, letter, optarg, err) < 0)
            return -1;
    request->ports = arguments->ports.list;
    request->port_count = arguments->ports.count;
    return 0;
}

static void print(json_t *object)
{
    json_dumpf(object, stdout, JSON_INDENT(1) | JSON_SORT_KEYS);
    printf("\n");
    json_decref(object);
}

static void print_attachment(struct network_attachment *attachment)
{
    json_t *object = network_attachment_describe(attachment);
    json_object_set_new(object, "hosts",
                        attachment->hosts ? json_string(attachment->hosts) : json_null());
    json_object_set_new(object, "resolv.conf",
                        attachment->resolv_conf ? json_string(attachment->resolv_conf)
                                                : json_null());
    json_object_set_new(object, "hostname",
                        attachment->hostname ? json_string(attachment->hostname) : json_null());
    print(object);
    network_attachment_release(attachment);
}

static int attach(struct networks *networks, int argc, char **argv, struct error *err)
{
    struct arguments arguments = {0};
    struct network_attachment attachment = {0};
    if (parse(&arguments, argc, argv, err) < 0)
        return -1;
    int result = network_attach(networks, &arguments.request, &attachment, err);
    network_ports_release(&arguments.ports);
    if (result == 0)
        print_attachment(&attachment);
    return result;
}

static int detach(struct networks *networks, int argc, char **argv, struct error *err)
{
    (void)argc;
    return network_detach(networks, argv[0], err);
}

static int show(struct networks *networks, int argc, char **argv, struct error *err)
{
    struct network_attachment attachment = {0};
    (void)argc;
    int found = network_find_attachment(networks, argv[0], &attachment, err);
    if (found == 1)
        print_attachment(&attachment);
    if (found == 0)
        printf("none\n");
    return found < 0 ? -1 : 0;
}

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* time ROUNDS ID [flags of attach]: what an attach and a detach take, a line each round. */
static int measure(struct networks *networks, int argc, char **argv, struct error *err)
{
    struct arguments arguments = {0};
    int rounds = atoi(argv[0]);
    if (parse(&arguments, argc - 1, argv + 1, err) < 0)
        return -1;
    for (int i = 0; i < rounds; i++) {
        struct network_attachment attachment = {0};
        double begin = milliseconds();
        if (network_attach(networks, &arguments.request, &attachment, err) < 0)
            return -1;
        double middle = milliseconds();
        network_attachment_release(&attachment);
        if (network_detach(networks, arguments.request.container_id, err) < 0)
            return -1;
        printf("%.3f %.3f\n", middle - begin, milliseconds() - middle);
        usleep(50000);
    }
    network_ports_release(&arguments.ports);
    return 0;
}

/* create NAME [-s SUBNET] [-g GATEWAY] [-r RANGE] [-i] [-6] [-o OPTION] [-l LABEL] */
static int create(struct networks *networks, int argc, char **argv, struct error *err)
{
    struct network_pool pools[4] = {0};
    const char *options[MANY], *labels[MANY];
    struct network_settings settings = {
        .name = argv[0], .pools = pools, .options = options, .labels = labels};
    char id[NETWORK_ID_SIZE];
    int letter;
    while ((letter = getopt(argc, argv, "s:g:r:i6o:l:")) != -1) {
        struct network_pool *last = &pools[settings.pool_count ? settings.pool_count - 1 : 0];
        if (letter == 's')
            pools[settings.pool_count++].subnet = optarg;
        else if (letter == 'g')
            last->gateway = optarg;
        else if (letter == 'r')
            last->ip_range = optarg;
        else if (letter == 'i')
            settings.internal = true;
        else if (letter == '6')
            settings.ipv6 = true;
        else if (letter == 'o')
            options[settings.option_count++] = optarg;
        else if (letter == 'l')
            labels[settings.label_count++] = optarg;
    }
    if (network_create(networks, &settings, id, err) < 0)
        return -1;
    printf("%s\n", id);
    return 0;
}

static int remove_network(struct networks *networks, int argc, char **argv, struct error *err)
{
    (void)argc;
    return network_remove(networks, argv[0], err);
}

static int list(struct networks *networks, int argc, char **argv, struct error *err)
{
    struct network_description *found;
    size_t count;
    if (network_list(networks, (const char *const *)argv, (size_t)argc, &found, &count, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        printf("%s %s %zu\n", found[i].name, found[i].driver, found[i].endpoint_count);
    network_list_release(found, count);
    return 0;
}

static int inspect(struct networks *networks, int argc, char **argv, struct error *err)
{
    (void)argc;
    json_t *object = network_inspect(networks, argv[0], err);
    if (!object)
        return -1;
    print(object);
    return 0;
}

static int prune(struct networks *networks, int argc, char **argv, struct error *err)
{
    char **names;
    size_t count;
    if (network_prune(networks, NULL, NULL, (const char *const *)argv, (size_t)argc, &names, &count,
                      err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        printf("%s\n", names[i]);
    network_free_names(names, count);
    return 0;
}

/* connect ID -n NETWORK [-4 …] */
static int connect_network(struct networks *networks, int argc, char **argv, struct error *err)
{
    struct arguments arguments = {0};
    struct network_attachment attachment = {0};
    if (parse(&arguments, argc, argv, err) < 0 ||
        network_connect(networks, arguments.request.container_id, arguments.endpoints, &attachment,
                        err) < 0)
        return -1;
    print_attachment(&attachment);
    return 0;
}

static int disconnect_network(struct networks *networks, int argc, char **argv, struct error *err)
{
    struct network_attachment attachment = {0};
    (void)argc;
    if (network_disconnect(networks, argv[0], argv[1], &attachment, err) < 0)
        return -1;
    print_attachment(&attachment);
    return 0;
}

static int rename_container(struct networks *networks, int argc, char **argv, struct error *err)
{
    (void)argc;
    return network_rename(networks, argv[0], argv[1], err);
}

static bool is_listed(void *context, const char *id)
{
    for (char **argv = context; *argv; argv++)
        if (strcmp(*argv, id) == 0)
            return true;
    return false;
}

/* reconcile [ID...]: those live */
static int reconcile(struct networks *networks, int argc, char **argv, struct error *err)
{
    (void)argc;
    return network_reconcile(networks, is_listed, argv, err);
}

static const struct {
    const char *name;
    int (*run)(struct networks *networks, int argc, char **argv, struct error *err);
} verbs[] = {
    {"attach", attach},
    {"detach", detach},
    {"show", show},
    {"time", measure},
    {"create", create},
    {"remove", remove_network},
    {"list", list},
    {"inspect", inspect},
    {"prune", prune},
    {"connect", connect_network},
    {"disconnect", disconnect_network},
    {"rename", rename_container},
    {"reconcile", reconcile},
};

static int run(const char *directory, int argc, char **argv, struct error *err)
{
    scope_database struct database database = {0};
    scope_networks struct networks *networks = NULL;
    scope_free char *path = memory_format("%s/hull.db", directory);
    scope_free char *run_root = memory_format("%s/run", directory);
    const struct network_options options = {&database, run_root, &warnings,
                                            getenv("NETWORK_ROOTLESS") != NULL};
    if (database_open(&database, path, err) < 0 || network_open(&networks, &options, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, argv[0]) == 0)
            return verbs[i].run(networks, argc - 1, argv + 1, err);
    return error_set(err, 0, "no verb is called '%s'", argv[0]);
}

int main(int argc, char **argv)
{
    struct error err = {0};
    if (argc < 3) {
        fprintf(stderr, "usage: network_client DIRECTORY VERB [ARGUMENT...]\n");
        return 2;
    }
    if (run(argv[1], argc - 2, argv + 2, &err) == 0)
        return 0;
    fprintf(stderr, "network_client: %s\n", err.text);
    return 1;
}
