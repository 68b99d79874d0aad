/* Measures a peer and hull in turns, in one run, and prints both medians and their ratio.
 *
 *     measure [flags] -- PEER'S COMMANDS -- HULL'S COMMANDS
 *
 * Commands of one side follow each other with the word "then" between them, and all must exit
 * with 0. "@" inside a word becomes a number that no other turn has. Sides take turns so that the
 * machine's changes of speed hit both, and each turn begins after a pause, because a busy kernel
 * is faster at some things (RCU) than one just woken: starts are rare in real life.
 *
 * With --until a turn is over when the command's output has a text: from there on it is only waited
 * for, and how it ends doesn't matter.
 *
 * --before names a program that is run before each turn, to undo what the last one left.
 *
 * What is measured: wall time from the first command's posix_spawn to the last one's end; with
 * --memory the peak resident set of the largest process that a command and those it waited for
 * were (ru_maxrss); with --rate the turns per second of several workers at once, each working
 * through its share without pauses. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_WORDS 128
#define MAX_SAMPLES 10000

enum quantity { QUANTITY_TIME, QUANTITY_MEMORY, QUANTITY_RATE };

struct side {
    const char *name;
    char **words;
    int count;
    double samples[MAX_SAMPLES];
};

struct plan {
    const char *label;
    enum quantity quantity;
    int runs, workers, jobs;
    long pause_ms;
    char *before;             /* a program that runs before each turn, unmeasured; or NULL */
    const char *until;        /* a text in the output that ends what is measured; or NULL */
    double at_most, at_least; /* of hull's value divided by the peer's; 0: no bar */
    struct side sides[2];
    int side_count;
};

