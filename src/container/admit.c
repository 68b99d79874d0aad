#include "container/admit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "container/channel.h"
#include "container/client_socket.h"
#include "container/pid_file.h"
#include "container/process.h"

static int set_oom_score(pid_t pid, const struct config_process *process, struct error *err)
{
    if (!process->oom_score_adj.given)
        return 0;
    char path[48], value[24];
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", pid);
    snprintf(value, sizeof value, "%lld", (long long)process->oom_score_adj.value);
    return file_write_text(AT_FDCWD, path, value, err);
}

static int set_from_outside(pid_t pid, const struct admission *admission, struct error *err)
{
    if (set_oom_score(pid, admission->process, err) < 0)
        return -1;
    if (admission->user_namespace && process_set_rlimits(pid, admission->process, err) < 0)
        return -1;
    if (admission->pid_file && pid_file_write(admission->pid_file, pid, err) < 0)
        return -1;
    return client_socket_send_process(admission->pidfd_socket, pid, err);
}

int admit(const struct attendance *attendance, const struct admission *admission, struct error *err)
{
    int entries[CGROUP_HIERARCHY_MAX];
    if (set_from_outside(attendance->pid, admission, err) < 0)
        return -1;
    int count = cgroup_open_entries(admission->cgroup, admission->enters_v2, entries, err);
    if (count < 0)
        return -1;
    int sent = channel_send_descriptors(attendance->channel, CHANNEL_GO, attendance->pid, entries,
                                        (size_t)count);
    int code = errno;
    for (int i = 0; i < count; i++)
        close(entries[i]);
    return sent < 0 ? error_set(err, code, "the process inside the container died unexpectedly")
                    : 0;
}

int admit_await(int channel, pid_t *outer_pid, struct error *err)
{
    struct channel_message message;
    if (channel_expect(channel, CHANNEL_GO, "the runtime", &message, err) < 0)
        return -1;
    if (outer_pid)
        *outer_pid = message.number;
    /* Descriptors of the cgroups' `tasks`, opened with the runtime's rights: writing "0" moves
     * the writing thread, at a fiftieth of the cost of moving a process from outside. */
    for (size_t i = 0; i < message.descriptor_count; i++) {
        if (write(message.descriptors[i], "0", 1) < 0)
            return error_set(err, errno, "can't enter a cgroup of the container");
        close(message.descriptors[i]);
    }
    return 0;
}

int admit_check_descriptors(int count, struct error *err)
{
    for (int fd = 3; fd < 3 + count; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            return error_set(err, errno, "descriptor %d is to be preserved", fd);
    }
    return 0;
}
