/* What commands ask a machine's keeper: a packet with a word, answered by a packet that begins with
 * "+" and an answer, or "-" and an error. Words: start, pause, resume, state. */
#ifndef HULL_VM_RUNTIME_CONTROL_H
#define HULL_VM_RUNTIME_CONTROL_H

#include <stddef.h>

#include "base/error.h"
#include "base/loop.h"

#define CONTROL_ANSWER_SIZE 2048

/* Asks, and waits for the answer, timeout ms (< 0: for ever). answer may be NULL. */
int control_ask(const char *path, const char *word, int timeout, char answer[CONTROL_ANSWER_SIZE],
                struct error *err);

struct control_server {
    struct loop *loop;
    struct loop_source listener;
    /* The owner's. Answers with control_answer() now or later, exactly once. */
    void (*asked)(struct control_server *server, int connection, const char *word);
};

/* Listens at path. asked is set by the owner. */
int control_listen(struct control_server *server, struct loop *loop, const char *path,
                   struct error *err);
/* failure NULL: it is done; text may be NULL. Closes the connection. */
void control_answer(int connection, const char *text, const struct error *failure);

#endif
