#include "engine/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/remove_tree.h"
#include "base/scope.h"
#include "base/user_namespace.h"
#include "engine/machine.h"
#include "engine/settings_internal.h"
#include "engine/spec.h"
#include "engine/start.h"
#include "monitor/document.h"
#include "monitor/driver.h"
#include "oci/config.h"

#define CONFIG_LIMIT (16u << 20)

/* ---- what it is to be ---- */

static int check_state(struct engine *engine, const struct engine_container *container,
                       struct error *err)
{
    struct monitor_status status = {0};
    if (engine_status(engine, container, &status, err) < 0)
        return -1;
    enum monitor_state state = status.state;
    monitor_status_release(&status);
    if (state == MONITOR_PAUSED)
        return error_set(err, 0, "container %s is paused: unpause it before exec", container->name);
    if (state != MONITOR_RUNNING)
        return error_set(err, 0, "container %s is not running", container->name);
    return 0;
}

/* The container's own process, as its last start was configured. */
static json_t *read_own_process(const struct engine_container *container, struct error *err)
{
    json_error_t why;
    scope_free char *path = memory_format("%s/config.json", container->run_directory);
    scope_free char *text = file_read_all(AT_FDCWD, path, CONFIG_LIMIT, NULL, err);
    if (!text)
        return NULL;
    scope_json json_t *config = json_loads(text, 0, &why);
    json_t *process = json_object_get(config, "process");
    if (!json_is_object(process)) {
        error_set(err, 0, "%s has no process: %s", path, why.text);
        return NULL;
    }
    return json_deep_copy(process);
}

static size_t name_length(const char *variable)
{
    return strcspn(variable, "=");
}

static void remove_variable(json_t *env, const char *name, size_t length)
{
    for (size_t i = json_array_size(env); i-- > 0;) {
        const char *text = json_string_value(json_array_get(env, i));
        if (text && name_length(text) == length && strncmp(text, name, length) == 0)
            json_array_remove(env, i);
    }
}

static void set_variable(json_t *env, const char *text)
{
    remove_variable(env, text, name_length(text));
    json_array_append_new(env, json_string(text));
}

static bool asks_for_variable(const struct engine_container *container, const char *name)
{
    const json_t *item;
    size_t i, length = strlen(name);
    json_array_foreach(json_object_get(container->settings, "Env"), i, item)
    {
        const char *text = json_string_value(item);
        if (text && strncmp(text, name, length) == 0 && text[length] == '=')
            return true;
    }
    return false;
}

/* What the generator of the configuration has added goes by this process's terminal and user. */
static void describe_environment(const struct engine_container *container,
                                 const struct engine_exec *exec, const struct spec_user *user,
                                 json_t *process)
{
    json_t *env = json_object_get(process, "env");
    if (!env) {
        env = json_array();
        json_object_set_new(process, "env", env);
    }
    if (!asks_for_variable(container, "TERM")) {
        remove_variable(env, "TERM", 4);
        if (exec->terminal)
            set_variable(env, "TERM=xterm");
    }
    if (exec->user && !asks_for_variable(container, "HOME")) {
        scope_free char *home = memory_format("HOME=%s", user->home ? user->home : "/");
        set_variable(env, home);
    }
    for (size_t i = 0; i < exec->env_count; i++)
        set_variable(env, exec->env[i]);
}

static int add_group(json_t *groups, const struct engine_layers *layers, const char *name,
                     struct error *err)
{
    unsigned int gid;
    if (spec_look_up_group(layers->directories, layers->count + 1, name, &gid, err) < 0)
        return -1;
    json_array_append_new(groups, json_integer(gid));
    return 0;
}

