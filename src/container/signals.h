/* Signals as a program that we execute should find them. */
#ifndef HULL_CONTAINER_SIGNALS_H
#define HULL_CONTAINER_SIGNALS_H

/* All dispositions default, nothing blocked. */
void signals_reset(void);

/* The number of "TERM", "SIGTERM", "15", "RTMIN+3" …, or -1. */
int signals_parse(const char *name);

#endif
