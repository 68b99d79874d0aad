#include "vm/image/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"

#define OUTPUT_LIMIT (1u << 20)
#define SAID_LIMIT (64u << 10) /* of what it said, where that is only for the error */
#define PLACES "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

extern char **environ;

/* Users' PATH has no sbin, where mke2fs is. */
static char *make_path(void)
{
    const char *path = getenv("PATH");
    return path && *path ? memory_format("PATH=%s:" PLACES, path)
                         : memory_copy_string("PATH=" PLACES);
}

/* The caller frees; NULL: it isn't there. */
static char *find(const char *program)
{
    scope_free char *path = make_path();
    char *rest = path + strlen("PATH=");
    for (char *place; (place = strsep(&rest, ":"));) {
        struct stat status;
        scope_free char *file = memory_format("%s/%s", place, program);
        if (*place == '/' && stat(file, &status) == 0 && S_ISREG(status.st_mode) &&
            access(file, X_OK) == 0)
            return scope_take_pointer(file);
    }
    return NULL;
}

bool tool_exists(const char *program)
{
    scope_free char *file = find(program);
    return file != NULL;
}

/* The present one, but for PATH, and for texts in the language that is read here. */
static char **make_environment(char *path, const char *variable)
{
    size_t count = 0, kept = 0;
    while (environ[count])
        count++;
    char **environment = memory_allocate(count + 4, sizeof *environment);
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], "PATH=", 5) != 0 && strncmp(environ[i], "LC_ALL=", 7) != 0)
            environment[kept++] = environ[i];
    environment[kept++] = path;
    environment[kept++] = "LC_ALL=C";
    environment[kept] = (char *)variable;
    return environment;
}

static int spawn(const struct tool *tool, const char *file, int output, int errors, pid_t *child)
{
    scope_free char *path = make_path();
    scope_free char **environment = make_environment(path, tool->variable);
    posix_spawn_file_actions_t actions;
    int code = posix_spawn_file_actions_init(&actions);
    if (code)
        return code;
    code = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!code)
        code = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    if (!code)
        code = posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
    if (!code && tool->directory)
        code = posix_spawn_file_actions_addchdir_np(&actions, tool->directory);
    if (!code)
        code = posix_spawn(child, file, &actions, NULL, (char *const *)tool->argv, environment);
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

/* What was written into the file in memory. */
static char *read_back(int fd, size_t limit)
{
    if (lseek(fd, 0, SEEK_SET) < 0)
        return NULL;
    return file_read_all_fd(fd, "what it said", limit, NULL, NULL);
}

/* The last line of a text that has anything in it; the text is cut. */
static const char *last_line(char *text)
{
    size_t length = text ? strlen(text) : 0;
    while (length > 0 && strchr("\r\n \t", text[length - 1]))
        text[--length] = '\0';
    if (length == 0)
        return "";
    char *line = strrchr(text, '\n');
    return line ? line + 1 : text;
}

static int judge(const struct tool *tool, int status, int errors, struct error *err)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    scope_free char *said = read_back(errors, SAID_LIMIT);
    const char *line = last_line(said);
    if (WIFSIGNALED(status))
        return error_set(err, 0, "%s was killed by signal %d", tool->argv[0], WTERMSIG(status));
    return error_set(err, 0, "%s failed with status %d%s%.300s", tool->argv[0], WEXITSTATUS(status),
                     *line ? ": " : "", line);
}

int tool_run(const struct tool *tool, struct error *err)
{
    const char *name = tool->argv[0];
    scope_free char *file = find(name);
    if (!file)
        return error_set(err, 0, "%s isn't on this machine (install the package %s)", name,
                         tool->package);
    /* Files in memory: a program that says much can't block, and nothing of it stays. */
    scope_close int errors = memfd_create("errors", MFD_CLOEXEC);
    scope_close int output = tool->output ? memfd_create("output", MFD_CLOEXEC) : -1;
    if (errors < 0 || (tool->output && output < 0))
        return error_set(err, errno, "can't hold the output of %s", name);
    pid_t child;
    int code = spawn(tool, file, tool->output ? output : errors, errors, &child), status;
    if (code)
        return error_set(err, code, "can't execute %s", file);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return error_set(err, errno, "can't wait for %s", name);
    if (judge(tool, status, errors, err) < 0)
        return -1;
    if (tool->output && !(*tool->output = read_back(output, OUTPUT_LIMIT)))
        return error_set(err, 0, "%s printed too much", name);
    return 0;
}
