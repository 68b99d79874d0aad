/* What is wrong with settings, said in terms of the flags that made them. */
#include <stdio.h>
#include <string.h>

#include "cli/run_flags.h"

/* Where one path begins another, the longer is first. */
static const struct {
    const char *path, *flag;
} names[] = {
    {"Env", "env"},
    {"ExposedPorts", "expose"},
    {"Healthcheck.Interval", "health-interval"},
    {"Healthcheck.Retries", "health-retries"},
    {"Healthcheck.StartInterval", "health-start-interval"},
    {"Healthcheck.StartPeriod", "health-start-period"},
    {"Healthcheck.Timeout", "health-timeout"},
    {"Healthcheck", "health-cmd"},
    {"HostConfig.AutoRemove", "rm"},
    {"HostConfig.Binds", "volume"},
    {"HostConfig.BlkioDeviceReadBps", "device-read-bps"},
    {"HostConfig.BlkioDeviceReadIOps", "device-read-iops"},
    {"HostConfig.BlkioDeviceWriteBps", "device-write-bps"},
    {"HostConfig.BlkioDeviceWriteIOps", "device-write-iops"},
    {"HostConfig.BlkioWeight", "blkio-weight"},
    {"HostConfig.BlkioWeightDevice", "blkio-weight-device"},
    {"HostConfig.CapAdd", "cap-add"},
    {"HostConfig.CapDrop", "cap-drop"},
    {"HostConfig.CgroupnsMode", "cgroupns"},
    {"HostConfig.CpuPeriod", "cpu-period"},
    {"HostConfig.CpuQuota", "cpu-quota"},
    {"HostConfig.CpuRealtimePeriod", "cpu-rt-period"},
    {"HostConfig.CpuRealtimeRuntime", "cpu-rt-runtime"},
    {"HostConfig.CpuShares", "cpu-shares"},
    {"HostConfig.CpusetCpus", "cpuset-cpus"},
    {"HostConfig.CpusetMems", "cpuset-mems"},
    {"HostConfig.DeviceCgroupRules", "device-cgroup-rule"},
    {"HostConfig.DeviceRequests", "gpus"},
    {"HostConfig.Devices", "device"},
    {"HostConfig.Dns", "dns"},
    {"HostConfig.DnsOptions", "dns-option"},
    {"HostConfig.DnsSearch", "dns-search"},
    {"HostConfig.ExtraHosts", "add-host"},
    {"HostConfig.GroupAdd", "group-add"},
    {"HostConfig.IpcMode", "ipc"},
    {"HostConfig.Engine", "engine"},
    {"HostConfig.Isolation", "isolation"},
    {"HostConfig.Links", "link"},
    {"HostConfig.LogConfig.Config.max-file", "log-opt max-file"},
    {"HostConfig.LogConfig.Config.max-size", "log-opt max-size"},
    {"HostConfig.LogConfig.Config", "log-opt"},
    {"HostConfig.LogConfig.Type", "log-driver"},
    {"HostConfig.Memory", "memory"},
    {"HostConfig.MemoryReservation", "memory-reservation"},
    {"HostConfig.MemorySwap", "memory-swap"},
    {"HostConfig.Mounts", "mount"},
    {"HostConfig.NanoCpus", "cpus"},
    {"HostConfig.NetworkMode", "network"},
    {"HostConfig.PidMode", "pid"},
    {"HostConfig.PidsLimit", "pids-limit"},
    {"HostConfig.PortBindings", "publish"},
    {"HostConfig.PublishAllPorts", "publish-all"},
    {"HostConfig.RestartPolicy", "restart"},
    {"HostConfig.SecurityOpt", "security-opt"},
    {"HostConfig.StorageOpt", "storage-opt"},
    {"HostConfig.Sysctls", "sysctl"},
    {"HostConfig.Tmpfs", "tmpfs"},
    {"HostConfig.UTSMode", "uts"},
    {"HostConfig.Ulimits", "ulimit"},
    {"HostConfig.UsernsMode", "userns"},
    {"HostConfig.VolumeDriver", "volume-driver"},
    {"HostConfig.VolumesFrom", "volumes-from"},
    {"Hostname", "hostname"},
    {"StopSignal", "stop-signal"},
    {"WorkingDir", "workdir"},
};

void run_flags_explain(struct error *err)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t length = strlen(names[i].path), rest = strcspn(err->text, ": ");
        if (strncmp(err->text, names[i].path, length) != 0 || rest < length ||
            err->text[rest] != ':' || !strchr(":.[", err->text[length]))
            continue;
        char text[ERROR_TEXT_SIZE];
        memcpy(text, err->text, sizeof text);
        snprintf(err->text, sizeof err->text, "--%s%.*s", names[i].flag,
                 (int)(sizeof err->text - 64), text + rest);
        return;
    }
}