static _Noreturn void fail(const char *what, const char *object)
{
    fprintf(stderr, "measure: %s %s%s%s\n", what, object, errno ? ": " : "",
            errno ? strerror(errno) : "");
    exit(2);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void sleep_for(long milliseconds)
{
    struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

/* Replaces "@" by the turn's number. The caller frees. */
static char *fill_in(const char *word, const char *number)
{
    char *filled = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&filled, &size);
    if (!out)
        fail("no memory for", word);
    for (; *word; word++) {
        if (*word == '@')
            fputs(number, out);
        else
            fputc(*word, out);
    }
    fclose(out);
    return filled;
}

/* Starts a command with nothing to read; its output goes to a descriptor, or away if that is -1. */
static pid_t start_command(char **words, int output)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (output < 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    else
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    errno = posix_spawnp(&pid, words[0], &actions, NULL, words, environ);
    if (errno)
        fail("can't run", words[0]);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

/* When a text is in the command's output, whose end is waited for. */
static double run_until(char **words, const char *text)
{
    char seen[4096];
    size_t length = 0;
    ssize_t got;
    double found = 0;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        fail("can't make a pipe for", words[0]);
    pid_t pid = start_command(words, ends[1]);
    close(ends[1]);
    while ((got = read(ends[0], seen + length, sizeof seen - length)) > 0) {
        length += (size_t)got;
        if (found == 0 && memmem(seen, length, text, strlen(text)))
            found = now();
        if (length == sizeof seen) { /* of what is kept, the end may be the text's beginning */
            memmove(seen, seen + length / 2, length / 2);
            length /= 2;
        }
    }
    close(ends[0]);
    while (waitpid(pid, NULL, 0) < 0)
        if (errno != EINTR)
            fail("can't wait for", words[0]);
    errno = 0;
    if (found == 0)
        fail("no such output of", words[0]);
    return found;
}

/* Runs one command with its output thrown away. Returns its peak resident set in KiB. */
static long run_command(char **words)
{
    pid_t pid = start_command(words, -1);
    int status;
    struct rusage usage;
    while (wait4(pid, &status, 0, &usage) < 0)
        if (errno != EINTR)
            fail("can't wait for", words[0]);
    if (status != 0) {
        fprintf(stderr, "measure: '%s %s' ended with wait status %#x\n", words[0],
                words[1] ? words[1] : "", (unsigned)status);
        exit(2);
    }
    return usage.ru_maxrss;
}

/* One turn: all commands of a side. Returns the largest peak of memory in KiB, and in *end when
 * what is measured was over, until being the text that ends it, if there is one. */
static long run_side(const struct side *side, const char *number, const char *until, double *end)
{
    char *words[MAX_WORDS + 1];
    int count = 0;
    long peak = 0;
    for (int i = 0; i <= side->count; i++) {
        bool ends = i == side->count || strcmp(side->words[i], "then") == 0;
        if (!ends) {
            words[count++] = fill_in(side->words[i], number);
            continue;
        }
        words[count] = NULL;
        long used = 0;
        if (until)
            *end = run_until(words, until);
        else if (count)
            used = run_command(words);
        if (used > peak)
            peak = used;
        while (count > 0)
            free(words[--count]);
    }
    if (!until)
        *end = now();
    return peak;
}

/* Turns per second of all workers together. */
static double measure_rate(const struct plan *plan, const struct side *side, int turn)
{
    double start = now();
    for (int worker = 0; worker < plan->workers; worker++) {
        pid_t pid = fork();
        if (pid < 0)
            fail("can't fork", "a worker");
        if (pid > 0)
            continue;
        for (int job = 0; job < plan->jobs; job++) {
            char number[64];
            snprintf(number, sizeof number, "%d-%d-%d", turn, worker, job);
            double end;
            run_side(side, number, NULL, &end);
        }
        _exit(0);
    }
    bool failed = false;
    for (int worker = 0; worker < plan->workers; worker++) {
        int status;
        if (wait(&status) < 0 || status != 0)
            failed = true;
    }
    if (failed) {
        errno = 0;
        fail("a worker failed at", plan->label);
    }
    return plan->workers * plan->jobs / (now() - start);
}

static double measure_turn(const struct plan *plan, const struct side *side, int turn)
{
    if (plan->before)
        run_command((char *[]){plan->before, NULL});
    sleep_for(plan->pause_ms);
    if (plan->quantity == QUANTITY_RATE)
        return measure_rate(plan, side, turn);
    char number[32];
    snprintf(number, sizeof number, "%d", turn);
    double start = now(), end;
    long peak = run_side(side, number, plan->until, &end);
    return plan->quantity == QUANTITY_TIME ? (end - start) * 1e3 : (double)peak;
}

static int compare_samples(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *samples, int count)
{
    qsort(samples, (size_t)count, sizeof *samples, compare_samples);
    return count % 2 ? samples[count / 2] : (samples[count / 2 - 1] + samples[count / 2]) / 2;
}

/* Appends a row to the table in HULL_BENCH_TABLE, for docs/performance.md. */
static void append_row(const struct plan *plan, const double *medians, const char *unit,
                       double ratio, const char *bar, const char *verdict)
{
    const char *path = getenv("HULL_BENCH_TABLE");
    if (!path)
        return;
    FILE *table = fopen(path, "a");
    if (!table)
        fail("can't append to", path);
    fprintf(table, "| %s | %s %.2f %s | %.2f %s | %.3f | %s | %s |\n", plan->label,
            plan->sides[0].name, medians[0], unit, medians[1], unit, ratio, bar, verdict);
    fclose(table);
}

/* Returns the program's exit status. */
static int print_result(struct plan *plan)
{
    static const char *const units[] = {"ms", "KiB", "/s"};
    const char *unit = units[plan->quantity];
    double medians[2];
    for (int i = 0; i < plan->side_count; i++)
        medians[i] = median(plan->sides[i].samples, plan->runs);
    printf("%-34s", plan->label);
    for (int i = 0; i < plan->side_count; i++)
        printf("  %s %.2f %s", plan->sides[i].name, medians[i], unit);
    if (plan->side_count < 2) {
        putchar('\n');
        return 0;
    }
    double ratio = medians[1] / medians[0];
    char bar[32] = "";
    bool met = true;
    if (plan->at_most > 0) {
        met = ratio <= plan->at_most;
        snprintf(bar, sizeof bar, "at most %.3f", plan->at_most);
    } else if (plan->at_least > 0) {
        met = ratio >= plan->at_least;
        snprintf(bar, sizeof bar, "at least %.3f", plan->at_least);
    }
    const char *verdict = !bar[0] ? "" : met ? "OK" : "MISSED";
    printf("  ratio %.3f  %s  %s\n", ratio, bar, verdict);
    append_row(plan, medians, unit, ratio, bar, verdict);
    return met ? 0 : 1;
}

static int parse_count(const char *text, const char *name, int limit)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || *end || end == text || value < 0 || value > limit) {
        errno = 0;
        fail("not a count:", name);
    }
    return (int)value;
}

