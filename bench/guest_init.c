/* The first process of a guest whose start is measured: says that it runs, and when after the
 * kernel's first line that was, in seconds of the kernel's own clock. Then it resets the machine,
 * or stays if the kernel's command line ends with "-- stay". Static, and alone in its initial RAM
 * disk. */
#include <stdio.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/reboot.h>
#include <unistd.h>

#define READ_ALL 3 /* SYSLOG_ACTION_READ_ALL */

/* The time in front of the line of the kernel's log that says so, as text; or NULL. */
static const char *find_start(char *log)
{
    char *line = strstr(log, "Run /init");
    if (!line)
        return NULL;
    *line = '\0';
    line = strrchr(log, '[');
    return line ? strtok(line + 1, " ]") : NULL;
}

int main(int argc, char **argv)
{
    static char log[1 << 18];
    static const char here[] = "guest: init\n";
    if (write(STDOUT_FILENO, here, sizeof here - 1) < 0)
        return 1;
    int length = klogctl(READ_ALL, log, sizeof log - 1);
    const char *start = length > 0 ? find_start(log) : NULL;
    printf("guest: kernel %s\n", start ? start : "unknown");
    fflush(stdout);
    while (argc > 1 && strcmp(argv[1], "stay") == 0)
        pause();
    return reboot(RB_AUTOBOOT);
}
