/* Calls of hull-oci that the engine makes itself: its monitors make all others. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "engine/engine_internal.h"

#define MAX_WORDS 16

static int wait_for_runtime(pid_t pid, int errors, struct error *err)
{
    int status;
    struct error unreadable;
    scope_free char *text =
        file_read_all_fd(errors, "the runtime's error", ERROR_TEXT_SIZE, NULL, &unreadable);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_set(err, errno, "can't wait for hull-oci");
    if (status == 0)
        return 0;
    if (text)
        text[strcspn(text, "\n")] = '\0';
    return error_set(err, 0, "%s", text && *text ? text : "hull-oci was killed");
}

int engine_runtime_call(struct engine *engine, const char *const *words, const char *input,
                        struct error *err)
{
    int in[2], errors[2];
    const char *program = engine_program(engine, "hull-oci");
    const char *argv[MAX_WORDS] = {"hull-oci", "--root", engine->runtime_root};
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
        return error_set(err, errno, "can't make a process for hull-oci");
    /* Less than a pipe holds; and it has a reader, ourselves, even if hull-oci is killed. */
    if (input)
        file_write_all(in_write, input, strlen(input));
    close(scope_take_fd(&in_write));
    return wait_for_runtime(pid, errors_read, err);
}

bool engine_runtime_knows(const struct engine *engine, const char *id)
{
    scope_free char *path = memory_format("%s/%s" RUNTIME_STATE_SUFFIX, engine->runtime_root, id);
    return access(path, F_OK) == 0;
}

int engine_runtime_forget(struct engine *engine, const char *id, struct error *err)
{
    const char *const words[] = {"delete", "--force", id, NULL};
    return engine_runtime_knows(engine, id) ? engine_runtime_call(engine, words, NULL, err) : 0;
}
