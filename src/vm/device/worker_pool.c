#include "vm/device/worker_pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/memory.h"
#include "vm/confine.h"
#include "vm/log.h"

#define STACK_SIZE (256u << 10) /* of address space; what isn't touched costs nothing */
#define THREADS_MAX 16

struct job_list {
    struct worker_job *first, **end;
};

struct worker_pool {
    struct loop *loop;
    struct loop_source source; /* an eventfd: jobs were done */
    void (*batch_done)(void *context);
    void *context;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t work, idle;
    struct job_list waiting, done;
    unsigned thread_count, threads_max, idle_count, waiting_count, running;
    bool closing;
    pthread_t threads[THREADS_MAX];
};

static void list_clear(struct job_list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

static void list_add(struct job_list *list, struct worker_job *job)
{
    job->next = NULL;
    *list->end = job;
    list->end = &job->next;
}

static struct worker_job *list_take(struct job_list *list)
{
    struct worker_job *job = list->first;
    list->first = job->next;
    if (!list->first)
        list->end = &list->first;
    return job;
}

/* With the lock held: puts a job that ran where the loop's thread finds it. */
static void note_done(struct worker_pool *pool, struct worker_job *job)
{
    if (!pool->done.first)
        eventfd_write(pool->source.fd, 1);
    list_add(&pool->done, job);
}

static void *work(void *argument)
{
    struct worker_pool *pool = argument;
    struct error err = {0};
    if (confine_thread(CONFINE_WORKER, &err) < 0) {
        vm_log(VM_LOG_ERROR, "worker", "%s", err.text);
        abort(); /* rather than go on with more rights than it should have */
    }
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->waiting.first && !pool->closing) {
            pool->idle_count++;
            pthread_cond_wait(&pool->work, &pool->lock);
            pool->idle_count--;
        }
        if (!pool->waiting.first)
            break;
        struct worker_job *job = list_take(&pool->waiting);
        pool->waiting_count--;
        pool->running++;
        pthread_mutex_unlock(&pool->lock);
        job->run(job);
        pthread_mutex_lock(&pool->lock);
        pool->running--;
        note_done(pool, job);
        if (!pool->waiting.first && pool->running == 0)
            pthread_cond_broadcast(&pool->idle);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Calls the done() functions of what has run; whether there were any. */
static bool finish(struct worker_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct worker_job *job = pool->done.first;
    list_clear(&pool->done);
    pthread_mutex_unlock(&pool->lock);
    if (!job)
        return false;
    while (job) {
        struct worker_job *next = job->next;
        job->done(job);
        job = next;
    }
    if (pool->batch_done)
        pool->batch_done(pool->context);
    return true;
}

static void on_done(struct loop_source *source, uint32_t events)
{
    struct worker_pool *pool = loop_owner(source, struct worker_pool, source);
    eventfd_t count;
    (void)events;
    eventfd_read(source->fd, &count);
    finish(pool);
}

struct worker_pool *worker_pool_open(struct loop *loop, unsigned threads_max,
                                     void (*batch_done)(void *context), void *context,
                                     struct error *err)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        error_set(err, errno, "can't make an eventfd for worker threads");
        return NULL;
    }
    struct worker_pool *pool = memory_allocate(1, sizeof *pool);
    *pool =
        (struct worker_pool){.loop = loop,
                             .source = {.fd = fd, .ready = on_done},
                             .batch_done = batch_done,
                             .context = context,
                             .lock = PTHREAD_MUTEX_INITIALIZER,
                             .work = PTHREAD_COND_INITIALIZER,
                             .idle = PTHREAD_COND_INITIALIZER,
                             .threads_max = threads_max < THREADS_MAX ? threads_max : THREADS_MAX};
    list_clear(&pool->waiting);
    list_clear(&pool->done);
    loop_watch(loop, &pool->source, EPOLLIN);
    return pool;
}

/* With the lock held; an errno value, or 0. */
static int start_thread(struct worker_pool *pool)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(&pool->threads[pool->thread_count], &attributes, work, pool);
    pool->thread_count += error == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

int worker_pool_reserve(struct worker_pool *pool, struct error *err)
{
    pthread_mutex_lock(&pool->lock);
    int error = pool->thread_count == 0 ? start_thread(pool) : 0;
    pthread_mutex_unlock(&pool->lock);
    return error ? error_set(err, error, "can't start a worker thread") : 0;
}

void worker_pool_submit(struct worker_pool *pool, struct worker_job *job)
{
    pthread_mutex_lock(&pool->lock);
    if (pool->waiting_count >= pool->idle_count && pool->thread_count < pool->threads_max)
        start_thread(pool);
    if (pool->thread_count == 0) {
        job->run(job);
        note_done(pool, job);
    } else {
        list_add(&pool->waiting, job);
        pool->waiting_count++;
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
}

void worker_pool_drain(struct worker_pool *pool)
{
    do { /* done() functions may submit more */
        pthread_mutex_lock(&pool->lock);
        while (pool->waiting.first || pool->running > 0)
            pthread_cond_wait(&pool->idle, &pool->lock);
        pthread_mutex_unlock(&pool->lock);
    } while (finish(pool));
}

void worker_pool_close(struct worker_pool *pool)
{
    if (!pool)
        return;
    worker_pool_drain(pool);
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    loop_watch(pool->loop, &pool->source, 0);
    close(pool->source.fd);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->idle);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
