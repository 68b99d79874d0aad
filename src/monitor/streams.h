/* The container's standard streams: pipes, or the master of its terminal. */
#ifndef HULL_MONITOR_STREAMS_H
#define HULL_MONITOR_STREAMS_H

#include <stdbool.h>

#include "base/loop.h"
#include "monitor/monitor.h"

struct streams {
    /* Filled by the owner. */
    struct loop *loop;
    bool terminal, open_stdin;
    uid_t owner; /* of the pipes, and the group's number */
    unsigned short rows, columns;
    const char *console; /* name of the console socket, in the working directory */
    void (*received)(struct streams *streams, int stream, const char *bytes, size_t count);
    void (*ended)(struct streams *streams);       /* no output will come any more */
    void (*input_taken)(struct streams *streams); /* there is room for input again */

    int child[3];                 /* what the container gets; -1: nothing, or closed */
    struct loop_source listener;  /* of the console socket */
    struct loop_source input;     /* fd -1: closed */
    struct loop_source output[2]; /* of a terminal, only the first */
    bool held;                    /* output isn't read for the time being */
    bool has_ended;
    char *pending; /* input that the container hasn't taken: MONITOR_DATA_SIZE bytes */
    size_t pending_length;
    bool input_ends; /* after what is pending */
};

/* Makes new ones for the container's next run. */
int streams_open(struct streams *streams, struct error *err);
/* The runtime has them: closes our copies; fetches the terminal that it has sent. */
int streams_given(struct streams *streams, struct error *err);
void streams_close(struct streams *streams);

/* Stops reading (the clients can't take more), and goes on. */
void streams_hold(struct streams *streams, bool held);

/* Input for the container; only while streams_takes_input(), at most MONITOR_DATA_SIZE. Without an
 * open standard input it is discarded. */
void streams_write(struct streams *streams, const char *bytes, size_t count);
bool streams_takes_input(const struct streams *streams);
/* The input's end, after what was written. A terminal has no such thing: its keys say it. */
void streams_end_input(struct streams *streams);

int streams_resize(struct streams *streams, unsigned short rows, unsigned short columns,
                   struct error *err);

#endif