static int describe_user(const struct engine_container *container,
                         const struct engine_layers *layers, const struct spec_user *user,
                         json_t *process, struct error *err)
{
    const json_t *name;
    size_t i;
    json_t *object = json_object_get(process, "user"), *groups = json_array();
    json_object_set_new(object, "uid", json_integer(user->uid));
    json_object_set_new(object, "gid", json_integer(user->gid));
    json_object_set_new(object, "additionalGids", groups);
    if (!user_namespace_allows_groups())
        return 0;
    json_array_append_new(groups, json_integer(user->gid));
    for (i = 0; i < user->group_count; i++)
        if (user->groups[i] != user->gid)
            json_array_append_new(groups, json_integer(user->groups[i]));
    json_array_foreach(json_object_get(engine_host_config(container), "GroupAdd"), i, name)
    {
        if (add_group(groups, layers, json_string_value(name), err) < 0)
            return -1;
    }
    return 0;
}

/* All that hull has itself: nobody can give more. */
static void describe_all_capabilities(json_t *process)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    if (syscall(SYS_capget, &header, data) < 0)
        return;
    json_t *names = json_array(), *sets = json_object();
    for (int i = 0; i < 64; i++)
        if (data[i / 32].permitted & (1u << (i % 32)) && config_capability_name(i))
            json_array_append_new(names, json_string(config_capability_name(i)));
    json_object_set(sets, "bounding", names);
    json_object_set(sets, "effective", names);
    json_object_set_new(sets, "permitted", names);
    json_object_set_new(process, "capabilities", sets);
    json_object_del(process, "apparmorProfile");
}

static int describe_program(const struct engine_exec *exec, json_t *process, struct error *err)
{
    json_t *arguments = json_array();
    json_object_set_new(process, "args", arguments);
    for (size_t i = 0; i < exec->argument_count; i++)
        if (json_array_append_new(arguments, json_string(exec->arguments[i])) < 0)
            return error_set(err, 0, "argument %zu of the program isn't UTF-8", i);
    if (exec->directory)
        json_object_set_new(process, "cwd", json_string(exec->directory));
    json_object_set_new(process, "terminal", json_boolean(exec->terminal));
    json_object_del(process, "consoleSize");
    if (exec->terminal && exec->rows && exec->columns)
        json_object_set_new(process, "consoleSize",
                            json_pack("{s:i, s:i}", "height", exec->rows, "width", exec->columns));
    if (exec->privileged)
        describe_all_capabilities(process);
    return 0;
}

/* A virtual machine looks the user up itself: what the image says may have changed. */
static void describe_guest_user(const char *name, json_t *process)
{
    json_object_set_new(process, "user",
                        json_pack("{s:i, s:i, s:s}", "uid", 0, "gid", 0, "username", name));
}

static int describe(struct engine *engine, const struct engine_container *container,
                    const struct engine_exec *exec, json_t *process, struct error *err)
{
    scope_engine_layers struct engine_layers layers = {0};
    struct spec_user user = {0};
    bool is_machine = engine_is_machine(container);
    if (describe_program(exec, process, err) < 0)
        return -1;
    if (exec->user &&
        (engine_layers_find(engine, container, &layers, err) < 0 ||
         spec_look_up_user(layers.directories, layers.count + 1, exec->user, &user, err) < 0) &&
        !is_machine)
        return -1;
    describe_environment(container, exec, &user, process);
    int status = 0;
    if (exec->user && is_machine)
        describe_guest_user(exec->user, process);
    else if (exec->user)
        status = describe_user(container, &layers, &user, process, err);
    spec_release_user(&user);
    return status;
}

json_t *engine_exec_describe(struct engine *engine, const struct engine_container *container,
                             const struct engine_exec *exec, struct error *err)
{
    json_t *process =
        check_state(engine, container, err) < 0 ? NULL : read_own_process(container, err);
    if (!process || describe(engine, container, exec, process, err) == 0)
        return process;
    json_decref(process);
    return NULL;
}

/* ---- starting it ---- */

/* Files that the runtime reads and writes meanwhile, in a directory RUN_ROOT/exec/PID of the
 * calling process, which is recorded by its name: who comes later removes those of processes that
 * are gone.
 */
struct exec_call {
    char *directory;
    int listener; /* where the runtime sends the terminal's master, or -1 */
};

static void remove_directory(const struct engine *engine, const char *name)
{
    struct error ignored;
    scope_free char *all = memory_format("%s/exec", engine->run_root);
    scope_close int directory = open(all, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0)
        remove_tree(directory, name, NULL, &ignored);
}

