/* Ends what several threads do together: requests that are under way, and waits between attempts.
 */
#ifndef HULL_IMAGE_REGISTRY_CANCEL_H
#define HULL_IMAGE_REGISTRY_CANCEL_H

#include <pthread.h>
#include <stdbool.h>

struct registry_cancel {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool cancelled;
};

void registry_cancel_open(struct registry_cancel *cancel);
void registry_cancel_close(struct registry_cancel *cancel);
void registry_cancel_all(struct registry_cancel *cancel);
bool registry_cancel_is(struct registry_cancel *cancel); /* NULL: false */
/* Sleeps; false if it was cancelled before the time was over. NULL only sleeps. */
bool registry_cancel_sleep(struct registry_cancel *cancel, double seconds);

#endif
