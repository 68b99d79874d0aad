#include "vm/control/handover.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* On the caller's stack. */
struct handover_call {
    void (*function)(void *argument);
    void *argument;
    enum { CALL_WAITS, CALL_RUNS, CALL_DONE, CALL_REFUSED } state;
    struct handover_call *next;
};

static struct handover_call *take_first(struct handover *handover)
{
    struct handover_call *call = handover->first;
    if (call) {
        handover->first = call->next;
        if (!handover->first)
            handover->last = &handover->first;
    }
    return call;
}

static void run_calls(struct loop_source *source, uint32_t events)
{
    struct handover *handover = loop_owner(source, struct handover, wake);
    uint64_t count;
    (void)events;
    if (read(source->fd, &count, sizeof count) < 0 && errno != EAGAIN && errno != EINTR)
        return;
    pthread_mutex_lock(&handover->lock);
    struct handover_call *call;
    while (!handover->closed && (call = take_first(handover))) {
        call->state = CALL_RUNS;
        pthread_mutex_unlock(&handover->lock);
        call->function(call->argument);
        pthread_mutex_lock(&handover->lock);
        call->state = CALL_DONE;
        pthread_cond_broadcast(&handover->answered);
    }
    pthread_mutex_unlock(&handover->lock);
}

int handover_open(struct handover *handover, struct loop *loop, struct error *err)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return error_set(err, errno, "can't make an eventfd");
    *handover = (struct handover){.loop = loop, .wake = {.fd = fd, .ready = run_calls}};
    handover->last = &handover->first;
    pthread_mutex_init(&handover->lock, NULL);
    pthread_cond_init(&handover->answered, NULL);
    loop_watch(loop, &handover->wake, EPOLLIN);
    return 0;
}

int handover_call(struct handover *handover, void (*function)(void *argument), void *argument)
{
    struct handover_call call = {.function = function, .argument = argument};
    uint64_t one = 1;
    pthread_mutex_lock(&handover->lock);
    if (handover->closed) {
        call.state = CALL_REFUSED;
    } else {
        *handover->last = &call;
        handover->last = &call.next;
        /* It fails only where the counter is full, and then the loop is awake already. */
        ssize_t written = write(handover->wake.fd, &one, sizeof one);
        (void)written;
    }
    while (call.state == CALL_WAITS || call.state == CALL_RUNS)
        pthread_cond_wait(&handover->answered, &handover->lock);
    pthread_mutex_unlock(&handover->lock);
    return call.state == CALL_DONE ? 0 : -1;
}

void handover_move(struct handover *handover, struct loop *loop)
{
    loop_watch(handover->loop, &handover->wake, 0);
    handover->loop = loop;
    loop_watch(loop, &handover->wake, EPOLLIN);
}

void handover_close(struct handover *handover)
{
    struct handover_call *call;
    pthread_mutex_lock(&handover->lock);
    handover->closed = true;
    while ((call = take_first(handover)))
        call->state = CALL_REFUSED;
    pthread_cond_broadcast(&handover->answered);
    pthread_mutex_unlock(&handover->lock);
    loop_watch(handover->loop, &handover->wake, 0);
}

void handover_release(struct handover *handover)
{
    close(handover->wake.fd);
    pthread_mutex_destroy(&handover->lock);
    pthread_cond_destroy(&handover->answered);
}
