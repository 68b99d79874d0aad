/* Between the caller's terminal or pipes and a process that `exec` has started. */
#ifndef HULL_CLI_EXEC_RELAY_H
#define HULL_CLI_EXEC_RELAY_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>
#include <termios.h>

#include "base/error.h"
#include "engine/exec.h"

/* What the process gets are pipes or a terminal of its own, never the caller's: what it leaves
 * behind in the container can't read what is typed here later. */
struct exec_relay {
    bool interactive, terminal;         /* -i, -t */
    bool discards;                      /* there is nobody for its output */
    const char *detach_keys;            /* NULL: the default */
    struct engine_exec_streams streams; /* what the process gets */

    int master;  /* of its terminal, or -1 */
    int ends[3]; /* ours of the pipes, or -1 */
    int signals;
    sigset_t mask; /* as it was */
    bool raw;
    struct termios before;
    struct monitor_key_filter keys;
    char *pending; /* input that the process hasn't taken yet */
    size_t pending_length;
};

/* Makes pipes, becomes a subreaper, and blocks the signals that are passed on. Call
 * exec_relay_end() in any case. */
int exec_relay_begin(struct exec_relay *relay, struct error *err);
/* Passes data until the process has ended, and gives its exit status; or until the user detaches
 * (*detached): then it may be called again, without `interactive`. */
int exec_relay_run(struct exec_relay *relay, pid_t pid, int *exit_status, bool *detached,
                   struct error *err);
/* Gives our terminal back as it was. */
void exec_relay_restore(struct exec_relay *relay);
void exec_relay_end(struct exec_relay *relay);

/* Reads what the terminal shows until nobody has it open; does nothing if there is none (-1). */
void exec_relay_read_to_end(int master);

#endif
