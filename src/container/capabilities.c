#include "container/capabilities.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int capabilities_drop_bounding(uint64_t keep, struct error *err)
{
    for (int number = 0; number < 64; number++) {
        if (keep & (UINT64_C(1) << number))
            continue;
        if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0)
            continue;
        if (errno == EINVAL) /* beyond the kernel's last capability */
            break;
        return error_set(err, errno, "can't drop capability %d from the bounding set", number);
    }
    return 0;
}

static int set_ambient(uint64_t ambient, struct error *err)
{
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return error_set(err, errno, "can't clear the ambient capabilities");
    for (int number = 0; number < 64; number++) {
        if (!(ambient & (UINT64_C(1) << number)))
            continue;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) < 0)
            return error_set(err, errno, "can't raise %s in the ambient set",
                             config_capability_name(number));
    }
    return 0;
}

int capabilities_set(const struct config_capabilities *capabilities, uint64_t keep_permitted,
                     struct error *err)
{
    const uint64_t *sets = capabilities->sets;
    uint64_t effective = sets[CONFIG_CAPABILITY_EFFECTIVE] | keep_permitted;
    uint64_t permitted = sets[CONFIG_CAPABILITY_PERMITTED] | keep_permitted;
    uint64_t inheritable = sets[CONFIG_CAPABILITY_INHERITABLE];
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[2];
    for (int half = 0; half < 2; half++) {
        data[half].effective = (uint32_t)(effective >> (32 * half));
        data[half].permitted = (uint32_t)(permitted >> (32 * half));
        data[half].inheritable = (uint32_t)(inheritable >> (32 * half));
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return error_set(err, errno, "can't set the capabilities");
    /* The kernel raises only what is permitted and inheritable too. Configurations ask for more
     * (`runc spec` writes such ones), and runc passes it over. */
    return set_ambient(sets[CONFIG_CAPABILITY_AMBIENT] & permitted & inheritable, err);
}
