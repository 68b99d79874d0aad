#include "vm/libraries.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/installation.h"
#include "base/scope.h"
#include "vm/control/http.h"
#include "vm/device/net_slirp.h"

/* Whether the machine may get a user-mode network: the configuration, which is read and checked
 * later (in the jail), has the word or could spell it in another way; without one the API can ask
 * for it. */
static bool wants_user_network(const struct vm_options *options)
{
    const char *jail = options->jail.directory;
    if (!options->config_file)
        return options->api_socket;
    scope_close int root = open(jail ? jail : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    scope_close int file = file_open_resolved(root, options->config_file, O_RDONLY | O_NONBLOCK, 0,
                                              jail ? RESOLVE_IN_ROOT : 0);
    struct error err = {0};
    scope_free char *text =
        file < 0 ? NULL : file_read_all_fd(file, "the configuration", 1 << 20, NULL, &err);
    return !text || strstr(text, "User") || strchr(text, '\\');
}

int libraries_load(const struct vm_options *options, struct error *err)
{
    if (options->api_socket && api_server_prepare(err) < 0)
        return -1;
    if (wants_user_network(options))
        net_slirp_prepare(); /* if it is there; who then asks for it is told */
    return 0;
}

#ifdef VM_DYNAMIC_PROGRAM

int libraries_provide(const struct vm_options *options, char **argv, struct error *err)
{
    static const char *const built[] = {"hull-vmm-dynamic", NULL};
    if (!wants_user_network(options))
        return 0;
    scope_free char *program = installation_find(built, VM_DYNAMIC_PROGRAM);
    execv(program, argv);
    return error_set(err, errno,
                     "user-mode networks need %s, which can't be executed (install hull again)",
                     program);
}

#else

int libraries_provide(const struct vm_options *options, char **argv, struct error *err)
{
    (void)options, (void)argv, (void)err;
    return 0;
}

#endif
