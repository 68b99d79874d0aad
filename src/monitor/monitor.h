/* hull-monitor, the small process that stands by each running container, and how `hull` talks to
 * it. This header is all that the engine needs; it links monitor_library (base, jansson).
 *
 * Two directories belong to a container, both made by the engine (mode 0700) beforehand:
 *
 *     RUN_ROOT/containers/ID   "run directory", volatile:
 *         monitor.json   what to do: monitor_config_write(), by the engine
 *         lock           held (an open file description lock) by the monitor while it lives
 *         status         what is: monitor_read_status(); replaced by rename
 *         control        the socket, mode 0600
 *         driver.log, *.pid    the monitor's own; removed by monitor_forget()
 *     ROOT/containers/ID       "state directory", persistent:
 *         status         the same, as of the last start or end: what a reboot leaves
 *
 * The usual course of `hull run`:
 *
 *     monitor_config_write(run_directory, &config, err);
 *     monitor_start(program, run_directory, &failure, err);   created; the program doesn't run yet
 *     int connection = monitor_attach(run_directory, flags, err);           if not detached
 *     monitor_begin(run_directory, &failure, err);            unless config.begin_at_once
 *     monitor_attend(connection, &attention, &outcome, err);  until it ends or the user detaches
 *
 * The monitor ends by itself once the container has finally ended (restart policies considered):
 * it deletes the runtime's container, unmounts the overlay, writes both status files, answers who
 * waits, closes the socket, runs config.cleanup in the namespaces it was started in, and lets go of
 * the lock. It runs config.cleanup after a failed creation, too, so cleanup must be idempotent.
 * While cleanup runs, the lock is held still: monitor_is_alive() says true, but connecting fails
 * with ECONNREFUSED or ENOENT in err->code. Cleanup may call monitor_read_status(). To start the
 * container again, monitor_start() waits for the old monitor to let go (up to 30 s).
 *
 * If a monitor is killed (SIGKILL, out of memory), its container runs on until somebody notices:
 * every engine command that looks at the container calls monitor_read_status(), which then sets
 * `monitor_lost`, upon which the engine calls monitor_recover(). Until then a program that writes
 * to its output gets SIGPIPE, or SIGHUP where that is a terminal. The overlay was mounted in the
 * monitor's own mount namespace and goes with the last process.
 *
 * Times are RFC 3339 in UTC with nanoseconds; "0001-01-01T00:00:00Z" is never, as docker has it.
 * Durations are int64_t nanoseconds where docker's settings have nanoseconds, else int
 * milliseconds. All strings that functions return belong to the object they are in. */
#ifndef HULL_MONITOR_MONITOR_H
#define HULL_MONITOR_MONITOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/memory.h"

/* ---- what to do: monitor.json ---- */

struct monitor_strings {
    const char **items;
    size_t count;
};

/* Mounted by the monitor before it creates the container. */
struct monitor_overlay {
    const char *target;           /* NULL: there is none to mount */
    struct monitor_strings lower; /* directories, the topmost first; at most 500 */
    const char *upper, *work;     /* both NULL: read-only */
    bool userxattr;               /* in a user namespace of ours */
    const char *options;          /* more options, "volatile,metacopy=off"; or NULL */
    /* A file of a user namespace, by whose mappings all owners are shown: 0 on the disk is its
     * root. upper and work are in one directory then. NULL: as they are. */
    const char *user_namespace;
};

enum monitor_restart_kind {
    MONITOR_RESTART_NO,
    MONITOR_RESTART_ON_FAILURE,
    MONITOR_RESTART_ALWAYS,
    MONITOR_RESTART_UNLESS_STOPPED,
};

struct monitor_restart {
    enum monitor_restart_kind kind;
    int maximum_retry_count; /* of on-failure; 0: no limit */
};

struct monitor_log {
    const char *path;       /* of the json-file log; NULL: driver none */
    int64_t max_size;       /* bytes; 0 or less: it grows for ever */
    int max_file;           /* how many files there are at most, 1 or more: path, path.1, … */
    bool compress;          /* path.1.gz … instead, with gzip(1) */
    const char *attributes; /* JSON object for each record's "attrs" (labels, env, tag); or NULL */
};

struct monitor_health {
    struct monitor_strings test; /* the argv to execute: CMD's as it is, CMD-SHELL's with the shell
                                    before it; none: there is no health check */
    int64_t interval, timeout, start_period, start_interval; /* ns; 0: docker's default (30 s,
                                                                30 s, 0, 5 s) */
    int retries;                                             /* 0: docker's default, 3 */
};

