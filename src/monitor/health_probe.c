/* `hull-oci exec --detach` returns as soon as the check runs, whose process then becomes our child:
 * its own exit status and its pid, to kill it with, are better than the runtime's. */
#include "monitor/health_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "monitor/document.h"

#define PID_FILE "health.pid"
#define KILL_GRACE_MS 2000 /* for output that comes with the end, or a process that can't die */

static void note_time(char text[40])
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    document_format_time(text, &now);
}

static void close_output(struct health_probe *probe)
{
    if (probe->output.fd < 0)
        return;
    loop_watch(probe->loop, &probe->output, 0);
    close(probe->output.fd);
    probe->output.fd = -1;
}

static void schedule(struct health_probe *probe)
{
    int64_t ran = loop_now() - probe->began;
    loop_timer_set(probe->loop, &probe->timer, health_delay(&probe->health, ran));
}

/* The check is over: by its end and that of its output, or by giving it up. */
static void conclude(struct health_probe *probe)
{
    struct health_result result = probe->result;
    loop_timer_cancel(probe->loop, &probe->timer);
    children_forget(probe->call.children, &probe->process);
    close_output(probe);
    probe->result.output = NULL;
    note_time(result.end);
    if (probe->timed_out) {
        free(result.output);
        result.exit_code = -1;
        result.output = memory_format("Health check exceeded timeout (%lldms)",
                                      (long long)probe->health.settings.timeout);
    } else if (probe->truncated) {
        strcpy(result.output + HEALTH_OUTPUT, "...");
    }
    bool changed = health_record(&probe->health, &result, probe->check_began - probe->began);
    schedule(probe);
    probe->changed(probe, changed);
}

static void conclude_if_over(struct health_probe *probe)
{
    if (probe->exited && probe->output.fd < 0)
        conclude(probe);
}

static void read_output(struct loop_source *source, uint32_t events)
{
    struct health_probe *probe = loop_owner(source, struct health_probe, output);
    char bytes[1024];
    ssize_t count = read(source->fd, bytes, sizeof bytes);
    (void)events;
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) {
        close_output(probe);
        conclude_if_over(probe);
        return;
    }
    size_t room = HEALTH_OUTPUT - probe->output_length;
    size_t taken = (size_t)count < room ? (size_t)count : room;
    memcpy(probe->result.output + probe->output_length, bytes, taken);
    probe->output_length += taken;
    probe->truncated = probe->truncated || taken < (size_t)count;
}

static void process_ended(struct child *child, int status)
{
    struct health_probe *probe = loop_owner(child, struct health_probe, process);
    probe->result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    probe->exited = true;
    /* Something that it left behind may hold its output open. */
    if (probe->output.fd >= 0 && !probe->timed_out)
        loop_timer_set(probe->loop, &probe->timer, KILL_GRACE_MS);
    if (probe->timed_out)
        close_output(probe);
    conclude_if_over(probe);
}

static void executed(struct driver_call *call, const struct error *err)
{
    struct health_probe *probe = loop_owner(call, struct health_probe, call);
    scope_free char *text = err ? NULL : file_read_all(AT_FDCWD, PID_FILE, 32, NULL, NULL);
    pid_t pid = text ? atoi(text) : 0;
    unlink(PID_FILE);
    if (pid > 0) {
        if (probe->timed_out)
            kill(pid, SIGKILL);
        probe->process.ended = process_ended;
        children_adopt(call->children, &probe->process, pid);
    } else {
        probe->exited = true;
        probe->result.exit_code = -1;
        probe->output_length = 0;
        snprintf(probe->result.output, HEALTH_OUTPUT, "%s",
                 err ? err->text : "the runtime wrote no pid file");
        close_output(probe);
        conclude_if_over(probe);
    }
    children_expect_no_more(call->children);
}

static void check(struct health_probe *probe)
{
    const struct monitor_strings *test = &probe->health.settings.test;
    scope_free char *pid_file = memory_format("%s/" PID_FILE, probe->call.directory);
    scope_free const char **arguments = memory_allocate(test->count + 7, sizeof *arguments);
    size_t count = 0;
    int ends[2];
    const char *const first[] = {"exec", "--detach", "--pid-file", pid_file,
                                 probe->call.config->id};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        arguments[count++] = first[i];
    for (size_t i = 0; i < test->count; i++)
        arguments[count++] = test->items[i];
    probe->timed_out = probe->exited = probe->truncated = false;
    probe->output_length = 0;
    probe->check_began = loop_now();
    if (pipe2(ends, O_CLOEXEC) < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) {
        schedule(probe);
        return;
    }
    note_time(probe->result.start);
    probe->result.output = memory_allocate(HEALTH_OUTPUT + 4, 1);
    probe->output = (struct loop_source){.fd = ends[0], .ready = read_output};
    loop_watch(probe->loop, &probe->output, EPOLLIN);
    loop_timer_set(probe->loop, &probe->timer, probe->health.settings.timeout);
    probe->call.done = executed;
    children_expect(probe->call.children);
    driver_start(&probe->call, arguments, (const int[]){-1, ends[1], ends[1]});
    close(ends[1]);
}

static bool is_checking(const struct health_probe *probe)
{
    return driver_is_busy(&probe->call) || probe->process.pid || probe->output.fd >= 0;
}

static void time_is_up(struct loop_timer *timer)
{
    struct health_probe *probe = loop_owner(timer, struct health_probe, timer);
    if (!is_checking(probe)) {
        if (probe->paused)
            schedule(probe);
        else
            check(probe);
        return;
    }
    if (probe->exited || probe->timed_out) { /* the time of grace, too */
        if (driver_is_busy(&probe->call)) {
            kill(probe->call.child.pid, SIGKILL);
            loop_timer_set(probe->loop, timer, KILL_GRACE_MS);
        } else {
            conclude(probe);
        }
        return;
    }
    probe->timed_out = true;
    if (probe->process.pid)
        kill(probe->process.pid, SIGKILL);
    loop_timer_set(probe->loop, timer, KILL_GRACE_MS);
}

void health_probe_begin(struct health_probe *probe, const struct monitor_health *settings)
{
    if (settings->test.count == 0)
        return;
    health_begin(&probe->health, settings);
    probe->active = true;
    probe->paused = false;
    probe->began = loop_now();
    probe->timer.expired = time_is_up;
    schedule(probe);
}

void health_probe_end(struct health_probe *probe)
{
    if (!probe->active)
        return;
    probe->active = false;
    loop_timer_cancel(probe->loop, &probe->timer);
    if (probe->process.pid)
        kill(probe->process.pid, SIGKILL);
    children_forget(probe->call.children, &probe->process);
    if (driver_is_busy(&probe->call)) {
        kill(probe->call.child.pid, SIGKILL);
        children_forget(probe->call.children, &probe->call.child);
        children_expect_no_more(probe->call.children);
    }
    close_output(probe);
    free(probe->result.output);
    probe->result.output = NULL;
}

void health_probe_pause(struct health_probe *probe, bool paused)
{
    probe->paused = paused;
}
