#include "monitor/health.h"

#include <stdlib.h>
#include <string.h>

#define NANOSECONDS_PER_MS 1000000

static int64_t milliseconds(int64_t nanoseconds, int64_t otherwise)
{
    if (nanoseconds <= 0)
        return otherwise;
    return nanoseconds < NANOSECONDS_PER_MS ? 1 : nanoseconds / NANOSECONDS_PER_MS;
}

void health_begin(struct health *health, const struct monitor_health *settings)
{
    health_release(health);
    *health = (struct health){.settings = *settings};
    struct monitor_health *mine = &health->settings;
    mine->interval = milliseconds(settings->interval, 30000);
    mine->timeout = milliseconds(settings->timeout, 30000);
    mine->start_period = milliseconds(settings->start_period, 0);
    mine->start_interval = milliseconds(settings->start_interval, 5000);
    if (mine->retries <= 0)
        mine->retries = 3;
}

int64_t health_delay(const struct health *health, int64_t ran)
{
    const struct monitor_health *settings = &health->settings;
    bool starting = !health->has_started && ran < settings->start_period;
    return starting && settings->start_interval < settings->interval ? settings->start_interval
                                                                     : settings->interval;
}

static void keep_result(struct health *health, const struct health_result *result)
{
    if (health->count == HEALTH_RESULTS) {
        free(health->results[0].output);
        memmove(health->results, health->results + 1, sizeof *result * (HEALTH_RESULTS - 1));
        health->count--;
    }
    health->results[health->count++] = *result;
}

bool health_record(struct health *health, const struct health_result *result, int64_t ran)
{
    enum health_state before = health->state;
    keep_result(health, result);
    if (result->exit_code == 0) {
        health->failing_streak = 0;
        health->has_started = true;
        health->state = HEALTH_HEALTHY;
        return before != health->state;
    }
    /* Failures of a container that is still starting don't count. */
    if (!health->has_started && ran < health->settings.start_period)
        return false;
    health->failing_streak++;
    if (health->failing_streak >= health->settings.retries)
        health->state = HEALTH_UNHEALTHY;
    return before != health->state;
}

const char *health_state_name(enum health_state state)
{
    static const char *const names[] = {"starting", "healthy", "unhealthy"};
    return names[state];
}

/* A check may print anything: what isn't UTF-8 is shown as question marks. */
static json_t *describe_output(const char *output)
{
    json_t *text = json_string(output);
    if (text)
        return text;
    char *copy = memory_copy_string(output);
    for (char *byte = copy; *byte; byte++) {
        if (*byte & 0x80)
            *byte = '?';
    }
    text = json_string(copy);
    free(copy);
    return text;
}

json_t *health_describe(const struct health *health)
{
    json_t *log = json_array();
    for (int i = 0; i < health->count; i++) {
        const struct health_result *result = &health->results[i];
        json_array_append_new(log, json_pack("{s:s, s:s, s:i, s:o}", "Start", result->start, "End",
                                             result->end, "ExitCode", result->exit_code, "Output",
                                             describe_output(result->output)));
    }
    return json_pack("{s:s, s:i, s:o}", "Status", health_state_name(health->state), "FailingStreak",
                     health->failing_streak, "Log", log);
}

void health_release(struct health *health)
{
    for (int i = 0; i < health->count; i++)
        free(health->results[i].output);
    health->count = 0;
}