static void read_flags(struct plan *plan, int argc, char **argv)
{
    static const struct option options[] = {
        {"label", required_argument, NULL, 'l'},   {"peer", required_argument, NULL, 'p'},
        {"runs", required_argument, NULL, 'n'},    {"pause", required_argument, NULL, 's'},
        {"at-most", required_argument, NULL, 'm'}, {"at-least", required_argument, NULL, 'a'},
        {"memory", no_argument, NULL, 'M'},        {"rate", required_argument, NULL, 'r'},
        {"jobs", required_argument, NULL, 'j'},    {"before", required_argument, NULL, 'b'},
        {"until", required_argument, NULL, 'u'},   {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        switch (option) {
        case 'l':
            plan->label = optarg;
            break;
        case 'p':
            plan->sides[0].name = optarg;
            break;
        case 'n':
            plan->runs = parse_count(optarg, "--runs", MAX_SAMPLES);
            break;
        case 's':
            plan->pause_ms = parse_count(optarg, "--pause", 60000);
            break;
        case 'm':
            plan->at_most = strtod(optarg, NULL);
            break;
        case 'a':
            plan->at_least = strtod(optarg, NULL);
            break;
        case 'M':
            plan->quantity = QUANTITY_MEMORY;
            break;
        case 'r':
            plan->quantity = QUANTITY_RATE;
            plan->workers = parse_count(optarg, "--rate", 64);
            break;
        case 'j':
            plan->jobs = parse_count(optarg, "--jobs", 10000);
            break;
        case 'b':
            plan->before = optarg;
            break;
        case 'u':
            plan->until = optarg;
            break;
        default:
            exit(2);
        }
    }
}

/* getopt has eaten the first "--"; another one divides the sides. */
static void read_sides(struct plan *plan, int argc, char **argv)
{
    int start = optind;
    for (int i = optind; i <= argc; i++) {
        if (i < argc && strcmp(argv[i], "--") != 0)
            continue;
        if (plan->side_count == 2 || i == start || i - start > MAX_WORDS) {
            errno = 0;
            fail("expects one or two sides of at most 128 words for", plan->label);
        }
        plan->sides[plan->side_count].words = argv + start;
        plan->sides[plan->side_count++].count = i - start;
        start = i + 1;
    }
    plan->sides[plan->side_count - 1].name = "hull";
}

int main(int argc, char **argv)
{
    /* Static: two times 10000 samples. */
    static struct plan plan = {.label = "", .runs = 40, .pause_ms = 50, .workers = 1, .jobs = 20};
    plan.sides[0].name = "peer";
    read_flags(&plan, argc, argv);
    read_sides(&plan, argc, argv);
    if (plan.runs < 1)
        plan.runs = 1;
    /* One turn each that doesn't count: it reads the programs from the disk. */
    for (int turn = -1; turn < plan.runs; turn++)
        for (int i = 0; i < plan.side_count; i++) {
            double sample = measure_turn(&plan, &plan.sides[i], turn + 1);
            if (turn >= 0)
                plan.sides[i].samples[turn] = sample;
        }
    return print_result(&plan);
}