static void remove_leftovers(const struct engine *engine)
{
    scope_free char *all = memory_format("%s/exec", engine->run_root);
    scope_closedir DIR *stream = opendir(all);
    struct dirent *entry;
    while (stream && (entry = readdir(stream))) {
        pid_t pid = atoi(entry->d_name);
        if (pid > 0 && kill(pid, 0) < 0 && errno == ESRCH)
            remove_directory(engine, entry->d_name);
    }
}

static int listen_for_terminal(struct exec_call *call, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    scope_close int directory = open(call->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    call->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* The directory's path may be longer than sun_path. */
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/console", directory);
    if (directory < 0 || call->listener < 0 ||
        bind(call->listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(call->listener, 1) < 0)
        return error_set(err, errno, "can't make the console socket in %s", call->directory);
    return 0;
}

static int prepare_call(struct engine *engine, const json_t *process, bool terminal,
                        struct exec_call *call, struct error *err)
{
    scope_free char *all = memory_format("%s/exec", engine->run_root);
    *call = (struct exec_call){memory_format("%s/%d", all, (int)getpid()), -1};
    scope_free char *file = memory_format("%s/process.json", call->directory);
    remove_leftovers(engine);
    if (mkdir(all, 0700) < 0 && errno != EEXIST)
        return error_set(err, errno, "can't make the directory %s", all);
    if (mkdir(call->directory, 0700) < 0 && errno != EEXIST)
        return error_set(err, errno, "can't make the directory %s", call->directory);
    if (document_write(file, process, err) < 0)
        return -1;
    return terminal ? listen_for_terminal(call, err) : 0;
}

static void end_call(struct engine *engine, struct exec_call *call)
{
    if (call->listener >= 0)
        close(call->listener);
    if (call->directory)
        remove_directory(engine, strrchr(call->directory, '/') + 1);
    free(call->directory);
}

/* In the child. */
static void take_stream(int fd, int as)
{
    int nothing = fd < 0 ? open("/dev/null", O_RDWR) : -1;
    dup2(fd < 0 ? nothing : fd, as);
}

static pid_t call_runtime(struct engine *engine, const struct engine_container *container,
                          const struct exec_call *call, const struct engine_exec_streams *streams,
                          struct error *err)
{
    const struct engine_runtime runtime = engine_runtime_of(engine, container);
    const char *program = runtime.program;
    scope_free char *log = memory_format("%s/log", call->directory);
    scope_free char *process = memory_format("%s/process.json", call->directory);
    scope_free char *pid_file = memory_format("%s/pid", call->directory);
    scope_free char *console = memory_format("%s/console", call->directory);
    const char *words[20] = {program,        "--root",     runtime.root, "--log",    log,
                             "--log-format", "json",       "exec",       "--detach", "--process",
                             process,        "--pid-file", pid_file};
    size_t count = 13;
    if (call->listener >= 0) {
        words[count++] = "--console-socket";
        words[count++] = console;
    }
    words[count++] = container->id;
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        signal(SIGPIPE, SIG_DFL);
        take_stream(streams->input, STDIN_FILENO);
        take_stream(streams->output, STDOUT_FILENO);
        take_stream(streams->errors, STDERR_FILENO);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execv(program, (char *const *)words);
        _exit(125);
    }
    return pid > 0 ? pid : error_set(err, errno, "can't make a process");
}

/* Docker's exit code for what the runtime says; the last line of its log tells what. */
static void find_reason(const struct exec_call *call, const struct engine_container *container,
                        int *exit_code, struct error *err)
{
    scope_free char *path = memory_format("%s/log", call->directory);
    scope_free char *text = file_read_all(AT_FDCWD, path, 1 << 20, NULL, NULL);
    char *rest = text;
    error_set(err, 0, "the runtime could not start the process in container %s", container->name);
    for (char *line; (line = strsep(&rest, "\n"));) {
        scope_json json_t *record = json_loads(line, 0, NULL);
        const char *message = json_string_value(json_object_get(record, "msg"));
        if (message && strcmp(settings_text(record, "level"), "error") == 0)
            error_set(err, 0, "%s", message);
    }
    *exit_code = driver_exit_code(err);
    if (*exit_code == 125)
        *exit_code = 1;
}

static int receive_terminal(const struct exec_call *call, struct error *err)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    char name[256];
    struct iovec part = {name, sizeof name};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    /* The runtime has connected and sent by the time it has ended. */
    scope_close int connection = accept4(call->listener, NULL, NULL, SOCK_CLOEXEC);
    int master = -1;
    if (connection >= 0 && recvmsg(connection, &message, MSG_CMSG_CLOEXEC) >= 0) {
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (header && header->cmsg_type == SCM_RIGHTS)
            memcpy(&master, CMSG_DATA(header), sizeof master);
    }
    return master >= 0 ? master : error_set(err, 0, "the runtime has sent no terminal");
}

