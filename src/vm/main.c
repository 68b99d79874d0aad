/* hull-vmm: the virtual machine monitor, one process a machine. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/scope.h"
#include "vm/confine.h"
#include "vm/control/http.h"
#include "vm/control/log.h"
#include "vm/control/options.h"
#include "vm/instance.h"
#include "vm/jail.h"
#include "vm/libraries.h"

/* Firecracker's exit codes where they say the same. */
enum exit_code {
    EXIT_FINE = 0,   /* the guest powered off or reset the machine, or was asked to end */
    EXIT_BROKEN = 1, /* the engine couldn't go on, or the monitor couldn't start */
    EXIT_CALL = CONFINE_EXIT_CODE, /* a thread made a system call that it mustn't */
    EXIT_CRASHED = 149, /* the guest's kernel panicked, or its processor had a triple fault */
    EXIT_SETTINGS = 152,
    EXIT_COMMAND_LINE = 153,
};

/* What the process has one of. */
struct monitor {
    struct vm_options options;
    pthread_mutex_t lock;
    struct loop loop;
    struct metrics *metrics;
    struct control *control;
    struct instance instance;
    struct handover handover;
    struct api_server *server;
    struct loop_source signals;
    struct termios terminal; /* as it was */
    bool terminal_is_raw;
};

static int complain(const struct error *err)
{
    fprintf(stderr, "hull-vmm: %s\n", err->text);
    return -1;
}

static void on_signal(struct loop_source *source, uint32_t events)
{
    struct monitor *monitor = loop_owner(source, struct monitor, signals);
    struct signalfd_siginfo info;
    (void)events;
    if (read(source->fd, &info, sizeof info) == sizeof info)
        log_info("signal %u ends the machine", info.ssi_signo);
    monitor->loop.done = true;
}

static int watch_signals(struct monitor *monitor, struct error *err)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGHUP);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    signal(SIGPIPE, SIG_IGN);
    monitor->signals = (struct loop_source){.fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK),
                                            .ready = on_signal};
    if (monitor->signals.fd < 0)
        return error_set(err, errno, "can't make a signalfd");
    loop_watch(&monitor->loop, &monitor->signals, EPOLLIN);
    return 0;
}

