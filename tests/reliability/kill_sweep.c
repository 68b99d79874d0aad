/* Kills hull-oci, or the process that it sets up, with SIGKILL at each system call in turn, and
 * looks whether the container can still be seen, listed and deleted, and whether nothing is left.
 *
 *     kill_sweep HULL_OCI DIRECTORY ID
 *
 * DIRECTORY holds a bundle for each of the configurations below (tests/reliability/suite makes
 * them); each verb and mode is one case. HULL_SEED chooses the sample; HULL_LONG=1 takes all. */
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "remains.h"
#include "trace.h"

#define VERB_MILLISECONDS 10000
#define SETTLE_MILLISECONDS 3000
#define SAMPLES 3 /* of each verb, mode and configuration */
#define FAILURES_SHOWN 5
#define WORDS_MAX 24

enum configuration { PLAIN, HOST_PID, USER, STAGED, HOOKS, SECCOMP, TERMINAL, CONFIGURATIONS };
static const char *const configuration_names[] = {"plain", "hostpid", "user",    "staged",
                                                  "hooks", "seccomp", "terminal"};

enum stage { NOTHING, CREATED, RUNNING, PAUSED, STOPPED };

static const struct verb {
    const char *name;
    enum stage before;
    bool makes_process; /* so that there is one to kill */
    bool makes_container;
    const char *words[6]; /* up to the container's ID, and what comes after it */
    const char *after[4];
} verbs[] = {
    {"create", NOTHING, true, true, {"create"}, {NULL}},
    {"start", CREATED, true, false, {"start"}, {NULL}},
    {"run", NOTHING, true, true, {"run", "--detach"}, {NULL}},
    {"exec", RUNNING, true, false, {"exec", "--detach"}, {"/bin/sleep", "1000"}},
    {"pause", RUNNING, false, false, {"pause"}, {NULL}},
    {"resume", PAUSED, false, false, {"resume"}, {NULL}},
    {"update",
     RUNNING,
     false,
     false,
     {"update", "--pids-limit", "50", "--cpu-share", "512"},
     {NULL}},
    {"kill", RUNNING, false, false, {"kill"}, {"KILL"}},
    {"kill --all", PAUSED, false, false, {"kill", "--all"}, {"KILL"}},
    {"delete", STOPPED, false, false, {"delete"}, {NULL}},
    {"delete --force", RUNNING, false, false, {"delete", "--force"}, {NULL}},
};
#define VERBS (sizeof verbs / sizeof *verbs)

static const char *const mode_names[TRACE_MODES] = {
    "is killed at the entry of any system call", "is killed at the exit of any system call",
    "whose process is killed at any of its system calls",
    "is killed while its process is at any of its system calls"};

struct sweep {
    char *program;
    struct place place;
    char pid_file[PATH_MAX], console[PATH_MAX], hooks_log[PATH_MAX];
    int console_listener;
    int output; /* a memfd that takes what a command says */
    uint64_t random;
    bool all;
};

struct tally {
    long kills, failures;
    long calls[CONFIGURATIONS]; /* system calls of the verb when nobody disturbs it */
};

/* ---- commands ---- */

struct words {
    size_t count;
    char *items[WORDS_MAX];
};

static void add_words(struct words *words, const char *const *more, size_t max)
{
    for (size_t i = 0; i < max && more[i]; i++)
        words->items[words->count++] = (char *)more[i];
    words->items[words->count] = NULL;
}

