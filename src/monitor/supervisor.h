/* The container's monitor: what it knows, and its course (lifecycle.c).
 *
 *     CREATING -> CREATED -> BEGINNING -> RUNNING -> ENDING -> BACKING_OFF -> CREATING …
 *                                                        \-> FINISHED: cleanup, then the end
 *
 * Each step that takes time is a call of the runtime or a timer, whose end brings the next one; the
 * loop goes on serving clients and streams meanwhile. */
#ifndef HULL_MONITOR_SUPERVISOR_H
#define HULL_MONITOR_SUPERVISOR_H

#include "base/loop.h"
#include "monitor/children.h"
#include "monitor/clients.h"
#include "monitor/driver.h"
#include "monitor/health_probe.h"
#include "monitor/log_file.h"
#include "monitor/monitor.h"
#include "monitor/oom.h"
#include "monitor/restart.h"
#include "monitor/streams.h"

enum phase {
    PHASE_CREATING,
    PHASE_CREATED,
    PHASE_BEGINNING,
    PHASE_RUNNING, /* or paused */
    PHASE_ENDING,  /* its first process is dead; the rest is being removed */
    PHASE_BACKING_OFF,
    PHASE_FINISHED,
};

struct supervisor {
    const char *directory; /* the run directory, absolute; also the working directory */
    struct monitor_config config;
    char *name;      /* for events: config's, until it is renamed */
    int lock;        /* held; -1: let go of */
    int launcher;    /* pipe to who started us, or -1 once it knows how that went */
    int host_mounts; /* the mount namespace that we were started in, or -1: we are in it still */
    int host_root;   /* the root directory there */
    bool overlay_is_mounted;

    struct loop loop;
    struct loop_source signals;
    struct children children;
    struct log_file log;
    struct streams streams;
    struct clients clients;
    struct oom oom;
    struct health_probe probe;
    struct restart_state restarts;
    struct monitor_status status;

    enum phase phase;
    struct driver_call call;       /* create, start, delete */
    struct driver_call pause_call; /* pause, resume */
    struct child init;             /* the container's first process */
    struct child cleanup;
    bool init_ended;
    int init_status;   /* of wait(2) */
    bool has_begun;    /* this run's program was started */
    bool deleted;      /* this run's container is removed */
    int deletions;     /* how often that was tried */
    bool shuts_down;   /* we were asked to end, the machine goes down: no restart now */
    bool begins_again; /* a restart was asked for: it begins again at once */
    bool failed;       /* it couldn't be created or begun: status.error, status.exit_code */
    bool killed;       /* a client sent what ends it: no restart */
    bool stops;        /* a stop signal was sent, or will be as soon as there is a process */
    int stop_signal, stop_timeout; /* ms */
    int64_t began;                 /* ms of the loop's clock */
    struct loop_timer timer;       /* until: give up waiting for begin; SIGKILL; begin again */
    struct loop_timer drain;       /* gives up waiting for the end of output */
};

/* ---- lifecycle.c, lifecycle_end.c ---- */

/* Creates the container, the first time or again. */
void lifecycle_create(struct supervisor *supervisor);
/* Executes the created container's program. */
void lifecycle_begin(struct supervisor *supervisor);
/* Silence for so long ends waiting for output that something outside the container holds open. */
#define LIFECYCLE_DRAIN_MS 2000
/* Its first process has ended; both may come in any order with a call of the runtime. */
void lifecycle_end(struct supervisor *supervisor);
/* The container couldn't be created or begun, or no longer can be. */
void lifecycle_fail(struct supervisor *supervisor, const struct error *err);
/* Ends it: signal and timeout as configured where they are 0 and INT_MIN. */
void lifecycle_stop(struct supervisor *supervisor, int signal, int timeout);
/* Stops it, and begins it again. */
void lifecycle_restart(struct supervisor *supervisor, int signal, int timeout);
/* The clients have all output that there was: the next step, if the container has ended. */
void lifecycle_drained(struct supervisor *supervisor);

/* ---- report.c ---- */

/* Writes the run directory's status file (and, persistent: the state directory's). */
void report_status(struct supervisor *supervisor, bool persistent);
/* Appends an event of the container. key and value: one more attribute, or NULL. */
void report_event(struct supervisor *supervisor, const char *action, const char *key,
                  const char *value);
/* Tells who started us that it worked, or (err) why not. Once. */
void report_launch(struct supervisor *supervisor, const struct error *err, int exit_code);

/* ---- commands.c ---- */

bool command_serve(struct clients *clients, struct client *client,
                   const struct monitor_packet *packet);
/* A pause or resume that a client asked for has ended. */
void command_pause_done(struct driver_call *call, const struct error *err);
/* Lets a paused container's processes go on. */
void command_resume(struct supervisor *supervisor);

#endif
