#include "cli/prompt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"

#define LINE_LIMIT 4096
#define INTERRUPT '\3'
#define END_OF_INPUT '\4'
#define ERASE_LINE '\25'

/* Reads bytes as they are typed: with the echo off, a signal must not end us before it is on again,
 * so ^C comes as a byte too. */
static char *read_hidden(struct error *err)
{
    scope_free char *line = memory_allocate(LINE_LIMIT, 1);
    size_t length = 0;
    for (;;) {
        char byte;
        ssize_t count = read(STDIN_FILENO, &byte, 1);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0 || byte == INTERRUPT || (byte == END_OF_INPUT && length == 0)) {
            explicit_bzero(line, LINE_LIMIT);
            error_set(err, 0, "interrupted");
            return NULL;
        }
        if (byte == '\n' || byte == '\r' || byte == END_OF_INPUT)
            break;
        if (byte == '\b' || byte == 0x7f)
            length -= length > 0;
        else if (byte == ERASE_LINE)
            length = 0;
        else if (length < LINE_LIMIT - 1)
            line[length++] = byte;
    }
    line[length] = '\0';
    return scope_take_pointer(line);
}

static char *read_shown(struct error *err)
{
    char line[LINE_LIMIT];
    if (!fgets(line, sizeof line, stdin)) {
        error_set(err, 0, "interrupted");
        return NULL;
    }
    line[strcspn(line, "\r\n")] = '\0';
    return memory_copy_string(line);
}

char *prompt_line(const char *question, bool secret, struct error *err)
{
    struct termios former, quiet;
    printf("%s", question);
    fflush(stdout);
    if (!secret)
        return read_shown(err);
    if (tcgetattr(STDIN_FILENO, &former) < 0) {
        error_set(err, errno, "standard input is no terminal");
        return NULL;
    }
    quiet = former;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG);
    quiet.c_cc[VMIN] = 1;
    quiet.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &quiet);
    char *line = read_hidden(err);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &former);
    printf("\n");
    return line;
}

bool prompt_confirm(const char *warning)
{
    char answer[16] = "";
    printf("WARNING! %s\nAre you sure you want to continue? [y/N] ", warning);
    fflush(stdout);
    return fgets(answer, sizeof answer, stdin) && (*answer == 'y' || *answer == 'Y');
}