#define ADD_WORDS(words, ...)                                                                      \
    add_words(words, (const char *const[]){__VA_ARGS__},                                           \
              sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void begin_command(const struct sweep *sweep, struct words *words)
{
    words->count = 0;
    ADD_WORDS(words, sweep->program, "--root", sweep->place.root);
}

static void clear_output(const struct sweep *sweep)
{
    if (ftruncate(sweep->output, 0) < 0 || lseek(sweep->output, 0, SEEK_SET) < 0)
        abort();
}

static void read_output(const struct sweep *sweep, char *text, size_t size)
{
    ssize_t length = pread(sweep->output, text, size - 1, 0);
    text[length > 0 ? length : 0] = '\0';
}

/* Runs a command; returns its exit status, 128+N for a signal, or -1 at the deadline. */
static int run_command(const struct sweep *sweep, const struct words *words, char *text,
                       size_t size)
{
    clear_output(sweep);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDONLY);
        if (dup2(null, 0) < 0 || dup2(sweep->output, 1) < 0 || dup2(sweep->output, 2) < 0)
            _exit(126);
        execv(words->items[0], words->items);
        _exit(127);
    }
    int status = 0;
    bool late = !remains_wait(pid, VERB_MILLISECONDS, &status);
    read_output(sweep, text, size);
    if (late)
        return -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void verb_command(const struct sweep *sweep, const struct verb *verb,
                         enum configuration configuration, char bundle[PATH_MAX],
                         struct words *words)
{
    bool is_exec = strcmp(verb->words[0], "exec") == 0;
    begin_command(sweep, words);
    add_words(words, verb->words, 6);
    if (verb->makes_container) {
        snprintf(bundle, PATH_MAX, "%s/%s", sweep->place.directory,
                 configuration_names[configuration]);
        ADD_WORDS(words, "--bundle", bundle);
    }
    if (verb->makes_container || is_exec)
        ADD_WORDS(words, "--pid-file", sweep->pid_file);
    if (configuration == TERMINAL && is_exec)
        ADD_WORDS(words, "--tty");
    if (configuration == TERMINAL && (verb->makes_container || is_exec))
        ADD_WORDS(words, "--console-socket", sweep->console);
    ADD_WORDS(words, sweep->place.id);
    add_words(words, verb->after, 4);
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    }
    abort();
}

static int run_verb(const struct sweep *sweep, const char *name, enum configuration configuration,
                    char *text, size_t size)
{
    char bundle[PATH_MAX];
    struct words words;
    verb_command(sweep, find_verb(name), configuration, bundle, &words);
    return run_command(sweep, &words, text, size);
}

static pid_t first_process(const struct sweep *sweep)
{
    int pid = 0;
    FILE *file = fopen(sweep->pid_file, "re");
    if (!file || fscanf(file, "%d", &pid) != 1)
        abort();
    fclose(file);
    return pid;
}

static bool prepare(const struct sweep *sweep, enum stage stage, enum configuration configuration,
                    char *text, size_t size)
{
    static const char *const steps[][3] = {[NOTHING] = {NULL},
                                           [CREATED] = {"create"},
                                           [RUNNING] = {"run"},
                                           [PAUSED] = {"run", "pause"},
                                           [STOPPED] = {"run", "kill"}};
    pid_t pid;
    for (size_t i = 0; i < 3 && steps[stage][i]; i++) {
        if (run_verb(sweep, steps[stage][i], configuration, text, size) != 0)
            return false;
    }
    if (stage == STOPPED && (pid = first_process(sweep)) > 0)
        return remains_wait(pid, VERB_MILLISECONDS, NULL);
    return true;
}

/* ---- looks ---- */

static bool is_state(const char *text, const char *id)
{
    static const char *const names[] = {"creating", "created", "running", "paused", "stopped"};
    json_t *state = json_loads(text, 0, NULL);
    const char *status = json_string_value(json_object_get(state, "status"));
    const char *its_id = json_string_value(json_object_get(state, "id"));
    bool valid = false;
    for (size_t i = 0; status && i < 5; i++)
        valid |= strcmp(status, names[i]) == 0;
    valid = valid && its_id && strcmp(its_id, id) == 0 &&
            json_is_integer(json_object_get(state, "pid"));
    json_decref(state);
    return valid;
}

/* Returns 1 if there is a container, 0 if not, -1 (with a reason in text) for any other answer. */
static int look_at_state(const struct sweep *sweep, char *text, size_t size)
{
    char said[4096];
    struct words words;
    begin_command(sweep, &words);
    ADD_WORDS(&words, "state", sweep->place.id);
    int status = run_command(sweep, &words, said, sizeof said);
    if (status == 0 && is_state(said, sweep->place.id))
        return 1;
    if (status == 1 && strstr(said, "does not exist"))
        return 0;
    snprintf(text, size, "state: exit status %d: %s", status, said);
    return -1;
}

static bool look_at_list(const struct sweep *sweep, bool exists, char *text, size_t size)
{
    char said[4096];
    struct words words;
    begin_command(sweep, &words);
    ADD_WORDS(&words, "list", "--format", "json");
    int status = run_command(sweep, &words, said, sizeof said);
    json_t *list = json_loads(said, 0, NULL);
    bool good = status == 0 && json_is_array(list) && json_array_size(list) == (size_t)exists;
    json_decref(list);
    if (!good)
        snprintf(text, size, "list: exit status %d: %s", status, said);
    return good;
}