struct monitor_config {
    const char *id;              /* of the container, and of hull-oci's */
    const char *name, *image;    /* for events */
    json_t *labels;              /* object of strings, for events; or NULL; borrowed when writing */
    const char *state_directory; /* ROOT/containers/ID, absolute */
    const char *events;          /* RUN_ROOT/events, absolute */
    const char *runtime;         /* path of hull-oci */
    const char *runtime_root;    /* its --root */
    struct monitor_strings runtime_flags; /* more before the verb: "--systemd-cgroup" */
    struct monitor_strings create_flags;  /* more of create: "--no-pivot" */
    const char *bundle; /* directory with config.json, whose root.path is absolute */
    struct monitor_overlay overlay;
    bool host_mount_namespace;    /* don't unshare: volumes with shared propagation */
    bool terminal;                /* as process.terminal in config.json */
    bool open_stdin;              /* else its standard input is /dev/null (or a silent terminal) */
    bool stdin_once;              /* its input ends when the first client with input ends */
    bool begin_at_once;           /* don't wait for monitor_begin() */
    int64_t owner;                /* user and group of its pipes: root of its user namespace */
    unsigned short rows, columns; /* of the terminal; 0: unknown */
    struct monitor_log log;
    struct monitor_restart restart;
    int stop_signal;  /* 0: SIGTERM */
    int stop_timeout; /* ms, where the client says none; < 0: for ever; 0 kills at once */
    struct monitor_health health;
    struct monitor_strings cleanup; /* argv, run once the container has ended; none: nothing */
    struct arena arena;             /* of monitor_config_read(); else unused */
};

/* Writes monitor.json (beside, then renamed), mode 0600. */
int monitor_config_write(const char *run_directory, const struct monitor_config *config,
                         struct error *err);
/* Reads and checks it: unknown keys are errors, lengths are bounded. Release it afterwards. */
int monitor_config_read(const char *run_directory, struct monitor_config *config,
                        struct error *err);
/* The same from text; what monitor_config_read() and the fuzzer call. */
int monitor_config_parse(struct monitor_config *config, const char *text, size_t length,
                         struct error *err);
void monitor_config_release(struct monitor_config *config);

/* ---- what is: the status file ----
 *
 * {"version":1, "status":"running", "pid":123, "exitCode":0, "startedAt":…, "finishedAt":…,
 *  "oomKilled":false, "restartCount":0, "stoppedByUser":false, "error":"",
 *  "restart":{"name":"no","maximumRetryCount":0},       as last updated
 *  "bootId":…, "monitor":{"pid":99,"startTime":4711},   startTime: field 22 of /proc/PID/stat
 *  "health":{"Status":"healthy","FailingStreak":0,"Log":[{"Start":…,"End":…,"ExitCode":0,
 *            "Output":…}]}}                             as docker inspect's; absent without a check
 */

enum monitor_state {
    MONITOR_CREATED, /* made, the program doesn't run yet; or couldn't be started: see error */
    MONITOR_RUNNING,
    MONITOR_PAUSED,
    MONITOR_RESTARTING, /* ended; waits for its back-off time */
    MONITOR_EXITED,
    MONITOR_DEAD, /* ended, but the runtime couldn't remove all of it: see error */
};

struct monitor_status {
    enum monitor_state state;
    pid_t pid;     /* of the first process, as the monitor sees it; 0: none */
    int exit_code; /* as a shell's $?: 128 + signal; 125-127: couldn't be started */
    char started_at[40], finished_at[40];
    bool oom_killed;
    int restart_count;
    bool stopped_by_user; /* ended by monitor_stop(): "unless-stopped" doesn't start it again */
    struct monitor_restart restart;
    char error[512]; /* one line, or "" */
    pid_t monitor;   /* 0: it has ended, as it should */
    unsigned long long monitor_start_time;
    bool
        monitor_lost; /* says it is running, paused …, but its monitor is gone: monitor_recover() */
    bool rebooted;    /* was running when the machine went down: state is EXITED, exit_code 255 */
    json_t *document; /* the whole file as above; NULL in a zeroed object */
};

/* What the run directory's status file says or, where there is none, the state directory's; made
 * true by looking at the lock and the boot id. 1: read; 0: there is neither (never started); -1:
 * failed. Release it after 1. */
int monitor_read_status(const char *run_directory, const char *state_directory,
                        struct monitor_status *status, struct error *err);
void monitor_status_release(struct monitor_status *status);
const char *monitor_state_name(enum monitor_state state);         /* "running" */
const char *monitor_restart_name(enum monitor_restart_kind kind); /* "on-failure" */
/* Parses "no", "always", "unless-stopped", "on-failure", "on-failure:5". */
int monitor_restart_parse(struct monitor_restart *restart, const char *text, struct error *err);

