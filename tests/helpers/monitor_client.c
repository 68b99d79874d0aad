/* Does with a monitor what `hull` does, through the same library:
 *
 *     monitor_client VERB RUN-DIRECTORY [ARGUMENT...]
 *
 * run PROGRAM [i] [t] [follow]   start, attach, begin and attend; exits with the container's status
 * attach [i] [t] [follow]        attend only (exit status 250: detached, 251: dropped, 252: lost)
 * hold MS                        attach, read nothing for so long (0: for ever), then all
 * start PROGRAM · begin · stop [SIGNAL [MS]] · restart [SIGNAL [MS]] · kill SIGNAL · pause · resume
 * resize ROWS COLUMNS · update POLICY · rename NAME · wait [next] · recover · forget · alive
 * status STATE-DIRECTORY         the document, with monitorLost and rebooted
 * write CONFIG                   monitor.json, checked, from a file
 * send TYPE BYTES                a packet of that type and length; exits 0 if the connection ends
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "monitor/monitor.h"

static struct error err;

static int complain(int status)
{
    fprintf(stderr, "%s\n", err.text);
    return status;
}

static bool has_word(char **words, const char *word)
{
    for (; *words; words++) {
        if (strcmp(*words, word) == 0)
            return true;
    }
    return false;
}

static int attach(const char *directory, char **words)
{
    int flags = MONITOR_ATTACH_STDOUT | MONITOR_ATTACH_STDERR;
    flags |= has_word(words, "i") ? MONITOR_ATTACH_STDIN : 0;
    flags |= has_word(words, "follow") ? 0 : MONITOR_ATTACH_LOSSLESS;
    return monitor_attach(directory, flags, &err);
}

static int attend(const char *directory, int connection, char **words)
{
    struct monitor_outcome outcome;
    struct monitor_attention attention = {.run_directory = directory,
                                          .input = has_word(words, "i") ? 0 : -1,
                                          .output = 1,
                                          .errors = 2,
                                          .terminal = has_word(words, "t"),
                                          .pass_signals = !has_word(words, "t")};
    if (monitor_attend(connection, &attention, &outcome, &err) < 0)
        return complain(125);
    switch (outcome.end) {
    case MONITOR_END_EXITED:
        monitor_await_end(connection, 10000, NULL);
        return outcome.exit_code;
    case MONITOR_END_DETACHED:
        return 250;
    case MONITOR_END_DROPPED:
        return 251;
    default:
        return 252;
    }
}

static int run(const char *directory, char **words)
{
    struct monitor_failure failure;
    if (monitor_start(words[0], directory, &failure, &err) < 0)
        return complain(failure.exit_code);
    int connection = attach(directory, words + 1);
    if (connection < 0)
        return complain(125);
    if (monitor_begin(directory, &failure, &err) < 0)
        return complain(failure.exit_code);
    return attend(directory, connection, words + 1);
}

static int hold(const char *directory, char **words)
{
    int connection = attach(directory, words);
    if (connection < 0)
        return complain(125);
    puts("attached");
    fflush(stdout);
    poll(NULL, 0, atoi(words[0]) ? atoi(words[0]) : -1);
    return attend(directory, connection, words);
}

static int start(const char *directory, char **words)
{
    struct monitor_failure failure;
    pid_t pid = monitor_start(words[0], directory, &failure, &err);
    if (pid < 0)
        return complain(failure.exit_code);
    printf("%d\n", pid);
    return 0;
}

static int show_status(const char *directory, char **words)
{
    struct monitor_status status;
    int found = monitor_read_status(directory, words[0], &status, &err);
    if (found <= 0) {
        if (found == 0)
            puts("none");
        return found < 0 ? complain(1) : 0;
    }
    json_object_set_new(status.document, "monitorLost", json_boolean(status.monitor_lost));
    json_object_set_new(status.document, "rebooted", json_boolean(status.rebooted));
    json_object_set_new(status.document, "effective",
                        json_string(monitor_state_name(status.state)));
    json_dumpf(status.document, stdout, JSON_COMPACT);
    putchar('\n');
    monitor_status_release(&status);
    return 0;
}

static int write_config(const char *directory, char **words)
{
    struct monitor_config config;
    size_t length;
    char *text = file_read_all(AT_FDCWD, words[0], 1 << 20, &length, &err);
    int result = text ? monitor_config_parse(&config, text, length, &err) : -1;
    free(text);
    if (result < 0)
        return complain(1);
    result = monitor_config_write(directory, &config, &err);
    monitor_config_release(&config);
    return result < 0 ? complain(1) : 0;
}

static int send_packet(const char *directory, char **words)
{
    static char packet[1 << 17];
    int connection = monitor_attach(directory, MONITOR_ATTACH_STDOUT, &err);
    if (connection < 0)
        return complain(125);
    uint32_t type = (uint32_t)strtoul(words[0], NULL, 10);
    memcpy(packet, &type, sizeof type);
    if (send(connection, packet, strtoul(words[1], NULL, 10), MSG_NOSIGNAL) < 0)
        return 2;
    struct pollfd polled = {connection, POLLIN, 0};
    return poll(&polled, 1, 5000) == 1 && recv(connection, packet, sizeof packet, 0) <= 0 ? 0 : 1;
}

static int recover(const char *directory)
{
    bool restart;
    int result = monitor_recover(directory, &restart, &err);
    if (result < 0)
        return complain(1);
    puts(result == 0 ? "alive" : restart ? "restart" : "recovered");
    return 0;
}

static int wait_for_end(const char *directory, char **words)
{
    int code;
    if (monitor_wait(directory, has_word(words, "next"), &code, &err) < 0)
        return complain(1);
    printf("%d\n", code);
    return 0;
}

static int request(const char *verb, const char *directory, char **words)
{
    int first = words[0] ? atoi(words[0]) : 0;
    int second = words[0] && words[1] ? atoi(words[1]) : INT_MIN;
    struct monitor_restart policy;
    if (strcmp(verb, "begin") == 0) {
        struct monitor_failure failure;
        return monitor_begin(directory, &failure, &err) < 0 ? complain(failure.exit_code) : 0;
    }
    if (strcmp(verb, "stop") == 0)
        return monitor_stop(directory, first, second, &err) < 0 ? complain(1) : 0;
    if (strcmp(verb, "restart") == 0)
        return monitor_restart(directory, first, second, &err) < 0 ? complain(1) : 0;
    if (strcmp(verb, "kill") == 0)
        return monitor_kill(directory, first, &err) < 0 ? complain(1) : 0;
    if (strcmp(verb, "pause") == 0)
        return monitor_pause(directory, &err) < 0 ? complain(1) : 0;
    if (strcmp(verb, "resume") == 0)
        return monitor_resume(directory, &err) < 0 ? complain(1) : 0;
    if (strcmp(verb, "resize") == 0)
        return monitor_resize(directory, (unsigned short)first, (unsigned short)second, &err) < 0
                   ? complain(1)
                   : 0;
    if (strcmp(verb, "rename") == 0)
        return monitor_rename(directory, words[0], &err) < 0 ? complain(1) : 0;
    if (strcmp(verb, "forget") == 0)
        return monitor_forget(directory, &err) < 0 ? complain(1) : 0;
    if (strcmp(verb, "alive") == 0)
        return monitor_is_alive(directory) ? 0 : 1;
    if (strcmp(verb, "update") == 0)
        return monitor_restart_parse(&policy, words[0], &err) < 0 ||
                       monitor_update_restart(directory, &policy, &err) < 0
                   ? complain(1)
                   : 0;
    fprintf(stderr, "unknown verb %s\n", verb);
    return 2;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    const char *verb = argv[1], *directory = argv[2];
    char **words = argv + 3;
    if (strcmp(verb, "run") == 0)
        return run(directory, words);
    if (strcmp(verb, "attach") == 0) {
        int connection = attach(directory, words);
        return connection < 0 ? complain(125) : attend(directory, connection, words);
    }
    if (strcmp(verb, "hold") == 0)
        return hold(directory, words);
    if (strcmp(verb, "start") == 0)
        return start(directory, words);
    if (strcmp(verb, "status") == 0)
        return show_status(directory, words);
    if (strcmp(verb, "write") == 0)
        return write_config(directory, words);
    if (strcmp(verb, "send") == 0)
        return send_packet(directory, words);
    if (strcmp(verb, "recover") == 0)
        return recover(directory);
    if (strcmp(verb, "wait") == 0)
        return wait_for_end(directory, words);
    return request(verb, directory, words);
}
