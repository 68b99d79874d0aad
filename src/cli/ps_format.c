/* Ports and status as docker shows them. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "base/timestamp.h"
#include "cli/human.h"
#include "cli/ps.h"

/* ---- ports ---- */

struct shown_port {
    int inside, outside;            /* 0: not published */
    const char *address, *protocol; /* address "": not published */
};

struct port_list {
    struct shown_port *items;
    size_t count;
};

static void add_port(struct port_list *list, const char *name, const json_t *binding)
{
    const char *slash = strchr(name, '/');
    const char *address = json_string_value(json_object_get(binding, "HostIp"));
    const char *port = json_string_value(json_object_get(binding, "HostPort"));
    list->items = memory_resize(list->items, list->count + 1, sizeof *list->items);
    list->items[list->count++] = (struct shown_port){
        .inside = atoi(name),
        .outside = port ? atoi(port) : 0,
        .address = !binding              ? ""
                   : address && *address ? address
                                         : "0.0.0.0",
        .protocol = slash ? slash + 1 : "tcp",
    };
}

static int compare_ports(const void *left, const void *right)
{
    const struct shown_port *one = left, *other = right;
    if (one->inside != other->inside)
        return one->inside - other->inside;
    int difference = strcmp(one->address, other->address);
    if (!difference)
        difference = one->outside - other->outside;
    return difference ? difference : strcmp(one->protocol, other->protocol);
}

static struct port_list list_ports(const json_t *ports)
{
    struct port_list list = {0};
    const char *name;
    json_t *bindings, *binding;
    size_t i;
    json_object_foreach((json_t *)ports, name, bindings)
    {
        if (json_array_size(bindings) == 0)
            add_port(&list, name, NULL);
        json_array_foreach(bindings, i, binding) add_port(&list, name, binding);
    }
    if (list.count > 0)
        qsort(list.items, list.count, sizeof *list.items, compare_ports);
    return list;
}

/* Appends "ADDRESS:8000-8002->80-82/tcp", from the first of a run of count ports. */
static void print_run(FILE *out, const struct shown_port *first, int count)
{
    const char *between = ftell(out) > 0 ? ", " : "";
    bool is_ip6 = strchr(first->address, ':');
    fputs(between, out);
    if (*first->address) {
        fprintf(out, "%s%s%s:%d", is_ip6 ? "[" : "", first->address, is_ip6 ? "]" : "",
                first->outside);
        if (count > 1)
            fprintf(out, "-%d", first->outside + count - 1);
        fputs("->", out);
    }
    fprintf(out, "%d", first->inside);
    if (count > 1)
        fprintf(out, "-%d", first->inside + count - 1);
    fprintf(out, "/%s", first->protocol);
}

static bool follows(const struct shown_port *first, const struct shown_port *port, int distance)
{
    return port->inside == first->inside + distance &&
           port->outside == (*first->address ? first->outside + distance : 0) &&
           strcmp(first->address, port->address) == 0 &&
           strcmp(first->protocol, port->protocol) == 0;
}

char *ps_format_ports(const json_t *ports)
{
    char *text = NULL;
    size_t length;
    struct port_list list = list_ports(ports);
    scope_free bool *shown = memory_allocate(list.count + 1, sizeof *shown);
    FILE *out = open_memstream(&text, &length);
    if (!out)
        abort();
    for (size_t i = 0; i < list.count; i++) {
        if (shown[i])
            continue;
        int count = 1;
        for (size_t j = i + 1; j < list.count; j++)
            if (!shown[j] && follows(&list.items[i], &list.items[j], count)) {
                shown[j] = true;
                count++;
            }
        print_run(out, &list.items[i], count);
    }
    fclose(out);
    free(list.items);
    return text;
}

/* ---- status ---- */

static const char *member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* "3 minutes" since then; "" if it never was. */
static struct human_text since(const json_t *state, const char *key, int64_t now)
{
    struct human_text never = {""};
    int64_t time;
    if (!timestamp_read(member(state, key), &time) || time <= 0)
        return never;
    int64_t seconds = (now - time) / TIMESTAMP_SECOND;
    return human_duration(seconds > 0 ? seconds : 0);
}

char *ps_format_status(const json_t *state, int64_t now)
{
    const char *name = member(state, "Status");
    const char *health = member(json_object_get(state, "Health"), "Status");
    int exit_code = (int)json_integer_value(json_object_get(state, "ExitCode"));
    struct human_text up = since(state, "StartedAt", now), ended = since(state, "FinishedAt", now);
    if (strcmp(name, "paused") == 0)
        return memory_format("Up %s (Paused)", up.text);
    if (strcmp(name, "restarting") == 0)
        return memory_format("Restarting (%d) %s ago", exit_code, ended.text);
    if (strcmp(name, "running") == 0 && *health && strcmp(health, "none") != 0)
        return memory_format("Up %s (%s%s)", up.text,
                             strcmp(health, "starting") == 0 ? "health: " : "", health);
    if (strcmp(name, "running") == 0)
        return memory_format("Up %s", up.text);
    if (strcmp(name, "dead") == 0)
        return memory_copy_string("Dead");
    if (strcmp(name, "exited") == 0)
        return memory_format("Exited (%d) %s ago", exit_code, ended.text);
    return memory_copy_string("Created");
}
