/* What the parts of processes.c share: the record of a process. */
#ifndef HULL_GUEST_PROCESSES_H
#define HULL_GUEST_PROCESSES_H

#include "guest.h"
#include "vm/agent/stream.h"

#define MAX_PROCESSES 256
#define MAX_ID 64
#define CONTAINER_ID "main"

struct output {
    struct process_record *record;
    struct loop_source source; /* fd -1: closed */
    struct stream stream;
};

struct process_record {
    struct process_record *next;
    struct guest *guest;
    struct connection *connection; /* NULL: lost */
    char id[MAX_ID + 1];
    struct config config;       /* of one that joins */
    struct loop_source channel; /* to the process while it is being set up; fd -1: it runs */
    pid_t pid;                  /* 0: not known yet */
    bool terminal, has_ended, exit_sent;
    bool is_detached; /* nobody wants its output, nor hears of its end */
    struct agent_exit end;
    struct loop_source input; /* what we write to */
    struct stream input_buffer;
    struct output outputs[2]; /* standard output, standard error */
};

/* ---- processes.c: the list ---- */

struct process_record *process_find(struct guest *guest, const char *id);
void process_close_source(struct process_record *record, struct loop_source *source);
void process_free(struct process_record *record);
/* Whether a new process may have the id; an ended one that had it is forgotten. */
int process_check_id(struct guest *guest, const char *id, struct error *err);

/* ---- process_streams.c ---- */

void process_open_sources(struct process_record *record);
/* Moves what can be moved. The last thing that is done with a record: it may be gone. */
void process_pump(struct process_record *record);
/* The terminal of one that has one. */
void process_take_terminal(struct process_record *record, int master);

/* ---- process_start.c ---- */

void process_tell_started(struct process_record *record);
/* status: of waitpid(2) */
void process_set_end(struct process_record *record, int status);
/* The end of a child that may be one of which we haven't heard yet. */
void process_keep_unclaimed(struct guest *guest, pid_t pid, int status);

#endif
