#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/container_verb.h"
#include "monitor/document.h"

/* "0.0.0.0:8080", "[::]:8080" */
static void print_bindings(const json_t *bindings, const char *before)
{
    const json_t *binding;
    size_t i;
    json_array_foreach(bindings, i, binding)
    {
        const char *address = json_string_value(json_object_get(binding, "HostIp"));
        const char *port = json_string_value(json_object_get(binding, "HostPort"));
        bool is_ip6 = address && strchr(address, ':');
        printf("%s%s%s%s:%s\n", before, is_ip6 ? "[" : "",
               address && *address ? address : "0.0.0.0", is_ip6 ? "]" : "", port ? port : "");
    }
}

static int compare_ports(const void *left, const void *right)
{
    const char *one = *(const char *const *)left, *other = *(const char *const *)right;
    int difference = atoi(one) - atoi(other);
    return difference ? difference : strcmp(one, other);
}

static void print_all(const json_t *ports)
{
    size_t count = 0;
    scope_free const char **names = memory_allocate(json_object_size(ports) + 1, sizeof *names);
    const char *name;
    json_t *bindings;
    json_object_foreach((json_t *)ports, name, bindings) names[count++] = name;
    qsort(names, count, sizeof *names, compare_ports);
    for (size_t i = 0; i < count; i++) {
        scope_free char *before = memory_format("%s -> ", names[i]);
        print_bindings(json_object_get(ports, names[i]), before);
    }
}

static int print_ports(struct cli_context *context, struct engine *engine,
                       const struct engine_container *container, struct error *err)
{
    char **arguments = context->line->arguments;
    scope_json json_t *document = engine_inspect(engine, container, false, err);
    if (!document)
        return -1;
    const json_t *ports = json_object_get(json_object_get(document, "NetworkSettings"), "Ports");
    if (!arguments[1]) {
        print_all(ports);
        return 0;
    }
    scope_free char *name =
        memory_format("%s%s", arguments[1], strchr(arguments[1], '/') ? "" : "/tcp");
    const json_t *bindings = json_object_get(ports, name);
    if (json_array_size(bindings) == 0)
        return error_set(err, 0, "no public port '%s' published for %s", arguments[1],
                         arguments[0]);
    print_bindings(bindings, "");
    return 0;
}

static int run_port(struct cli_context *context, struct error *err)
{
    return container_verb_one(context, print_ports, err);
}

const struct cli_verb cli_port = {
    .command = {.name = "port",
                .aliases = "container port",
                .arguments = "CONTAINER [PORT[/PROTOCOL]]",
                .summary = "show where a container's ports are published",
                .min_arguments = 1,
                .max_arguments = 2},
    .run = run_port,
};
