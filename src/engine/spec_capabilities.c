/* Which capabilities the program has. */
#include <linux/capability.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/spec_internal.h"
#include "oci/config.h"

/* Docker's default: what programs that are root in their own container commonly need, and none that
 * reaches the host. */
static const char *const defaults[] = {
    "CAP_AUDIT_WRITE", "CAP_CHOWN",   "CAP_DAC_OVERRIDE",     "CAP_FOWNER",     "CAP_FSETID",
    "CAP_KILL",        "CAP_MKNOD",   "CAP_NET_BIND_SERVICE", "CAP_NET_RAW",    "CAP_SETFCAP",
    "CAP_SETGID",      "CAP_SETPCAP", "CAP_SETUID",           "CAP_SYS_CHROOT",
};

/* All that hull has itself, for nobody can give more. */
static uint64_t all_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    uint64_t set = 0, permitted = UINT64_MAX;
    if (syscall(SYS_capget, &header, data) == 0)
        permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
    for (int i = 0; i < 64; i++)
        if (config_capability_name(i) && prctl(PR_CAPBSET_READ, (unsigned long)i, 0, 0, 0) == 1)
            set |= (uint64_t)1 << i;
    return set & permitted;
}

static uint64_t default_capabilities(void)
{
    uint64_t set = 0;
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        set |= (uint64_t)1 << config_capability_number(defaults[i]);
    return set;
}

/* The set that a list of names is, and whether ALL is among them. */
static int read_set(const struct spec *spec, const char *key, uint64_t *set, bool *all)
{
    const json_t *name;
    size_t i;
    *set = 0;
    *all = false;
    json_array_foreach(json_object_get(spec->host, key), i, name)
    {
        const char *text = json_string_value(name);
        int number = config_capability_number(text);
        if (strcasecmp(text, "ALL") == 0)
            *all = true;
        else if (number < 0)
            return error_set(spec->err, 0, "HostConfig.%s: there is no capability '%.64s'", key,
                             text);
        else
            *set |= (uint64_t)1 << number;
    }
    return 0;
}

/* What is named counts more than ALL; what is named in both is added. */
static int choose(const struct spec *spec, uint64_t *chosen)
{
    uint64_t added, dropped;
    bool add_all, drop_all;
    if (read_set(spec, "CapAdd", &added, &add_all) < 0 ||
        read_set(spec, "CapDrop", &dropped, &drop_all) < 0)
        return -1;
    if (spec->privileged)
        *chosen = all_capabilities();
    else if (add_all)
        *chosen = (all_capabilities() & ~dropped) | added;
    else if (drop_all)
        *chosen = added;
    else
        *chosen = (default_capabilities() & ~dropped) | added;
    return 0;
}

int spec_add_capabilities(struct spec *spec)
{
    uint64_t set;
    if (choose(spec, &set) < 0)
        return -1;
    json_t *names = json_array();
    for (int i = 0; i < 64; i++)
        if (set & (uint64_t)1 << i)
            json_array_append_new(names, json_string(config_capability_name(i)));
    json_t *sets = spec_map(spec->process, "capabilities");
    json_object_set(sets, "bounding", names);
    json_object_set(sets, "effective", names);
    json_object_set_new(sets, "permitted", names);
    spec->capabilities = names;
    return 0;
}
