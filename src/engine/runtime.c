/* Calls of runtimes that the engine makes itself: its monitors make all others. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "engine/machine.h"

#define MAX_WORDS 16

static int wait_for_runtime(pid_t pid, int errors, struct error *err)
{
    int status;
    struct error unreadable;
    scope_free char *text =
        file_read_all_fd(errors, "the runtime's error", ERROR_TEXT_SIZE, NULL, &unreadable);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_set(err, errno, "can't wait for the runtime");
    if (status == 0)
        return 0;
    if (text)
        text[strcspn(text, "\n")] = '\0';
    return error_set(err, 0, "%s", text && *text ? text : "the runtime was killed");
}

struct engine_runtime engine_runtime_of(struct engine *engine,
                                        const struct engine_container *container)
{
    if (engine_is_machine(container))
        return (struct engine_runtime){engine_program(engine, "hull-vm"), engine->machine_root};
    return (struct engine_runtime){engine_program(engine, "hull-oci"), engine->runtime_root};
}

static int call(const struct engine_runtime *runtime, const char *const *words, const char *input,
                struct error *err)
{
    int in[2], errors[2];
    const char *program = runtime->program;
    const char *argv[MAX_WORDS] = {program, "--root", runtime->root};
    for (size_t count = 3; *words && count < MAX_WORDS - 1;)
        argv[count++] = *words++;
    if (pipe2(in, O_CLOEXEC) < 0)
        return error_set(err, errno, "can't make a pipe");
    scope_close int in_read = in[0], in_write = in[1];
    if (pipe2(errors, O_CLOEXEC) < 0)
        return error_set(err, errno, "can't make a pipe");
    scope_close int errors_read = errors[0];
    pid_t pid = fork();
    if (pid == 0) {
        int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (dup2(in_read, STDIN_FILENO) < 0 || dup2(nothing, STDOUT_FILENO) < 0 ||
            dup2(errors[1], STDERR_FILENO) < 0)
            _exit(127);
        execv(program, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(errors[1]);
    if (pid < 0)
        return error_set(err, errno, "can't make a process for %s", program);
    /* Less than a pipe holds; and it has a reader, ourselves, even if hull-oci is killed. */
    if (input)
        file_write_all(in_write, input, strlen(input));
    close(scope_take_fd(&in_write));
    return wait_for_runtime(pid, errors_read, err);
}

int engine_runtime_call(struct engine *engine, const struct engine_container *container,
                        const char *const *words, const char *input, struct error *err)
{
    const struct engine_runtime runtime = engine_runtime_of(engine, container);
    return call(&runtime, words, input, err);
}

static bool knows(const char *root, const char *id)
{
    scope_free char *path = memory_format("%s/%s" RUNTIME_STATE_SUFFIX, root, id);
    return access(path, F_OK) == 0;
}

bool engine_runtime_knows(const struct engine *engine, const char *id)
{
    return knows(engine->runtime_root, id) || knows(engine->machine_root, id);
}

int engine_runtime_forget(struct engine *engine, const char *id, struct error *err)
{
    const struct {
        const char *program, *root;
    } runtimes[] = {{"hull-oci", engine->runtime_root}, {"hull-vm", engine->machine_root}};
    const char *const words[] = {"delete", "--force", id, NULL};
    for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++) {
        const struct engine_runtime runtime = {engine_program(engine, runtimes[i].program),
                                               runtimes[i].root};
        if (knows(runtime.root, id) && call(&runtime, words, NULL, err) < 0)
            return -1;
    }
    return 0;
}