/* Does the lock's holder live? */
bool monitor_is_alive(const char *run_directory);

/* ---- starting, and what to do when a monitor was killed ---- */

/* Why a container couldn't be created or started. */
struct monitor_failure {
    int exit_code; /* docker's: 127 no such program, 126 it can't be executed, 125 anything else */
};

/* Starts the monitor: a process of its own session, no descriptor of the caller's left open,
 * standard streams on /dev/null. Returns once it has created the container (or started it:
 * config.begin_at_once), or with the error that made it impossible. failure may be NULL. The caller
 * sees the returned pid's process in no wait(2). */
pid_t monitor_start(const char *program, const char *run_directory, struct monitor_failure *failure,
                    struct error *err);

/* After monitor_lost, or when it is unknown what there is: takes the lock, kills what is left of
 * the container and removes it (hull-oci delete --force), writes both status files ("exited", 137,
 * unless they tell of an end already), appends the "die" event and unmounts an overlay that was
 * mounted in the caller's namespace. Doesn't run config.cleanup: the caller is who would be called.
 * 1: done, or there was nothing to do; *restart says whether the restart policy asks the engine to
 * start the container again (never after a stop by the user). 0: a monitor lives, or the runtime is
 * still finishing what its killed monitor had begun. -1: failed, and may be tried again. restart
 * may be NULL. */
int monitor_recover(const char *run_directory, bool *restart, struct error *err);

/* Removes all files of a run directory that monitor or engine made there, and the directory itself.
 * Only for one whose monitor has ended; called from cleanup, the lock's holder doesn't count. */
int monitor_forget(const char *run_directory, struct error *err);

/* ---- requests: each connects, asks, and waits for the answer ----
 *
 * Where there is no monitor, err->code is ECONNREFUSED or ENOENT. */

/* Executes the program of a created container. */
int monitor_begin(const char *run_directory, struct monitor_failure *failure, struct error *err);
/* Ends it for good: signal (0: the configured one), then after timeout ms SIGKILL (INT_MIN: the
 * configured time; < 0: never). Returns when it has ended and the monitor is about to clean up. A
 * created container that hasn't begun is removed; a paused one is resumed for it. */
int monitor_stop(const char *run_directory, int signal, int timeout, struct error *err);
/* Stops and begins again, keeping mounts and monitor; the count of restarts begins at 0. */
int monitor_restart(const char *run_directory, int signal, int timeout, struct error *err);
/* Sends a signal to the first process. SIGKILL and the stop signal end it "by the user", as docker
 * does: no restart policy applies. */
int monitor_kill(const char *run_directory, int signal, struct error *err);
int monitor_pause(const char *run_directory, struct error *err);
int monitor_resume(const char *run_directory, struct error *err);
int monitor_resize(const char *run_directory, unsigned short rows, unsigned short columns,
                   struct error *err);
int monitor_update_restart(const char *run_directory, const struct monitor_restart *restart,
                           struct error *err);
/* The names events carry (hull rename). */
int monitor_rename(const char *run_directory, const char *name, struct error *err);
/* Waits for the final end (next_exit: for the next one, whether it is restarted or not) and
 * returns 0 with *exit_code. If the monitor has ended before we asked, err->code is as above: the
 * status file has the code. */
int monitor_wait(const char *run_directory, bool next_exit, int *exit_code, struct error *err);

/* ---- attached clients ---- */

enum {
    MONITOR_ATTACH_STDIN = 1,
    MONITOR_ATTACH_STDOUT = 2,
    MONITOR_ATTACH_STDERR = 4, /* a terminal's output is all on STDOUT */
    /* Never lose a byte: a client that doesn't read holds up the container's output, as a full pipe
     * would. For the foreground `run`. Without it, who takes nothing for 10 s is dropped. */
    MONITOR_ATTACH_LOSSLESS = 8,
};

/* Connects to a container's streams: what is written from now on. Returns the connection, which the
 * caller closes. */
int monitor_attach(const char *run_directory, int flags, struct error *err);

struct monitor_attention {
    const char *run_directory; /* for resize and signals, which have connections of their own */
    int input, output, errors; /* descriptors, or -1 */
    bool terminal;     /* the container has one: input is made raw, if it is a terminal too, and its
                          size is passed on, now and with SIGWINCH */
    bool pass_signals; /* --sig-proxy: what we get is sent to the container's first process (never
                          with a terminal in raw mode, where keys do that) */
    const char *detach_keys; /* docker's syntax, NULL: "ctrl-p,ctrl-q"; "": none */
};

