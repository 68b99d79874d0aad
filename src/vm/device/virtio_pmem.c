#include "vm/device/virtio_pmem.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/device/worker_pool.h"
#include "vm/log.h"

#define REQUESTS_MAX 128 /* that wait for flushes */
#define TYPE_FLUSH 0u
enum { ANSWER_OK = 0, ANSWER_ERROR = 1 };

struct pmem_config { /* 5.19.4; little-endian */
    uint64_t start, size;
};

struct pmem_request {
    uint16_t head;
    struct iovec answer[4]; /* where the answer's four bytes go */
    unsigned parts;
};

struct pmem {
    struct virtio_device device;
    struct pmem_config config;
    int fd;
    bool read_only;
    uint8_t *host;
    uint64_t size;
    struct worker_pool *pool;
    struct worker_job job;
    bool flushing;
    int error; /* of the flush that ran */
    /* The first covered ones are answered by the flush that runs, the others by the next one. */
    struct pmem_request requests[REQUESTS_MAX];
    unsigned count, covered;
    struct rate_limiter limiter;
    struct virtio_pmem_counters counters;
    struct virtqueue_chain chain;
};

static bool is_working(const struct pmem *pmem)
{
    return pmem->device.active && !(pmem->device.status & VIRTIO_STATUS_NEEDS_RESET);
}

static void answer(struct pmem *pmem, const struct pmem_request *request, uint32_t value)
{
    uint32_t bytes = htole32(value);
    virtqueue_copy_to(request->answer, request->parts, 0, &bytes, sizeof bytes);
    virtqueue_push(&pmem->device.queues[0], request->head, sizeof bytes);
}

/* What the guest wrote through its mapping is dirty pages of the file. */
static void flush(struct worker_job *job)
{
    struct pmem *pmem = loop_owner(job, struct pmem, job);
    pmem->error = fdatasync(pmem->fd) < 0 ? errno : 0;
}

static void start_flush(struct pmem *pmem)
{
    if (pmem->flushing || pmem->count == 0)
        return;
    pmem->flushing = true;
    pmem->covered = pmem->count;
    worker_pool_submit(pmem->pool, &pmem->job);
}

/* Takes requests while there is room. */
static void take_requests(struct pmem *pmem)
{
    struct virtqueue *queue = &pmem->device.queues[0];
    struct virtqueue_chain *chain = &pmem->chain;
    int status = 1;
    while (pmem->count < REQUESTS_MAX && (status = virtqueue_pop(queue, chain)) > 0) {
        struct pmem_request *request = &pmem->requests[pmem->count];
        uint32_t type;
        if (virtqueue_copy_from(chain->readable, chain->readable_count, 0, &type, sizeof type) !=
                sizeof type ||
            chain->writable_size < sizeof type) {
            status = -1;
            break;
        }
        *request = (struct pmem_request){
            .head = chain->head, .parts = chain->writable_count < 4 ? chain->writable_count : 4};
        memcpy(request->answer, chain->writable, request->parts * sizeof *request->answer);
        if (le32toh(type) != TYPE_FLUSH) {
            pmem->counters.invalid_count++;
            answer(pmem, request, ANSWER_ERROR);
        } else if (pmem->read_only) {
            pmem->counters.flush_count++;
            answer(pmem, request, ANSWER_OK);
        } else if (!rate_limiter_take(&pmem->limiter, pmem->size)) {
            virtqueue_unpop(queue);
            break;
        } else {
            pmem->count++;
        }
    }
    virtio_device_interrupt(&pmem->device, 0);
    if (status < 0)
        virtio_device_break(&pmem->device, "put a malformed request into its queue");
}

static void process(struct pmem *pmem)
{
    struct virtqueue *queue = &pmem->device.queues[0];
    do {
        virtqueue_want_notifications(queue, false);
        take_requests(pmem);
    } while (is_working(pmem) && pmem->count < REQUESTS_MAX &&
             !rate_limiter_is_waiting(&pmem->limiter) && virtqueue_want_notifications(queue, true));
    start_flush(pmem);
}

static void on_flushed(struct worker_job *job)
{
    struct pmem *pmem = loop_owner(job, struct pmem, job);
    pmem->flushing = false;
    if (pmem->error)
        vm_log(VM_LOG_ERROR, "pmem", "%s: a flush failed: %s", pmem->device.id,
               strerror(pmem->error));
    for (unsigned i = 0; i < pmem->covered && is_working(pmem); i++) {
        pmem->counters.flush_count += !pmem->error;
        pmem->counters.failed_count += pmem->error != 0;
        answer(pmem, &pmem->requests[i], pmem->error ? ANSWER_ERROR : ANSWER_OK);
    }
    pmem->count -= pmem->covered;
    memmove(pmem->requests, pmem->requests + pmem->covered, pmem->count * sizeof *pmem->requests);
    pmem->covered = 0;
    if (is_working(pmem)) {
        virtio_device_interrupt(&pmem->device, 0);
        process(pmem);
    }
}

static void notified(struct virtio_device *device, unsigned index)
{
    struct pmem *pmem = (struct pmem *)device;
    (void)index;
    pmem->counters.queue_events++;
    if (!rate_limiter_is_waiting(&pmem->limiter))
        process(pmem);
}

