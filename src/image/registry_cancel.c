#include "image/registry_cancel.h"

#include <time.h>

void registry_cancel_open(struct registry_cancel *cancel)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&cancel->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&cancel->mutex, NULL);
    cancel->cancelled = false;
}

void registry_cancel_close(struct registry_cancel *cancel)
{
    pthread_cond_destroy(&cancel->changed);
    pthread_mutex_destroy(&cancel->mutex);
}

void registry_cancel_all(struct registry_cancel *cancel)
{
    pthread_mutex_lock(&cancel->mutex);
    cancel->cancelled = true;
    pthread_cond_broadcast(&cancel->changed);
    pthread_mutex_unlock(&cancel->mutex);
}

bool registry_cancel_is(struct registry_cancel *cancel)
{
    if (!cancel)
        return false;
    pthread_mutex_lock(&cancel->mutex);
    bool cancelled = cancel->cancelled;
    pthread_mutex_unlock(&cancel->mutex);
    return cancelled;
}

bool registry_cancel_sleep(struct registry_cancel *cancel, double seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    time_t whole = (time_t)seconds;
    until.tv_sec += whole;
    until.tv_nsec += (long)((seconds - (double)whole) * 1e9);
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    if (!cancel) {
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
            ;
        return true;
    }
    int waited = 0;
    pthread_mutex_lock(&cancel->mutex);
    while (!cancel->cancelled && waited == 0)
        waited = pthread_cond_timedwait(&cancel->changed, &cancel->mutex, &until);
    bool cancelled = cancel->cancelled;
    pthread_mutex_unlock(&cancel->mutex);
    return !cancelled;
}
