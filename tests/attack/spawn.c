/* An attacker who multiplies:
 *
 *     spawn COUNT
 *
 * makes COUNT processes that hide: each in a session of its own, an orphan, without open files,
 * and deaf to every signal that it may ignore. Prints "made N", fewer if it may not have more, and
 * becomes such a process itself. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void hide(void)
{
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_IGN);
    setsid();
    close_range(0, ~0U, 0);
    for (;;)
        pause();
}

/* 0 from the orphan's birth; the parent reports by its status. */
static int make_orphan(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        pid_t orphan = fork();
        if (orphan == 0)
            hide();
        _exit(orphan < 0);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return -1;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

int main(int count, char **arguments)
{
    int wanted = count == 2 ? atoi(arguments[1]) : 0, made = 0;
    while (made < wanted && made < 2000 && make_orphan() == 0)
        made++;
    printf("made %d\n", made);
    fflush(stdout);
    hide();
}
