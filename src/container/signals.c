#include "container/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

void signals_reset(void)
{
    /* The kernel's own structure, all zero: handler SIG_DFL, no flags, empty mask. By the system
     * call itself, because libc keeps two signals for its threads and won't reset them; a caller
     * may have left them ignored. KILL and STOP refuse, which is fine. */
    static const unsigned long action[4];
    for (int number = 1; number < NSIG; number++)
        syscall(SYS_rt_sigaction, number, action, NULL, (NSIG - 1) / 8);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* sigabbrev_np() is glibc's alone. */
static const struct {
    const char *name;
    int number;
} names[] = {
    {"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"BUS", SIGBUS},       {"CHLD", SIGCHLD},
    {"CLD", SIGCHLD},  {"CONT", SIGCONT}, {"FPE", SIGFPE},       {"HUP", SIGHUP},
    {"ILL", SIGILL},   {"INT", SIGINT},   {"IO", SIGIO},         {"IOT", SIGABRT},
    {"KILL", SIGKILL}, {"PIPE", SIGPIPE}, {"POLL", SIGPOLL},     {"PROF", SIGPROF},
    {"PWR", SIGPWR},   {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV},     {"STKFLT", SIGSTKFLT},
    {"STOP", SIGSTOP}, {"SYS", SIGSYS},   {"TERM", SIGTERM},     {"TRAP", SIGTRAP},
    {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},     {"URG", SIGURG},
    {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"VTALRM", SIGVTALRM}, {"WINCH", SIGWINCH},
    {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},
};

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
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcasecmp(names[i].name, name) == 0)
            return names[i].number;
    }
    return -1;
}
