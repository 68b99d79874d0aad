#include "container/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void signals_reset(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &action, NULL); /* KILL, STOP and libc's own refuse: fine */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int parse_number(const char *text)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    return *text && !*end && !errno && number >= 0 && number < NSIG ? (int)number : -1;
}

int signals_parse(const char *name)
{
    if (*name >= '0' && *name <= '9')
        return parse_number(name);
    if (strncasecmp(name, "SIG", 3) == 0)
        name += 3;
    int first = strncasecmp(name, "RTMIN", 5) == 0 ? SIGRTMIN : 0;
    int last = strncasecmp(name, "RTMAX", 5) == 0 ? SIGRTMAX : 0;
    if (first || last) {
        const char *offset = name + 5;
        int base = first ? first : last;
        if (!*offset)
            return base;
        int distance = *offset == (first ? '+' : '-') ? parse_number(offset + 1) : -1;
        int number = first ? base + distance : base - distance;
        return distance >= 0 && number >= SIGRTMIN && number <= SIGRTMAX ? number : -1;
    }
    for (int number = 1; number < NSIG; number++) {
        const char *known = sigabbrev_np(number);
        if (known && strcasecmp(known, name) == 0)
            return number;
    }
    return strcasecmp(name, "IOT") == 0 ? SIGABRT : strcasecmp(name, "CLD") == 0 ? SIGCHLD : -1;
}
