#include "vm/control/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"

/* A group is described by its fields in their order: all members are of these three types, whose
 * alignment is the same, so that each begins where the one before it ends. */
enum metric_kind { METRIC_COUNTER, METRIC_MEASURE, METRIC_LATENCY };

static const size_t kind_sizes[] = {sizeof(struct metric_counter), sizeof(struct metric_measure),
                                    sizeof(struct metric_latency)};

struct metric_field {
    const char *name;
    enum metric_kind kind;
};

struct metric_group {
    const char *name;
    const struct metric_field *fields; /* ends with one without a name */
    size_t offset;                     /* in struct metrics_single */
};

#define LIST_COUNTER(field) {#field, METRIC_COUNTER},
#define LIST_MEASURE(field) {#field, METRIC_MEASURE},
#define LIST_LATENCY(field) {#field, METRIC_LATENCY},
#define LIST_FIELDS(group, FIELDS)                                                                 \
    static const struct metric_field group##_fields[] = {                                          \
        FIELDS(LIST_COUNTER, LIST_MEASURE, LIST_LATENCY){0}};
#define LIST_GROUP(group, FIELDS) {#group, group##_fields, offsetof(struct metrics_single, group)},

/* clang-format off */
METRICS_SINGLE(LIST_FIELDS)
LIST_FIELDS(block, METRICS_BLOCK)
LIST_FIELDS(net, METRICS_NET)
static const struct metric_group groups[] = {METRICS_SINGLE(LIST_GROUP)};
/* clang-format on */

/* The counters of one device. */
struct instance {
    char *name; /* "block_rootfs" */
    void *values;
    struct instance *next;
};

struct metrics {
    struct metrics_single single;
    struct instance *blocks, *nets;
    void (*collect)(void *context); /* or NULL */
    void *context;
    int fd;
};

struct metrics *metrics_create(void)
{
    struct metrics *metrics = memory_allocate(1, sizeof *metrics);
    metrics->fd = -1;
    return metrics;
}

static void release_instances(struct instance *instance)
{
    while (instance) {
        struct instance *next = instance->next;
        free(instance->name);
        free(instance->values);
        free(instance);
        instance = next;
    }
}

void metrics_destroy(struct metrics *metrics)
{
    if (!metrics)
        return;
    release_instances(metrics->blocks);
    release_instances(metrics->nets);
    if (metrics->fd >= 0)
        close(metrics->fd);
    free(metrics);
}

struct metrics_single *metrics_of(struct metrics *metrics)
{
    return &metrics->single;
}

static void *add_instance(struct instance **list, const char *kind, const char *id, size_t size)
{
    struct instance *instance = memory_allocate(1, sizeof *instance);
    instance->name = memory_format("%s_%s", kind, id);
    instance->values = memory_allocate(1, size);
    while (*list)
        list = &(*list)->next;
    *list = instance;
    return instance->values;
}

static void remove_instance(struct instance **list, const void *values)
{
    for (; *list; list = &(*list)->next) {
        struct instance *instance = *list;
        if (instance->values != values)
            continue;
        *list = instance->next;
        instance->next = NULL;
        release_instances(instance);
        return;
    }
}

struct metrics_block *metrics_add_block(struct metrics *metrics, const char *drive_id)
{
    return add_instance(&metrics->blocks, "block", drive_id, sizeof(struct metrics_block));
}

struct metrics_net *metrics_add_net(struct metrics *metrics, const char *interface_id)
{
    return add_instance(&metrics->nets, "net", interface_id, sizeof(struct metrics_net));
}

void metrics_remove_block(struct metrics *metrics, struct metrics_block *block)
{
    remove_instance(&metrics->blocks, block);
}

void metrics_remove_net(struct metrics *metrics, struct metrics_net *net)
{
    remove_instance(&metrics->nets, net);
}