/* What is typed goes to the guest's serial port as it is. */
static void make_terminal_raw(struct monitor *monitor)
{
    struct termios raw;
    if (tcgetattr(STDIN_FILENO, &monitor->terminal) < 0)
        return;
    raw = monitor->terminal;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST | ONLCR;
    monitor->terminal_is_raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

static int open_monitor(struct monitor *monitor, struct error *err)
{
    const struct vm_options *options = &monitor->options;
    const struct control_options control = {.id = options->id,
                                            .pci = options->pci,
                                            .metadata_limit = options->metadata_limit,
                                            .metrics = monitor->metrics};
    if (options->logger.given && log_configure(&options->logger, err) < 0)
        return -1;
    if (options->metrics_path && metrics_open(monitor->metrics, options->metrics_path, err) < 0)
        return -1;
    monitor->control =
        control_create(&monitor->loop, &control, &instance_operations, &monitor->instance);
    monitor->instance.control = monitor->control;
    metrics_set_collector(monitor->metrics, instance_collect, &monitor->instance);
    return options->metadata_file
               ? metadata_load(control_metadata(monitor->control), options->metadata_file, err)
               : 0;
}

static int confine_api(void *context, struct error *err)
{
    (void)context;
    return confine_thread(CONFINE_API, err);
}

static int serve(struct monitor *monitor, struct error *err)
{
    const struct vm_options *options = &monitor->options;
    if (options->config_file && (control_open_outputs(monitor->control, err) < 0 ||
                                 control_start(monitor->control, err) < 0))
        return -1;
    const struct api_server_options server = {.socket_path = options->api_socket,
                                              .body_limit = options->body_limit,
                                              .confine_thread = confine_api};
    if (options->api_socket &&
        api_server_start(&monitor->server, monitor->control, &monitor->handover, &server, err) < 0)
        return -1;
    /* The last, for the server takes more than the loop. */
    monitor->instance.is_serving = true;
    return instance_confine(&monitor->instance, err);
}

static int exit_code(const struct monitor *monitor)
{
    const struct machine *machine = &monitor->instance.machine;
    if (!monitor->instance.is_open || machine->state != MACHINE_ENDED)
        return EXIT_FINE;
    if (machine->has_panicked) {
        fprintf(stderr, "hull-vmm: the guest's kernel panicked (its console says why)\n");
        return EXIT_CRASHED;
    }
    switch (machine->end) {
    case MACHINE_CRASHED:
        fprintf(stderr, "hull-vmm: the guest's processor shut down (a triple fault)\n");
        return EXIT_CRASHED;
    case MACHINE_BROKEN:
        fprintf(stderr, "hull-vmm: %s\n", machine->failure.text);
        return EXIT_BROKEN;
    default:
        return EXIT_FINE;
    }
}

static void close_monitor(struct monitor *monitor)
{
    if (monitor->server)
        api_server_stop(monitor->server);
    if (monitor->control)
        metrics_flush(monitor->metrics, NULL);
    metrics_set_collector(monitor->metrics, NULL, NULL);
    instance_close(&monitor->instance);
    if (monitor->control)
        control_destroy(monitor->control);
    handover_release(&monitor->handover);
    metrics_destroy(monitor->metrics);
    if (monitor->signals.fd >= 0)
        close(monitor->signals.fd);
    loop_close(&monitor->loop);
    if (monitor->terminal_is_raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &monitor->terminal);
    log_close();
}

/* Gives up what rights are left. Until now files were read that whoever starts the monitor wrote;
 * what comes from a guest or the API comes after. */
static int lock_up(struct monitor *monitor, struct error *err)
{
    const struct vm_options *options = &monitor->options;
    if (options->jail.directory) {
        const struct vm_settings *settings = control_settings(monitor->control);
        if (settings->filesystem_count > 0)
            jail_take_files();
        if (instance_prepare(&monitor->instance, settings, err) < 0 ||
            jail_drop(&options->jail, err) < 0)
            return -1;
    }
    return options->seccomp ? confine_begin(log_last_words, err) : 0;
}

/* With a loop that turns. */
static int run(struct monitor *monitor, struct error *err)
{
    const struct vm_options *options = &monitor->options;
    if (watch_signals(monitor, err) < 0 || open_monitor(monitor, err) < 0)
        return complain(err), EXIT_BROKEN;
    if (options->config_file &&
        vm_settings_read_file(control_settings(monitor->control), options->config_file, err) < 0)
        return complain(err), EXIT_SETTINGS;
    if (lock_up(monitor, err) < 0)
        return complain(err), EXIT_BROKEN;
    make_terminal_raw(monitor);
    if (serve(monitor, err) < 0)
        return complain(err), EXIT_BROKEN;
    loop_run(&monitor->loop);
    return exit_code(monitor);
}

int main(int argc, char **argv)
{
    static struct monitor monitor = {.lock = PTHREAD_MUTEX_INITIALIZER, .signals = {.fd = -1}};
    struct error err = {0};
    int status = vm_options_read(&monitor.options, argc, argv, &err);
    if (status < 0)
        complain(&err);
    if (status != 0) {
        vm_options_release(&monitor.options);
        return status < 0 ? EXIT_COMMAND_LINE : EXIT_FINE;
    }
    if (libraries_provide(&monitor.options, argv, &err) < 0)
        return complain(&err), EXIT_BROKEN;
    if (monitor.options.jail.directory) {
        int child = jail_enter(&monitor.options, &err);
        if (child < 0)
            complain(&err);
        if (child != 0) {
            status = child < 0 ? EXIT_BROKEN : jail_attend(&monitor.options.jail, child);
            vm_options_release(&monitor.options);
            return status;
        }
    }
    monitor.metrics = metrics_create();
    log_initialize(monitor.options.id, &metrics_of(monitor.metrics)->logger);
    vm_log_set_sink(log_take);
    pthread_mutex_lock(&monitor.lock);
    if (loop_open(&monitor.loop, &err) < 0 || loop_share(&monitor.loop, &monitor.lock, &err) < 0 ||
        handover_open(&monitor.handover, &monitor.loop, &err) < 0)
        return complain(&err), EXIT_BROKEN;
    instance_initialize(&monitor.instance, &monitor.options, &monitor.loop, monitor.metrics);
    status = run(&monitor, &err);
    close_monitor(&monitor);
    vm_options_release(&monitor.options);
    return status;
}
