/* The controllers as a processor's thread uses them: time, alarms, sleep, and taking events. */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "vm/board/controllers_internal.h"

/* glibc has no name for it. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define NANOSECONDS 1000000000ull

/* ---- Time ---- */

uint64_t controllers_monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

static struct timespec time_of(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / NANOSECONDS), (long)(ns % NANOSECONDS)};
}

uint64_t controllers_now(const struct controllers *controllers)
{
    uint64_t now = controllers->paused ? controllers->paused : controllers_monotonic();
    return now - controllers->stood;
}

void controllers_pause(struct controllers *controllers)
{
    controllers_acquire(controllers);
    controllers->paused = controllers_monotonic();
    controllers_release(controllers);
}

void controllers_resume(struct controllers *controllers)
{
    controllers_acquire(controllers);
    if (controllers->paused)
        controllers->stood += controllers_monotonic() - controllers->paused;
    controllers->paused = 0;
    controllers_release(controllers);
}

/* ---- Timers ---- */

void controllers_run_timers(struct controllers *controllers, unsigned vcpu)
{
    local_apic_run_timer(&controllers->vcpus[vcpu].apic);
    controllers_touch(controllers, vcpu);
    if (vcpu != 0 || !pit_expire(&controllers->pit, controllers_now(controllers)))
        return;
    controllers_set_board_line(controllers, 0, true);
    controllers_set_board_line(controllers, 0, false);
}

uint64_t controllers_deadline(const struct controllers *controllers, unsigned vcpu)
{
    uint64_t deadline = local_apic_deadline(&controllers->vcpus[vcpu].apic);
    uint64_t pit = vcpu == 0 ? pit_deadline(&controllers->pit) : PIT_NO_DEADLINE;
    if (pit < deadline)
        deadline = pit;
    return deadline == UINT64_MAX ? deadline : deadline + controllers->stood;
}

/* Timer slack would make sleeps up to 50 us longer. */
int controllers_begin_thread(struct controllers *controllers, unsigned vcpu,
                             const struct controllers_thread *thread, struct error *err)
{
    struct controllers_vcpu *of = &controllers->vcpus[vcpu];
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
                             .sigev_signo = thread->signal,
                             .sigev_value = {.sival_ptr = thread->value}};
    event.sigev_notify_thread_id = gettid();
    if (of->has_alarm) /* of a thread that was the vcpu's before */
        timer_delete(of->alarm);
    of->has_alarm = false;
    of->armed = 0;
    if (timer_create(CLOCK_MONOTONIC, &event, &of->alarm) < 0)
        return error_set(err, errno, "can't make a timer for vcpu %u", vcpu);
    of->has_alarm = true;
    of->apic.tsc_frequency = thread->tsc_frequency;
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    return 0;
}

/* An alarm that comes too early is no harm, so a later deadline leaves it as it is: kernels move
 * theirs with nearly each interrupt. */
static void set_alarm(struct controllers_vcpu *vcpu, uint64_t deadline)
{
    if (deadline == UINT64_MAX ||
        (deadline >= vcpu->armed && vcpu->armed > controllers_monotonic()))
        return;
    const struct itimerspec wanted = {.it_value = time_of(deadline)};
    timer_settime(vcpu->alarm, TIMER_ABSTIME, &wanted, NULL);
    vcpu->armed = deadline;
}

unsigned controllers_prepare(struct controllers *controllers, unsigned vcpu)
{
    controllers_acquire(controllers);
    controllers_run_timers(controllers, vcpu);
    uint64_t deadline = controllers_deadline(controllers, vcpu);
    controllers_release(controllers);
    set_alarm(&controllers->vcpus[vcpu], deadline);
    return controllers_pending(controllers, vcpu);
}

/* ---- Sleep ---- */

static void sleep_until(struct controllers_vcpu *vcpu, uint64_t deadline)
{
    const struct timespec time = time_of(deadline);
    if (deadline == UINT64_MAX)
        pthread_cond_wait(&vcpu->changed, &vcpu->controllers->lock);
    else
        pthread_cond_timedwait(&vcpu->changed, &vcpu->controllers->lock, &time);
}

unsigned controllers_wait(struct controllers *controllers, unsigned vcpu, unsigned events)
{
    struct controllers_vcpu *of = &controllers->vcpus[vcpu];
    for (;;) {
        /* What the timers did is worked out, and told to others, by a release of its own. */
        controllers_acquire(controllers);
        controllers_run_timers(controllers, vcpu);
        of->sleeps = true;
        controllers_release(controllers);

        controllers_acquire(controllers);
        unsigned found = of->pending & events;
        bool is_interrupted = of->is_interrupted;
        if (found || is_interrupted)
            of->is_interrupted = false;
        else
            sleep_until(of, controllers_deadline(controllers, vcpu));
        of->sleeps = false;
        controllers_release(controllers);
        if (found || is_interrupted)
            return found;
    }
}

void controllers_interrupt(struct controllers *controllers, unsigned vcpu)
{
    struct controllers_vcpu *of = &controllers->vcpus[vcpu];
    controllers_acquire(controllers);
    of->is_interrupted = true;
    controllers_release(controllers);
    pthread_cond_signal(&of->changed);
}

/* ---- Events ---- */

int controllers_acknowledge(struct controllers *controllers, unsigned vcpu)
{
    struct local_apic *apic = &controllers->vcpus[vcpu].apic;
    controllers_acquire(controllers);
    int vector = local_apic_acknowledge(apic);
    if (vector < 0 && vcpu == 0 && pic_is_asking(&controllers->pic) &&
        local_apic_passes_external(apic)) {
        vector = pic_acknowledge(&controllers->pic);
        controllers_update_pic(controllers);
    }
    controllers_touch(controllers, vcpu);
    controllers_release(controllers);
    return vector;
}

bool controllers_take_nmi(struct controllers *controllers, unsigned vcpu)
{
    struct controllers_vcpu *of = &controllers->vcpus[vcpu];
    controllers_acquire(controllers);
    bool had = of->nmis > 0 && !of->is_stopped;
    of->nmis -= had;
    controllers_touch(controllers, vcpu);
    controllers_release(controllers);
    return had;
}

bool controllers_take_init(struct controllers *controllers, unsigned vcpu)
{
    struct controllers_vcpu *of = &controllers->vcpus[vcpu];
    controllers_acquire(controllers);
    of->has_init = false;
    of->nmis = 0;
    of->is_stopped = vcpu > 0;
    local_apic_reset(&of->apic);
    controllers_touch(controllers, vcpu);
    controllers_release(controllers);
    return vcpu > 0;
}

bool controllers_take_startup(struct controllers *controllers, unsigned vcpu, uint8_t *vector)
{
    struct controllers_vcpu *of = &controllers->vcpus[vcpu];
    controllers_acquire(controllers);
    bool had = of->has_startup && of->is_stopped && !of->has_init;
    if (had) {
        of->has_startup = of->is_stopped = false;
        *vector = of->startup_vector;
    }
    controllers_touch(controllers, vcpu);
    controllers_release(controllers);
    return had;
}

bool controllers_is_stopped(const struct controllers *controllers, unsigned vcpu)
{
    return controllers->vcpus[vcpu].is_stopped;
}