static bool delete_by_force(const struct sweep *sweep, char *text, size_t size)
{
    char said[4096];
    int status = run_verb(sweep, "delete --force", PLAIN, said, sizeof said);
    if (status != 0)
        snprintf(text, size, "delete --force: exit status %d: %s", status, said);
    return status == 0;
}

/* Terminals that nobody fetched must not fill the queue. */
static void drain_console(const struct sweep *sweep)
{
    int connection;
    while ((connection = accept4(sweep->console_listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        close(connection);
}

/* The hooks write a line each into a log: who had a createRuntime also gets its poststop. */
static bool look_at_hooks(const struct sweep *sweep, char *text, size_t size)
{
    char log[4096] = "";
    int fd = open(sweep->hooks_log, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, log, sizeof log - 1);
    if (fd >= 0)
        close(fd);
    unlink(sweep->hooks_log);
    if (length <= 0 || !strstr(log, "createRuntime\n") || strstr(log, "poststop\n"))
        return true;
    snprintf(text, size, "the poststop hook was not run, only: %s", log);
    return false;
}

/* ---- one kill ---- */

/* Of exec, any other status is the program's. */
static bool is_status_of_ours(const struct verb *verb, int status)
{
    return status == 0 || status == (strcmp(verb->words[0], "exec") == 0 ? 255 : 1);
}

/* Whether the verb, whose process we killed, told so, and (unless it worked all the same) undid
 * what it had begun. */
static bool look_at_failure(const struct sweep *sweep, const struct verb *verb,
                            const struct trace *trace, char *text, size_t size)
{
    char said[4096];
    read_output(sweep, said, sizeof said);
    if (trace->timed_out || !WIFEXITED(trace->status) ||
        !is_status_of_ours(verb, WEXITSTATUS(trace->status))) {
        snprintf(text, size, "the verb %s (status %#x): %s",
                 trace->timed_out ? "hung" : "died unexpectedly", (unsigned)trace->status, said);
        return false;
    }
    if (WEXITSTATUS(trace->status) == 0)
        return true;
    char *newline = strchr(said, '\n');
    if (strncmp(said, "hull-oci: ", 10) != 0 || !newline || newline[1]) {
        snprintf(text, size, "the verb didn't say one line: %s", said);
        return false;
    }
    if (verb->makes_container && !remains_none(&sweep->place, SETTLE_MILLISECONDS, text, size))
        return false;
    return true;
}

static bool look_after(const struct sweep *sweep, char *text, size_t size)
{
    int exists = look_at_state(sweep, text, size);
    return exists >= 0 && look_at_list(sweep, exists, text, size) &&
           delete_by_force(sweep, text, size) &&
           remains_none(&sweep->place, SETTLE_MILLISECONDS, text, size) &&
           look_at_hooks(sweep, text, size);
}

/* Kills at the limit'th system call. Returns false, with a text, if something is wrong after it. */
static bool kill_once(const struct sweep *sweep, const struct verb *verb,
                      enum configuration configuration, struct trace *trace, char *text,
                      size_t size)
{
    char bundle[PATH_MAX], said[4096];
    struct words words;
    trace->milliseconds = VERB_MILLISECONDS;
    if (!prepare(sweep, verb->before, configuration, said, sizeof said)) {
        snprintf(text, size, "can't prepare: %s", said);
        remains_scrub(&sweep->place);
        return false;
    }
    if (verb->before == CREATED && (trace->mode == TRACE_CHILD || trace->mode == TRACE_BEHIND))
        trace->also = first_process(sweep);
    verb_command(sweep, verb, configuration, bundle, &words);
    clear_output(sweep);
    trace_run(trace, words.items, sweep->output);
    bool good = true;
    if (!trace->killed && (trace->timed_out || trace->status != 0)) {
        read_output(sweep, said, sizeof said);
        snprintf(text, size, "undisturbed: status %#x: %s", (unsigned)trace->status, said);
        good = false;
    }
    if (good && trace->killed && trace->mode == TRACE_CHILD)
        good = look_at_failure(sweep, verb, trace, text, size);
    good = good && look_after(sweep, text, size);
    if (!good)
        remains_scrub(&sweep->place);
    drain_console(sweep);
    unlink(sweep->hooks_log);
    unlink(sweep->pid_file);
    return good;
}

/* ---- the sweep ---- */

static uint64_t next_random(struct sweep *sweep)
{
    sweep->random ^= sweep->random << 13;
    sweep->random ^= sweep->random >> 7;
    sweep->random ^= sweep->random << 17;
    return sweep->random;
}

static bool try_one(struct sweep *sweep, const struct verb *verb, enum trace_mode mode,
                    enum configuration configuration, long limit, struct tally *tally,
                    struct trace *trace)
{
    char text[8192] = "";
    *trace = (struct trace){.mode = mode, .limit = limit};
    bool good = kill_once(sweep, verb, configuration, trace, text, sizeof text);
    tally->kills += trace->killed;
    if (good)
        return true;
    if (tally->failures++ < FAILURES_SHOWN) {
        for (char *c = text; *c; c++) {
            if (*c == '\n')
                *c = ' ';
        }
        printf("# %s (%s) at system call %ld: %s\n", verb->name, configuration_names[configuration],
               limit, text);
        fflush(stdout);
    }
    return false;
}

static void sweep_configuration(struct sweep *sweep, const struct verb *verb, enum trace_mode mode,
                                enum configuration configuration, struct tally *tally)
{
    struct trace trace;
    if (!try_one(sweep, verb, mode, configuration, LONG_MAX, tally, &trace))
        return;
    long calls = tally->calls[configuration] = trace.count;
    if (sweep->all) {
        trace.killed = true;
        for (long limit = 1; trace.killed && limit < 10000; limit++)
            try_one(sweep, verb, mode, configuration, limit, tally, &trace);
        return;
    }
    for (int i = 0; i < SAMPLES && calls > 0; i++)
        try_one(sweep, verb, mode, configuration, 1 + (long)(next_random(sweep) % (uint64_t)calls),
                tally, &trace);
}

static bool sweep_case(struct sweep *sweep, const struct verb *verb, enum trace_mode mode,
                       int number)
{
    struct tally tally = {0};
    for (int configuration = 0; configuration < CONFIGURATIONS; configuration++)
        sweep_configuration(sweep, verb, mode, (enum configuration)configuration, &tally);
    printf("# %ld kills, %ld failures; system calls:", tally.kills, tally.failures);
    for (int configuration = 0; configuration < CONFIGURATIONS; configuration++)
        printf(" %s %ld", configuration_names[configuration], tally.calls[configuration]);
    printf("\n%sok %d - %s %s\n", tally.failures ? "not " : "", number, verb->name,
           mode_names[mode]);
    fflush(stdout);
    return tally.failures == 0;
}

static bool is_case(const struct verb *verb, int mode)
{
    return verb->makes_process || mode == TRACE_ENTRY || mode == TRACE_EXIT;
}

static void name_path(char path[PATH_MAX], const struct sweep *sweep, const char *name)
{
    snprintf(path, PATH_MAX, "%s/%s", sweep->place.directory, name);
}

static int listen_console(const struct sweep *sweep)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (strlen(sweep->console) >= sizeof address.sun_path)
        return -1;
    strcpy(address.sun_path, sweep->console);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 64) < 0)
        return -1;
    return listener;
}