static void on_refilled(struct rate_limiter *limiter)
{
    struct pmem *pmem = loop_owner(limiter, struct pmem, limiter);
    pmem->counters.rate_events++;
    process(pmem);
}

static void reset(struct virtio_device *device)
{
    struct pmem *pmem = (struct pmem *)device;
    worker_pool_drain(pmem->pool);
    pmem->count = 0;
    rate_limiter_close(&pmem->limiter);
}

static void release(struct virtio_device *device)
{
    struct pmem *pmem = (struct pmem *)device;
    worker_pool_close(pmem->pool);
    rate_limiter_close(&pmem->limiter);
    if (pmem->host)
        munmap(pmem->host, pmem->size);
    if (pmem->fd >= 0)
        close(pmem->fd);
    free(pmem);
}

static const struct virtio_operations operations = {
    .type = VIRTIO_PMEM, .name = "pmem", .reset = reset, .notified = notified, .release = release};

/* *used: of the file itself, in bytes; *size: in the guest's memory. */
static int measure(int fd, const char *path, uint64_t *used, uint64_t *size, struct error *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return error_set(err, errno, "can't look at %s", path);
    if (!S_ISREG(status.st_mode))
        return error_set(err, 0, "%s is no file, which persistent memory must be", path);
    *used = (uint64_t)status.st_size;
    if (*used == 0)
        return error_set(err, 0, "%s is empty: persistent memory needs a size", path);
    *size = (*used + VIRTIO_PMEM_ALIGNMENT - 1) & ~(VIRTIO_PMEM_ALIGNMENT - 1);
    return 0;
}

int virtio_pmem_measure(const char *path, uint64_t *size, struct error *err)
{
    uint64_t used;
    scope_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return error_set(err, errno, "can't open %s", path);
    return measure(fd, path, &used, size, err);
}

/* Maps the file at an address that huge pages could be at, with memory of nobody behind its end. */
static int map_file(struct pmem *pmem, uint64_t used, struct error *err)
{
    int protection = pmem->read_only ? PROT_READ : PROT_READ | PROT_WRITE;
    size_t room = pmem->size + VIRTIO_PMEM_ALIGNMENT;
    uint8_t *reserved =
        mmap(NULL, room, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED)
        return error_set(err, errno, "can't map %zu bytes for %s", room, pmem->device.id);
    uintptr_t start =
        ((uintptr_t)reserved + VIRTIO_PMEM_ALIGNMENT - 1) & ~(uintptr_t)(VIRTIO_PMEM_ALIGNMENT - 1);
    pmem->host = (uint8_t *)start;
    if (pmem->host > reserved)
        munmap(reserved, (size_t)(pmem->host - reserved));
    munmap(pmem->host + pmem->size, (size_t)(reserved + room - (pmem->host + pmem->size)));
    if (mmap(pmem->host, used, protection, MAP_SHARED | MAP_FIXED, pmem->fd, 0) == MAP_FAILED)
        return error_set(err, errno, "can't map the file of %s", pmem->device.id);
    return 0;
}

static int prepare(struct pmem *pmem, const struct virtio_pmem_settings *settings,
                   struct guest_memory *memory, struct loop *loop, struct error *err)
{
    uint64_t used;
    if (pmem->fd < 0)
        return error_set(err, errno, "can't open %s", settings->path);
    if (settings->address % VIRTIO_PMEM_ALIGNMENT)
        return error_set(err, 0, "the address of %s is no multiple of 2 MiB", pmem->device.id);
    if (measure(pmem->fd, settings->path, &used, &pmem->size, err) < 0 ||
        map_file(pmem, used, err) < 0)
        return -1;
    pmem->pool = worker_pool_open(loop, 1, NULL, NULL, err);
    if (!pmem->pool)
        return -1;
    const struct guest_region region = {.address = settings->address,
                                        .size = pmem->size,
                                        .host = pmem->host,
                                        .fd = -1,
                                        .read_only = settings->read_only};
    if (guest_memory_add_host(memory, &region, err) < 0)
        return -1;
    pmem->config = (struct pmem_config){htole64(settings->address), htole64(pmem->size)};
    return 0;
}

struct virtio_device *virtio_pmem_create(const char *id,
                                         const struct virtio_pmem_settings *settings,
                                         struct guest_memory *memory, struct loop *loop,
                                         struct error *err)
{
    struct pmem *pmem = memory_allocate(1, sizeof *pmem);
    int mode = settings->read_only ? O_RDONLY : O_RDWR;
    pmem->device = (struct virtio_device){.operations = &operations,
                                          .id = id,
                                          .queue_count = 1,
                                          .config = &pmem->config,
                                          .config_size = sizeof pmem->config};
    pmem->job = (struct worker_job){.run = flush, .done = on_flushed};
    rate_limiter_open(&pmem->limiter, loop, &settings->rate, on_refilled);
    pmem->read_only = settings->read_only;
    pmem->fd = open(settings->path, mode | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (prepare(pmem, settings, memory, loop, err) < 0) {
        release(&pmem->device);
        return NULL;
    }
    return &pmem->device;
}

const struct virtio_pmem_counters *virtio_pmem_counters(const struct virtio_device *device)
{
    return &((const struct pmem *)device)->counters;
}

uint64_t virtio_pmem_throttled(const struct virtio_device *device)
{
    return ((const struct pmem *)device)->limiter.throttled;
}