void metrics_measure(struct metric_latency *latency, uint64_t microseconds)
{
    uint64_t old = atomic_load_explicit(&latency->minimum_us, memory_order_relaxed);
    while ((old == 0 || old > microseconds + 1) &&
           !atomic_compare_exchange_weak(&latency->minimum_us, &old, microseconds + 1))
        ;
    old = atomic_load_explicit(&latency->maximum_us, memory_order_relaxed);
    while (old < microseconds &&
           !atomic_compare_exchange_weak(&latency->maximum_us, &old, microseconds))
        ;
    metrics_add(&latency->sum_us, microseconds);
}

void metrics_assign_latency(struct metric_latency *latency, uint64_t minimum_us,
                            uint64_t maximum_us, uint64_t sum_us)
{
    atomic_store_explicit(&latency->minimum_us, maximum_us ? minimum_us + 1 : 0,
                          memory_order_relaxed);
    atomic_store_explicit(&latency->maximum_us, maximum_us, memory_order_relaxed);
    metrics_assign(&latency->sum_us, sum_us);
}

static uint64_t clock_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void metrics_note_startup(struct metrics *metrics, uint64_t start_us, uint64_t start_cpu_us,
                          uint64_t parent_cpu_us)
{
    struct metrics_api_server *times = &metrics->single.api_server;
    uint64_t now = clock_us(CLOCK_MONOTONIC), cpu = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    if (start_us && start_us <= now)
        metrics_set(&times->process_startup_time_us, now - start_us);
    if (start_cpu_us && start_cpu_us <= cpu)
        metrics_set(&times->process_startup_time_cpu_us, cpu - start_cpu_us + parent_cpu_us);
}

void metrics_set_collector(struct metrics *metrics, void (*collect)(void *context), void *context)
{
    metrics->collect = collect;
    metrics->context = context;
}

/* ---- printing ---- */

static uint64_t load(const _Atomic uint64_t *value)
{
    return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)value, memory_order_relaxed);
}

static uint64_t counted(const struct metric_counter *counter)
{
    return load(&counter->value) - counter->flushed;
}

static json_t *print_latency(const struct metric_latency *latency)
{
    uint64_t minimum = load(&latency->minimum_us);
    return json_pack("{s:I,s:I,s:I}", "min_us", (json_int_t)(minimum ? minimum - 1 : 0), "max_us",
                     (json_int_t)load(&latency->maximum_us), "sum_us",
                     (json_int_t)counted(&latency->sum_us));
}

static json_t *print_group(const struct metric_field *fields, const void *values)
{
    json_t *object = json_object();
    const char *at = values;
    for (; fields->name; at += kind_sizes[fields->kind], fields++) {
        const void *field = at;
        json_t *value =
            fields->kind == METRIC_COUNTER ? json_integer((json_int_t)counted(field))
            : fields->kind == METRIC_MEASURE
                ? json_integer((json_int_t)load(&((const struct metric_measure *)field)->value))
                : print_latency(field);
        json_object_set_new(object, fields->name, value);
    }
    return object;
}

/* Adds each number of *from to that of *to, but of minima the smallest and of maxima the largest
 * stay; 0 is a minimum of nothing. */
static void aggregate(json_t *to, const json_t *from)
{
    const char *name;
    json_t *value, *target;
    json_object_foreach((json_t *)(uintptr_t)from, name, value)
    {
        target = json_object_get(to, name);
        if (!target) {
            json_object_set_new(to, name, json_deep_copy(value));
        } else if (json_is_object(value)) {
            aggregate(target, value);
        } else {
            json_int_t one = json_integer_value(target), other = json_integer_value(value);
            if (strcmp(name, "min_us") == 0)
                one = one && (one < other || !other) ? one : other;
            else if (strcmp(name, "max_us") == 0)
                one = one > other ? one : other;
            else
                one += other;
            json_integer_set(target, one);
        }
    }
}