int main(int argc, char **argv)
{
    static char root[PATH_MAX], pids[PATH_MAX];
    const char *seed = getenv("HULL_SEED"), *long_run = getenv("HULL_LONG");
    if (argc != 4)
        return 2;
    struct sweep sweep = {.program = argv[1],
                          .place = {argv[2], root, pids, argv[3]},
                          .output = memfd_create("output", MFD_CLOEXEC),
                          .all = long_run && strcmp(long_run, "1") == 0};
    sweep.random = (seed ? strtoull(seed, NULL, 10) : 1) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    name_path(root, &sweep, "state");
    name_path(pids, &sweep, "pids");
    name_path(sweep.pid_file, &sweep, "pids/pid");
    name_path(sweep.console, &sweep, "console");
    name_path(sweep.hooks_log, &sweep, "hooks.log");
    sweep.console_listener = listen_console(&sweep);
    if (sweep.console_listener < 0) {
        perror("the console's socket");
        return 1;
    }
    remains_adopt();
    int cases = 0, failed = 0;
    const char *only = getenv("HULL_SWEEP_VERB");
    for (size_t i = 0; i < VERBS; i++)
        for (int mode = 0; mode < TRACE_MODES; mode++)
            cases += is_case(&verbs[i], mode);
    printf("1..%d\n# seed %s\n", cases, seed ? seed : "1");
    cases = 0;
    for (size_t i = 0; i < VERBS; i++)
        for (int mode = 0; mode < TRACE_MODES; mode++)
            if (is_case(&verbs[i], mode) && (!only || strcmp(only, verbs[i].name) == 0))
                failed += !sweep_case(&sweep, &verbs[i], (enum trace_mode)mode, ++cases);
    return failed > 0;
}
