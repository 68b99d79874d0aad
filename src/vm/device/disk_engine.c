#include "vm/device/disk_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"
#include "vm/device/disk_file.h"

#define RING_SIZE 128
#define THREADS_MAX 4
#define ROUNDS_MAX 8   /* before others on the loop have their turn */
#define RETRY_DELAY 10 /* ms, after the kernel had no memory for requests */

struct disk_engine {
    struct loop *loop;
    void (*batch_done)(void *context);
    void *context;
    struct worker_pool *pool; /* instead of the ring, and for what a ring can't do */
    bool has_ring;
    bool turning; /* in turn(): what is started by a done() function is handed over there */
    struct io_uring ring;
    struct loop_source source; /* the ring's eventfd */
    struct loop_timer retry;
    unsigned in_flight;           /* in the ring */
    struct disk_io *first, **end; /* waiting for room in the ring */
};

static void run_io(struct worker_job *job)
{
    struct disk_io *io = loop_owner(job, struct disk_io, job);
    switch (io->operation) {
    case DISK_IO_READ:
        io->error = disk_file_read_parts(io->fd, io->parts, io->part_count, io->offset);
        break;
    case DISK_IO_WRITE:
        io->error = disk_file_write_parts(io->fd, io->parts, io->part_count, io->offset);
        break;
    case DISK_IO_SYNC:
        io->error = fdatasync(io->fd) < 0 ? errno : 0;
        break;
    case DISK_IO_DISCARD:
        io->error = disk_file_discard(io->fd, io->offset, io->size);
        break;
    case DISK_IO_ZERO:
    case DISK_IO_ZERO_UNMAP:
        io->error = disk_file_write_zeros(io->fd, io->offset, io->size,
                                          io->operation == DISK_IO_ZERO_UNMAP);
        break;
    }
}

static void on_job_done(struct worker_job *job)
{
    struct disk_io *io = loop_owner(job, struct disk_io, job);
    io->done(io, io->error);
}

static void prepare(struct disk_engine *engine, struct disk_io *io)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&engine->ring);
    if (!entry)
        abort(); /* in_flight is less than the ring's size */
    if (io->operation == DISK_IO_READ)
        io_uring_prep_readv(entry, io->fd, io->parts, io->part_count, io->offset);
    else if (io->operation == DISK_IO_WRITE)
        io_uring_prep_writev(entry, io->fd, io->parts, io->part_count, io->offset);
    else
        io_uring_prep_fsync(entry, io->fd, IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data(entry, io);
    engine->in_flight++;
}

void disk_engine_start(struct disk_engine *engine, struct disk_io *io)
{
    /* Discards and zeroing, which are rare, need several tries: on a thread. */
    if (!engine->has_ring || io->operation >= DISK_IO_DISCARD) {
        io->job = (struct worker_job){.run = run_io, .done = on_job_done};
        worker_pool_submit(engine->pool, &io->job);
        return;
    }
    if (io->operation != DISK_IO_SYNC)
        io->parts = disk_parts_skip(io->parts, &io->part_count, 0);
    if (engine->in_flight < RING_SIZE) {
        prepare(engine, io);
        return;
    }
    io->next = NULL;
    *engine->end = io;
    engine->end = &io->next;
}

/* Takes a result: true if the operation is done, false if a rest of it has to be started. */
static bool settle(struct disk_io *io, int result)
{
    io->error = 0;
    if (result == -EINTR || result == -EAGAIN)
        return false;
    if (result < 0) {
        io->error = -result;
        return true;
    }
    if (io->operation == DISK_IO_SYNC)
        return true;
    io->parts = disk_parts_skip(io->parts, &io->part_count, (uint64_t)result);
    io->offset += (uint64_t)result;
    if (io->part_count > 0 && result == 0)
        io->error = EIO; /* the file ends before */
    return io->part_count == 0 || io->error;
}

/* Calls done() for all that the kernel has finished; returns how many. */
static unsigned reap(struct disk_engine *engine)
{
    struct io_uring_cqe *entry;
    unsigned count = 0;
    while (io_uring_peek_cqe(&engine->ring, &entry) == 0) {
        struct disk_io *io = io_uring_cqe_get_data(entry);
        int result = entry->res;
        io_uring_cqe_seen(&engine->ring, entry);
        engine->in_flight--;
        if (!settle(io, result)) {
            disk_engine_start(engine, io);
            continue;
        }
        io->done(io, io->error);
        count++;
    }
    return count;
}

static void start_waiting(struct disk_engine *engine)
{
    while (engine->first && engine->in_flight < RING_SIZE) {
        struct disk_io *io = engine->first;
        engine->first = io->next;
        if (!engine->first)
            engine->end = &engine->first;
        prepare(engine, io);
    }
}

/* Hands over what was prepared, and takes what is done already: what was in the page cache is.
 * Returns how many operations were done. */
