#include "container/attend.h"

#include <errno.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/scope.h"
#include "container/channel.h"
#include "container/seccomp.h"
#include "container/state.h"

int attend_listener(int channel, pid_t pid, int listener, const struct config *config,
                    const json_t *header, struct error *err)
{
    const struct config_seccomp *seccomp = config->linux_section.seccomp;
    /* Taken, not sent: by now each system call of the process may have to be answered by the
     * agent that is still waiting for this descriptor. */
    scope_close int pidfd = pidfd_open(pid, 0);
    scope_close int fd = pidfd < 0 ? -1 : pidfd_getfd(pidfd, listener, 0);
    if (fd < 0)
        return error_set(err, errno, "can't fetch the seccomp listener");
    json_t *state = state_document(header, "creating", pid);
    int result = seccomp_send_listener(seccomp->listener_path, fd, config->oci_version, pid,
                                       seccomp->listener_metadata, state, err);
    json_decref(state);
    if (result == 0 && channel_send(channel, CHANNEL_GO, 0) < 0)
        result = error_set(err, errno, "the process that waits for its seccomp agent died");
    return result;
}

bool attend_was_killed(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == pid && info.si_code != CLD_EXITED;
}
