/* Attending to a program in the foreground, for `run` and `exec`: forwards signals to it, carries
 * its terminal's input, output and size, and waits for its end. */
#ifndef HULL_CONTAINER_FOREGROUND_H
#define HULL_CONTAINER_FOREGROUND_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>
#include <termios.h>

#include "base/error.h"

struct foreground {
    int signals; /* signalfd */
    sigset_t previous_mask;
    bool raw; /* our terminal is in raw mode */
    struct termios previous_terminal;
};

/* Blocks all signals, so that none is lost between the start of the program and attending to
 * it. */
void foreground_begin(struct foreground *foreground);

/* Waits for our child pid to end. master: its terminal's, or -1 where it has our own streams.
 * *exit_status is as a shell's $?. */
int foreground_attend(struct foreground *foreground, pid_t pid, int master, int *exit_status,
                      struct error *err);

/* Gives the terminal and the signal mask back. */
void foreground_end(struct foreground *foreground);

#endif