static unsigned turn(struct disk_engine *engine, bool wait)
{
    unsigned count = 0;
    bool failed = false, more;
    engine->turning = true;
    io_uring_cq_eventfd_toggle(&engine->ring, false); /* no event for what is taken here */
    for (unsigned round = 1;; round++) {
        start_waiting(engine);
        if (wait || (io_uring_sq_ready(&engine->ring) > 0 && !failed)) {
            int status =
                wait ? io_uring_submit_and_wait(&engine->ring, 1) : io_uring_submit(&engine->ring);
            failed = status < 0 && status != -EINTR;
            if (failed && !engine->retry.armed)
                loop_timer_set(engine->loop, &engine->retry, RETRY_DELAY);
        }
        wait = false;
        count += reap(engine);
        more = (engine->first && engine->in_flight < RING_SIZE) ||
               (io_uring_sq_ready(&engine->ring) > 0 && !failed);
        if (more && round < ROUNDS_MAX)
            continue;
        /* Only now are events wanted; what came before that is seen here. */
        io_uring_cq_eventfd_toggle(&engine->ring, true);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        more = more || io_uring_cq_ready(&engine->ring) > 0;
        if (!more || round >= ROUNDS_MAX)
            break;
        io_uring_cq_eventfd_toggle(&engine->ring, false);
    }
    if (more)
        eventfd_write(engine->source.fd, 1); /* to come back to it */
    engine->turning = false;
    return count;
}

void disk_engine_kick(struct disk_engine *engine)
{
    if (engine->has_ring && !engine->turning && io_uring_sq_ready(&engine->ring) > 0 &&
        turn(engine, false) > 0)
        engine->batch_done(engine->context);
}

static void on_completed(struct loop_source *source, uint32_t events)
{
    struct disk_engine *engine = loop_owner(source, struct disk_engine, source);
    eventfd_t count;
    (void)events;
    eventfd_read(source->fd, &count);
    if (turn(engine, false) > 0)
        engine->batch_done(engine->context);
}

static void on_retry(struct loop_timer *timer)
{
    struct disk_engine *engine = loop_owner(timer, struct disk_engine, retry);
    if (turn(engine, false) > 0)
        engine->batch_done(engine->context);
}

void disk_engine_drain(struct disk_engine *engine)
{
    do {
        unsigned count = 0;
        while (engine->has_ring && (engine->in_flight > 0 || engine->first))
            count += turn(engine, true);
        if (count > 0)
            engine->batch_done(engine->context);
        worker_pool_drain(engine->pool);
    } while (engine->has_ring && (engine->in_flight > 0 || engine->first));
}

/* What a ring does passes no filter of system calls: of its operations those that disks take are
 * left, and nobody registers anything with it any more. */
static bool restrict_ring(struct io_uring *ring)
{
    static const unsigned char operations[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC};
    struct io_uring_restriction restrictions[sizeof operations] = {0};
    for (size_t i = 0; i < sizeof operations; i++)
        restrictions[i] = (struct io_uring_restriction){.opcode = IORING_RESTRICTION_SQE_OP,
                                                        .sqe_op = operations[i]};
    /* Debian's liburing 2.3 declares functions for this that it hasn't. */
    return syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_RESTRICTIONS, restrictions,
                   sizeof operations) == 0 &&
           syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) ==
               0;
}

/* Fails where io_uring is refused: old kernels, seccomp filters, kernel.io_uring_disabled. */
static bool open_ring(struct disk_engine *engine)
{
    struct io_uring_params parameters = {.flags = IORING_SETUP_CLAMP | IORING_SETUP_R_DISABLED};
    unsigned workers[2] = {THREADS_MAX, THREADS_MAX}; /* for files, for others */
    if (io_uring_queue_init_params(RING_SIZE, &engine->ring, &parameters) < 0)
        return false;
    engine->source =
        (struct loop_source){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = on_completed};
    bool is_ready =
        engine->source.fd >= 0 && io_uring_register_eventfd(&engine->ring, engine->source.fd) == 0;
    /* Before 5.15: as many workers as it likes. */
    if (is_ready)
        io_uring_register_iowq_max_workers(&engine->ring, workers);
    if (!is_ready || !restrict_ring(&engine->ring)) {
        if (engine->source.fd >= 0)
            close(engine->source.fd);
        io_uring_queue_exit(&engine->ring);
        return false;
    }
    loop_watch(engine->loop, &engine->source, EPOLLIN);
    return true;
}

struct disk_engine *disk_engine_open(struct loop *loop, bool use_uring,
                                     void (*batch_done)(void *context), void *context,
                                     struct error *err)
{
    struct worker_pool *pool = worker_pool_open(loop, THREADS_MAX, batch_done, context, err);
    if (!pool)
        return NULL;
    struct disk_engine *engine = memory_allocate(1, sizeof *engine);
    *engine = (struct disk_engine){.loop = loop,
                                   .batch_done = batch_done,
                                   .context = context,
                                   .pool = pool,
                                   .retry.expired = on_retry};
    engine->end = &engine->first;
    engine->has_ring = use_uring && open_ring(engine);
    return engine;
}

bool disk_engine_uses_uring(const struct disk_engine *engine)
{
    return engine->has_ring;
}

void disk_engine_close(struct disk_engine *engine)
{
    if (!engine)
        return;
    disk_engine_drain(engine);
    if (engine->has_ring) {
        if (engine->retry.armed)
            loop_timer_cancel(engine->loop, &engine->retry);
        loop_watch(engine->loop, &engine->source, 0);
        io_uring_queue_exit(&engine->ring);
        close(engine->source.fd);
    }
    worker_pool_close(engine->pool);
    free(engine);
}