static void print_instances(json_t *document, const char *kind, const struct metric_field *fields,
                            const struct instance *instance)
{
    /* All fields, with zeroes, for a VM without such a device. */
    static const struct metrics_block no_block;
    static const struct metrics_net no_net;
    json_t *all = print_group(fields, fields == block_fields ? (const void *)&no_block
                                                             : (const void *)&no_net);
    json_object_set_new(document, kind, all);
    for (; instance; instance = instance->next) {
        json_t *one = print_group(fields, instance->values);
        aggregate(all, one);
        json_object_set_new(document, instance->name, one);
    }
}

json_t *metrics_print(const struct metrics *metrics)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    json_t *document = json_object();
    json_object_set_new(document, "utc_timestamp_ms",
                        json_integer((json_int_t)now.tv_sec * 1000 + now.tv_nsec / 1000000));
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        json_object_set_new(
            document, groups[i].name,
            print_group(groups[i].fields, (const char *)&metrics->single + groups[i].offset));
    print_instances(document, "block", block_fields, metrics->blocks);
    print_instances(document, "net", net_fields, metrics->nets);
    return document;
}

/* ---- flushing ---- */

int metrics_open(struct metrics *metrics, const char *path, struct error *err)
{
    if (metrics->fd >= 0)
        return error_set(err, 0, "Reinitialization of metrics not allowed.");
    /* Read and write: a pipe that nobody reads yet can be opened so (fifo(7)). */
    metrics->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0600);
    return metrics->fd < 0 ? error_set(err, errno, "Cannot open the metrics file '%s'", path) : 0;
}

bool metrics_is_open(const struct metrics *metrics)
{
    return metrics->fd >= 0;
}

/* What document says was added is flushed; what came since is for the next one. */
static void mark_flushed(const json_t *document, const struct metric_field *fields, void *values)
{
    char *at = values;
    for (; fields->name; at += kind_sizes[fields->kind], fields++) {
        const json_t *value = json_object_get(document, fields->name);
        if (fields->kind == METRIC_COUNTER)
            ((struct metric_counter *)(void *)at)->flushed += (uint64_t)json_integer_value(value);
        else if (fields->kind == METRIC_LATENCY)
            ((struct metric_latency *)(void *)at)->sum_us.flushed +=
                (uint64_t)json_integer_value(json_object_get(value, "sum_us"));
    }
}

static void mark_document(struct metrics *metrics, const json_t *document)
{
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        mark_flushed(json_object_get(document, groups[i].name), groups[i].fields,
                     (char *)&metrics->single + groups[i].offset);
    for (struct instance *block = metrics->blocks; block; block = block->next)
        mark_flushed(json_object_get(document, block->name), block_fields, block->values);
    for (struct instance *net = metrics->nets; net; net = net->next)
        mark_flushed(json_object_get(document, net->name), net_fields, net->values);
}

int metrics_flush(struct metrics *metrics, struct error *err)
{
    if (metrics->fd < 0)
        return 0;
    if (metrics->collect)
        metrics->collect(metrics->context);
    json_t *document = metrics_print(metrics);
    scope_free char *text = json_dumps(document, JSON_COMPACT);
    scope_free char *line = memory_format("%s\n", text ? text : "{}");
    size_t length = strlen(line);
    ssize_t written;
    do
        written = write(metrics->fd, line, length);
    while (written < 0 && errno == EINTR);
    int code = errno, status = 0;
    if (written == (ssize_t)length) {
        mark_document(metrics, document);
    } else {
        metrics_add(&metrics->single.logger.missed_metrics_count, 1);
        /* A line that was cut is ended, so that the next one is whole. */
        if (written > 0 && write(metrics->fd, "\n", 1) < 0)
            code = errno;
        status = error_set(err, written < 0 ? code : 0, "Cannot write the metrics%s",
                           written < 0 ? "" : ": there was no room for all of them");
    }
    json_decref(document);
    return status;
}
