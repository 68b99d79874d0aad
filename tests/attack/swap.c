/* An attacker who shares a directory with a container that is being made, and exchanges two names
 * in it as fast as it can (a directory, say, and a symbolic link), so that whoever looks at a path
 * twice finds two different things:
 *
 *     swap DIRECTORY NAME OTHER
 *
 * Prints "ready" when it has begun, and ends with SIGTERM, or after a minute by itself. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t ended;

static void end(int number)
{
    (void)number;
    ended = 1;
}

int main(int count, char **arguments)
{
    if (count != 4)
        return 2;
    int directory = open(arguments[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
    time_t deadline = time(NULL) + 60;
    unsigned long exchanges = 0;
    signal(SIGTERM, end);
    while (!ended && time(NULL) < deadline) {
        if (renameat2(directory, arguments[2], directory, arguments[3], RENAME_EXCHANGE) < 0) {
            perror("swap");
            return 1;
        }
        if (exchanges++ == 0) {
            printf("ready\n");
            fflush(stdout);
        }
    }
    /* As it was. */
    if (exchanges % 2)
        renameat2(directory, arguments[2], directory, arguments[3], RENAME_EXCHANGE);
    printf("exchanged %lu times\n", exchanges);
    return 0;
}
