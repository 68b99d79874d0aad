/* The agent: process 1 of a guest. It makes the machine ready, runs one container in it and does
 * what the host asks for over vsock; docs/agent.md.
 *
 * One thread turns one loop. What can take long or reads what the container wrote (setting up a
 * process, file transfers) is done by children. */
#ifndef HULL_GUEST_GUEST_H
#define HULL_GUEST_GUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/loop.h"
#include "oci/config.h"
#include "vm/agent/frames.h"

/* Below the agent's own root, a tmpfs. */
#define GUEST_ROOT "/root"     /* where the container's root is mounted */
#define GUEST_LAYERS "/layers" /* its layers, by number */
#define GUEST_DISK "/disk"     /* its writable disk */
#define GUEST_FILES "/files"   /* files the host gave, by number */
#define GUEST_SHARES "/shares" /* directories of the host, by tag */
#define GUEST_CGROUP "/sys/fs/cgroup/container"

struct process_record;
struct connection;

struct guest {
    struct loop loop;
    bool is_machine;   /* process 1 of a machine, not of a test's namespaces */
    uint32_t port;     /* of vsock */
    int listener_fd;   /* a test's Unix socket, or -1 */
    int modules;       /* directory of the initrd's modules, -1: none, or not needed any more */
    int cgroup;        /* directory of the container's cgroup, -1: none */
    const char *power; /* how the machine ends: "off" or "reset" */

    struct loop_source listener, signals;
    struct connection *connections;
    size_t connection_count;
    struct process_record *processes;
    size_t process_count;
    struct process_record *container; /* the process "main" while it runs */

    bool is_booted;
    struct config config; /* the boot document's "spec" */
    const char *username; /* its process's user.username, or NULL; in the configuration's arena */

    /* While the machine is being shut down. */
    bool is_ending, is_restart;
    struct loop_timer grace;
};

/* A line for the machine's console. */
void guest_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- machine.c, modules.c ---- */

/* /proc, /sys, /dev, cgroups; a root of our own. directory: where that root is mounted. */
int machine_prepare(struct guest *guest, const char *directory, struct error *err);
/* Inserts the initrd's modules that wait for the condition, or, where it is NULL, for none.
 * directory: of the modules; -1: there are none. */
void modules_load(int directory, const char *condition);
/* Those for the devices that there are. */
void modules_load_for_devices(int directory);
/* Frees their memory, and closes. */
void modules_forget(int directory);
/* The value of name=value in the kernel's command line, or NULL; the caller frees. */
char *machine_option(const char *name);
/* Whether "quiet" is in it. */
bool machine_is_quiet(void);
/* Never returns. */
_Noreturn void machine_end(const struct guest *guest, bool restart);

/* ---- server.c ---- */

struct connection {
    struct frames frames;
    struct guest *guest;
    struct process_record *process; /* whose conversation this is, or NULL */
    struct connection *next;
};

int server_listen(struct guest *guest, struct error *err);
void connection_close(struct connection *connection);
/* Takes the reply. */
void connection_reply(struct connection *connection, json_t *reply);
void connection_fail(struct connection *connection, const struct error *err);

/* ---- boot.c and what it is made of ---- */

/* Makes everything ready for the container, as the host's document says. */
int boot_take(struct guest *guest, json_t *document, struct error *err);
int disks_mount(const struct guest *guest, const struct json_t *root, struct error *err);
int disks_mount_shares(const struct json_t *shares, struct error *err);
int disks_unmount(struct error *err);
int network_configure(const struct json_t *network, struct error *err);
int network_raise_loopback(struct error *err);
/* Writes the host's files, and adds their mounts to the configuration's. */
int files_write(struct guest *guest, const struct json_t *files, struct error *err);

/* ---- container.c ---- */

/* A process to be. */
struct launch {
    struct guest *guest;
    const struct config *config; /* of the container */
    struct config_process *process;
    const char *username; /* to be looked up inside; NULL: process has the ids */
    int container;        /* pidfd of the container that it joins; -1: it is the container */
    int streams[3];       /* its ends; -1: a terminal is made */
    int channel;          /* its end */
};

/* In the new process; says on the channel how it went. */
_Noreturn void launch_run(struct launch *launch);

/* user.c: who username is, by /etc/passwd and /etc/group below root. Allocates in the arena. */
int user_resolve(struct config_process *process, const char *username, int root,
                 struct arena *arena, struct error *err);

/* ---- processes.c ---- */

/* Starts the container (id NULL), or another process in it, for the connection. is_detached: it has
 * no input, what it writes is thrown away. */
int process_start(struct connection *connection, const char *id, json_t *process, bool is_detached,
                  struct error *err);
int process_attach(struct connection *connection, const char *id, uint64_t output, uint64_t errors,
                   struct error *err);
/* What the host sends in a process's conversation. False: it may not. */
bool process_receive(struct process_record *record, unsigned int type, const char *bytes,
                     size_t length);
void process_sent(struct process_record *record);
void process_detach(struct process_record *record);
/* A child has ended. */
void process_reap(struct guest *guest, pid_t pid, int status);
int process_signal(struct guest *guest, const char *id, int number, struct error *err);
int process_resize(struct guest *guest, const char *id, struct agent_size size, struct error *err);
/* Whether it has ended and the host, connected, hasn't said yet that it has got all. */
bool process_container_is_awaited(struct guest *guest);
/* Kills all that run. */
void process_kill_all(struct guest *guest);
/* An open pidfd of the container's first process; -1 if it doesn't run. */
int process_container_pidfd(const struct guest *guest);
pid_t process_container_pid(const struct guest *guest);

/* ---- requests.c, stats.c, shutdown.c, copy.c ---- */

/* The first frame of a conversation. */
void request_serve(struct connection *connection, const char *text, size_t length);
json_t *stats_read(const struct guest *guest, struct error *err);
json_t *stats_list_processes(const struct guest *guest, struct error *err);
void shutdown_begin(struct guest *guest, int signal, int64_t grace, bool restart);
/* The container has ended, or the host has heard of it. */
void shutdown_go_on(struct guest *guest);
enum copy_kind { COPY_STAT, COPY_OUT, COPY_IN };
/* Hands the connection over to a child that serves it, in the container's file system. */
int copy_start(struct connection *connection, const json_t *document, enum copy_kind kind,
               struct error *err);

#endif
