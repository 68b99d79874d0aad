#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "cli/engine_verb.h"
#include "cli/format.h"
#include "cli/human.h"
#include "monitor/document.h"

static const struct command_flag flags[] = {
    {.name = "format",
     .letter = 'f',
     .argument = "TEMPLATE",
     .help = "print json or a Go template"},
    {0},
};

static int count_containers(struct engine *engine, json_t *info, struct error *err)
{
    scope_engine_list struct engine_list list = {0};
    int running = 0, paused = 0;
    if (engine_list(engine, &list, err) < 0)
        return -1;
    for (size_t i = 0; i < list.count; i++) {
        struct monitor_status status = {0};
        if (engine_status(engine, &list.items[i], &status, err) < 0)
            return -1;
        paused += status.state == MONITOR_PAUSED;
        running += engine_is_up(&status) && status.state != MONITOR_PAUSED;
        monitor_status_release(&status);
    }
    json_object_set_new(info, "Containers", json_integer((json_int_t)list.count));
    json_object_set_new(info, "ContainersRunning", json_integer(running));
    json_object_set_new(info, "ContainersPaused", json_integer(paused));
    json_object_set_new(info, "ContainersStopped",
                        json_integer((json_int_t)list.count - running - paused));
    return 0;
}

static int count_images(struct engine *engine, json_t *info, struct error *err)
{
    scope_image_list struct image_list list = {0};
    struct image_store *store = engine_images(engine, err);
    if (!store || image_list(store, &list, err) < 0)
        return -1;
    json_object_set_new(info, "Images", json_integer((json_int_t)list.count));
    return 0;
}

/* PRETTY_NAME="Debian GNU/Linux 12 (bookworm)" of os-release(5). */
static char *find_system_name(void)
{
    scope_free char *text = file_read_all(AT_FDCWD, "/etc/os-release", 65536, NULL, NULL);
    char *rest = text;
    for (char *line; rest && (line = strsep(&rest, "\n"));) {
        if (strncmp(line, "PRETTY_NAME=", 12) != 0)
            continue;
        line += 12;
        size_t length = strlen(line);
        bool is_quoted = length >= 2 && (*line == '"' || *line == '\'');
        return memory_format("%.*s", (int)(length - 2 * is_quoted), line + is_quoted);
    }
    return memory_copy_string("Linux");
}

static void describe_machine(json_t *info)
{
    struct utsname machine = {0};
    struct stat status;
    uname(&machine);
    scope_free char *name = find_system_name();
    bool is_v2 = stat("/sys/fs/cgroup/cgroup.controllers", &status) == 0;
    json_object_set_new(info, "CgroupDriver", json_string("cgroupfs"));
    json_object_set_new(info, "CgroupVersion", json_string(is_v2 ? "2" : "1"));
    json_object_set_new(info, "KernelVersion", json_string(machine.release));
    json_object_set_new(info, "OperatingSystem", json_string(name));
    json_object_set_new(info, "OSType", json_string("linux"));
    json_object_set_new(info, "Architecture", json_string(machine.machine));
    json_object_set_new(info, "NCPU", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
    json_object_set_new(info, "MemTotal",
                        json_integer((json_int_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE)));
    json_object_set_new(info, "Name", json_string(machine.nodename));
}

static void describe_hull(const struct cli_context *context, json_t *info)
{
    json_object_set_new(info, "ServerVersion", json_string(HULL_VERSION));
    json_object_set_new(info, "Driver", json_string("overlay2"));
    json_object_set_new(info, "LoggingDriver", json_string("json-file"));
    json_object_set_new(info, "Plugins",
                        json_pack("{s:[s], s:[sss], s:[ss]}", "Volume", "local", "Network",
                                  "bridge", "host", "null", "Log", "json-file", "none"));
    json_object_set_new(info, "Runtimes", json_pack("{s:{s:s}}", "hull-oci", "path", "hull-oci"));
    json_object_set_new(info, "DefaultRuntime", json_string("hull-oci"));
    json_object_set_new(
        info, "SecurityOptions",
        geteuid() == 0
            ? json_pack("[ss]", "name=seccomp,profile=builtin", "name=cgroupns")
            : json_pack("[sss]", "name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"));
    json_object_set_new(info, "DockerRootDir", json_string(context->root));
    json_object_set_new(info, "LiveRestoreEnabled", json_true());
}

/* ---- for people ---- */

static long long number(const json_t *info, const char *key)
{
    return json_integer_value(json_object_get(info, key));
}

static const char *text(const json_t *info, const char *key)
{
    const char *found = json_string_value(json_object_get(info, key));
    return found ? found : "";
}

static void print_list(const char *heading, const json_t *list)
{
    const json_t *item;
    size_t i;
    printf("%s", heading);
    json_array_foreach(list, i, item) printf(" %s", json_string_value(item));
    putchar('\n');
}

static void print_info(const json_t *info)
{
    const json_t *plugins = json_object_get(info, "Plugins");
    printf("Containers: %lld\n Running: %lld\n Paused: %lld\n Stopped: %lld\nImages: %lld\n",
           number(info, "Containers"), number(info, "ContainersRunning"),
           number(info, "ContainersPaused"), number(info, "ContainersStopped"),
           number(info, "Images"));
    printf("Server Version: %s\nStorage Driver: %s\nLogging Driver: %s\nCgroup Driver: %s\n"
           "Cgroup Version: %s\nPlugins:\n",
           text(info, "ServerVersion"), text(info, "Driver"), text(info, "LoggingDriver"),
           text(info, "CgroupDriver"), text(info, "CgroupVersion"));
    print_list(" Volume:", json_object_get(plugins, "Volume"));
    print_list(" Network:", json_object_get(plugins, "Network"));
    print_list(" Log:", json_object_get(plugins, "Log"));
    printf("Default Runtime: %s\n", text(info, "DefaultRuntime"));
    print_list("Security Options:", json_object_get(info, "SecurityOptions"));
    printf("Kernel Version: %s\nOperating System: %s\nOSType: %s\nArchitecture: %s\nCPUs: %lld\n"
           "Total Memory: %s\nName: %s\nRoot Dir: %s\n",
           text(info, "KernelVersion"), text(info, "OperatingSystem"), text(info, "OSType"),
           text(info, "Architecture"), number(info, "NCPU"),
           human_binary_size((uint64_t)number(info, "MemTotal")).text, text(info, "Name"),
           text(info, "DockerRootDir"));
}

static int show_info(struct cli_context *context, struct engine *engine, struct error *err)
{
    const char *format = command_value(context->line, "format");
    scope_json json_t *info = json_object();
    if (count_containers(engine, info, err) < 0 || count_images(engine, info, err) < 0)
        return -1;
    describe_hull(context, info);
    describe_machine(info);
    if (format)
        return format_print_line(format, info, stdout, err);
    print_info(info);
    return 0;
}

static int run_info(struct cli_context *context, struct error *err)
{
    return engine_verb_run(context, show_info, err);
}

const struct cli_verb cli_info = {
    .command = {.name = "info",
                .aliases = "system info",
                .summary = "show what hull keeps here, and what the machine offers",
                .flags = flags},
    .run = run_info,
};