static pid_t read_pid(const struct exec_call *call, struct error *err)
{
    scope_free char *path = memory_format("%s/pid", call->directory);
    scope_free char *text = file_read_all(AT_FDCWD, path, 32, NULL, err);
    pid_t pid = text ? atoi(text) : 0;
    if (text && pid <= 0)
        return error_set(err, 0, "%s has no process id", path);
    return text ? pid : -1;
}

static pid_t finish_call(const struct engine_container *container, const struct exec_call *call,
                         pid_t runtime, int *master, int *exit_code, struct error *err)
{
    int status;
    while (waitpid(runtime, &status, 0) < 0)
        if (errno != EINTR)
            return error_set(err, errno, "can't wait for the runtime");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        find_reason(call, container, exit_code, err);
        return -1;
    }
    pid_t pid = read_pid(call, err);
    if (pid > 0 && master && (*master = receive_terminal(call, err)) < 0) {
        kill(pid, SIGKILL);
        return -1;
    }
    return pid;
}

/* docker's events: "exec_start: sh -c true" */
static void emit(struct engine *engine, const struct engine_container *container, const char *verb,
                 const json_t *process)
{
    const json_t *word;
    size_t i;
    scope_free char *action = memory_copy_string(verb);
    json_array_foreach(json_object_get(process, "args"), i, word)
    {
        char *longer = memory_format("%s %s", action, json_string_value(word));
        free(action);
        action = longer;
    }
    engine_emit(engine, "container", action, container->id, engine_event_attributes(container));
}

json_t *engine_exec_describe_end(const struct engine_container *container, int exit_status)
{
    char text[16];
    json_t *attributes = engine_event_attributes(container);
    snprintf(text, sizeof text, "%d", exit_status);
    json_object_set_new(attributes, "exitCode", json_string(text));
    return attributes;
}

/* Its programs may want to open /dev/stdout again, which their root has to own. */
static int hand_streams_over(const struct engine_container *container,
                             const struct engine_exec_streams *streams, struct error *err)
{
    const int fds[] = {streams->input, streams->output, streams->errors};
    uid_t root = engine_userns_root(container);
    for (size_t i = 0; root > 0 && i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0 && fchown(fds[i], root, root) < 0)
            return error_set(err, errno, "can't give the process its streams");
    return 0;
}

pid_t engine_exec_start(struct engine *engine, const struct engine_container *container,
                        const json_t *process, const struct engine_exec_streams *streams,
                        int *exit_code, struct error *err)
{
    struct exec_call call = {.listener = -1};
    *exit_code = 1;
    if (check_state(engine, container, err) < 0 || hand_streams_over(container, streams, err) < 0)
        return -1;
    emit(engine, container, "exec_create:", process);
    pid_t pid = prepare_call(engine, process, streams->terminal, &call, err);
    if (pid == 0)
        pid = call_runtime(engine, container, &call, streams, err);
    if (pid > 0)
        pid = finish_call(container, &call, pid, streams->terminal, exit_code, err);
    end_call(engine, &call);
    if (pid > 0)
        emit(engine, container, "exec_start:", process);
    return pid;
}
