/* The socket between the runtime and the container's first process while it sets itself up: small
 * messages, each a type, an optional text and optional descriptors. When one side dies, the other
 * reads the end of the stream; that is how a killed runtime takes its half-made container with it,
 * and how a successful execve (close-on-exec) is told from a failed one. */
#ifndef HULL_CONTAINER_CHANNEL_H
#define HULL_CONTAINER_CHANNEL_H

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

enum channel_message_type {
    CHANNEL_END,      /* the other side closed or died; never sent */
    CHANNEL_GO,       /* runtime: recorded, mapped and limited; go on. May carry cgroup entries */
    CHANNEL_MAP,      /* child: in a new user namespace; write my mappings */
    CHANNEL_PID,      /* intermediate: number = pid of the container's first process */
    CHANNEL_HOOKS,    /* child: run the prestart and createRuntime hooks now */
    CHANNEL_CONSOLE,  /* child: the pseudoterminal's master is attached */
    CHANNEL_READY,    /* child: all done but start */
    CHANNEL_START,    /* `start`: execute the program */
    CHANNEL_EXECUTES, /* child: only execve is left to do */
    CHANNEL_LISTENER, /* child: number = its seccomp listener descriptor; fetch it */
    CHANNEL_ERROR     /* child: text says what failed; number is an errno */
};

#define CHANNEL_DESCRIPTORS_MAX 32

struct channel_message {
    enum channel_message_type type;
    int number;
    char text[ERROR_TEXT_SIZE];
    size_t descriptor_count;
    int descriptors[CHANNEL_DESCRIPTORS_MAX]; /* received ones are the receiver's to close */
};

/* Waits for a message, or the end of a child of ours: others may hold its end of the channel too,
 * so its death doesn't close that. -1 if it has ended and there is no message. */
int channel_await(int channel, pid_t child, struct error *err);

/* A connected pair, close-on-exec. */
int channel_open(int ends[2], struct error *err);

int channel_send(int channel, enum channel_message_type type, int number);
int channel_send_text(int channel, enum channel_message_type type, int number, const char *text);
int channel_send_descriptors(int channel, enum channel_message_type type, int number,
                             const int *descriptors, size_t count);
/* The same by write(2) alone, for a process whose seccomp filter is already in force; text may be
 * NULL. */
int channel_report(int channel, enum channel_message_type type, int number, const char *text);
/* For the process that is being set up: reports why it can't go on, and ends it. The runtime undoes
 * everything and prints it. */
_Noreturn void channel_fail(int channel, const struct error *err);
/* Waits for a message. The end of the stream is a message of type CHANNEL_END. -1 with errno. */
int channel_receive(int channel, struct channel_message *message);

/* Waits for a message of this type. Anything else is an error: the text of CHANNEL_ERROR as it
 * is, the end of the stream as "who died". */
int channel_expect(int channel, enum channel_message_type type, const char *who,
                   struct channel_message *message, struct error *err);

/* For who has failed to act on the process at the other end: if it has said what went wrong there,
 * and nobody has heard it yet, that takes *err's place, since it is why. Doesn't wait. Always
 * returns -1. */
int channel_explain(int channel, struct error *err);

#endif