enum monitor_end {
    MONITOR_END_EXITED,   /* its program has ended: exit_code */
    MONITOR_END_DETACHED, /* by the keys */
    MONITOR_END_DROPPED,  /* we were too slow */
    MONITOR_END_LOST,     /* the connection broke: the monitor was killed */
};

struct monitor_outcome {
    enum monitor_end end;
    int exit_code;
};

/* Passes data both ways until the end. Closes nothing of the caller's; resets the terminal. Output
 * that nobody takes any more (EPIPE) ends the passing of that stream, not the container. */
int monitor_attend(int connection, const struct monitor_attention *attention,
                   struct monitor_outcome *outcome, struct error *err);

/* Waits until the monitor behind an attached connection is gone, its cleanup included, after the
 * end of the container: for `run --rm`. 0, or -1 after timeout ms (< 0: none). */
int monitor_await_end(int connection, int timeout, struct error *err);

/* "ctrl-p,ctrl-q", "a,ctrl-[": keys separated by commas; the codes go to keys, at most size.
 * Returns their number or -1. */
int monitor_parse_keys(const char *text, unsigned char *keys, size_t size, struct error *err);

/* Looks for the detach keys in what is typed, and holds back what may be their beginning. */
#define MONITOR_MAX_KEYS 16
struct monitor_key_filter {
    unsigned char keys[MONITOR_MAX_KEYS];
    size_t count; /* 0: none are looked for */
    size_t seen;
};
/* What goes on to the program is left in `to`, which has room for MONITOR_MAX_KEYS more than count.
 * True: they were typed. */
bool monitor_filter_keys(struct monitor_key_filter *filter, const unsigned char *bytes,
                         size_t count, unsigned char *to, size_t *length);

/* ---- events: RUN_ROOT/events ----
 *
 * One line of JSON an event, as `docker events --format json` prints them:
 * {"status":"die","id":…,"from":IMAGE,"Type":"container","Action":"die","Actor":{"ID":…,
 *  "Attributes":{"exitCode":"0","image":…,"name":…}},"scope":"local","time":…,"timeNano":…}
 * The monitor writes start, die, stop, restart, kill, oom, pause, unpause and
 * "health_status: healthy" of containers; the engine all others. When the file has grown past 4 MiB
 * it becomes events.1, whose predecessor goes. */

/* Appends one event with one write(2). attributes: an object of strings, borrowed, may be NULL.
 * type: "container", "image", "network", "volume". */
int monitor_event_append(const char *path, const char *type, const char *action, const char *id,
                         const json_t *attributes, struct error *err);

/* ---- the protocol on the socket, for who writes another client ----
 *
 * SOCK_SEQPACKET: a packet is a struct monitor_packet, of which only the first `length` bytes of
 * data are sent. Only the monitor's own user is served (SO_PEERCRED). A packet that is too short,
 * of unknown type, or asks for more than a client may, ends the connection. */

#define MONITOR_DATA_SIZE 16384 /* an even share of a socket's buffer: packets are never split */
#define MONITOR_MAX_CLIENTS 64

enum monitor_packet_type {
    /* Requests; numbers. Each is answered by OK or ERROR. */
    MONITOR_REQUEST_BEGIN = 1,
    MONITOR_REQUEST_STOP,    /* signal, timeout ms */
    MONITOR_REQUEST_RESTART, /* signal, timeout ms */
    MONITOR_REQUEST_KILL,    /* signal */
    MONITOR_REQUEST_PAUSE,
    MONITOR_REQUEST_RESUME,
    MONITOR_REQUEST_RESIZE, /* rows, columns */
    MONITOR_REQUEST_UPDATE, /* enum monitor_restart_kind, maximum retry count */
    MONITOR_REQUEST_RENAME, /* data: the name */
    MONITOR_REQUEST_WAIT,   /* 1: the next exit; answered by EXITED */
    MONITOR_REQUEST_ATTACH, /* flags; then, after OK, any of: */
    MONITOR_INPUT,          /* data; none: the end of input */
    /* Answers. */
    MONITOR_REPLY_OK = 64,
    MONITOR_REPLY_ERROR,  /* errno or 0, exit code of a failure or 0; data: one line */
    MONITOR_REPLY_STDOUT, /* data */
    MONITOR_REPLY_STDERR, /* data */
    MONITOR_REPLY_EXITED, /* exit code; the last packet */
};

struct monitor_packet_header {
    uint32_t type;
    int32_t numbers[3];
};

struct monitor_packet {
    struct monitor_packet_header header;
    uint32_t length;                  /* of data; not sent: the packet's own length says it */
    char data[MONITOR_DATA_SIZE + 1]; /* received text ends with a NUL */
};

#endif
