# From flags to a container: settings of create's flags, their runtime configuration, and hull-oci
# that runs it.
load container

setup() {
    setup_container
    helpers=$HULL_BUILD/tests/helpers
    root=$bundle/rootfs
    export CGROUPS_PATH=/$id
    echo '{"config": {"Env": ["PATH=/bin", "FROM=image"], "Cmd": ["/bin/sh"]}}' >image.json
    # An own network namespace, so that its kernel parameters can be set.
    ip netns add "$id"
    export NETWORK_NAMESPACE=/run/netns/$id
}

teardown() {
    local left
    for left in $(oci list -q 2>/dev/null); do
        oci delete --force "$left" || true
    done
    ip netns delete "$id"
}

# make FLAG… IMAGE …: writes the bundle's configuration
make() {
    "$helpers/create_settings" "$@" >settings.json &&
        "$helpers/make_spec" 0123456789abcdef "$root" image.json cdi <settings.json \
            >"$bundle/config.json"
}

# inside SCRIPT FLAG…: runs it in a container made with the flags
inside() {
    local script=$1
    shift
    make "$@" image sh -c "$script" || return
    run oci run --bundle "$bundle" "$id" </dev/null
}

@test "the default is as strict as Docker's" {
    inside 'grep -E "^(CapEff|Seccomp|NoNewPrivs):" /proc/self/status'
    succeeded
    contains 'CapEff:	00000000a80425fb' "$output"
    contains 'Seccomp:	2' "$output"
    contains 'NoNewPrivs:	0' "$output"
    inside 'hostname; echo "$HOME $FROM $HOSTNAME"; pwd; id -u; cat /proc/sys/net/ipv4/ip_unprivileged_port_start'
    succeeded
    equals $'0123456789ab\n/root image 0123456789ab\n/\n0\n0' "$output"
    inside 'mount -t tmpfs x /tmp || unshare -m true || hostname x || echo 1 >/proc/sys/vm/swappiness || mknod /tmp/d b 8 0 && cat /tmp/d'
    [ "$status" -ne 0 ]
    inside 'cat /proc/keys /proc/timer_list 2>/dev/null | wc -c; ls /sys/firmware | wc -l'
    equals $'0\n0' "$output"
    inside 'ls /dev | grep -v core | sort | tr "\n" " "'
    equals 'fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ' "$output"
}

@test "user, groups, directory, variables" {
    inside 'id -u; id -g; echo "$HOME"; pwd; echo "$A"' -u user -w /srv -e A=1
    succeeded
    equals $'1000\n1000\n/home/user\n/srv\n1' "$output"
    inside 'id -u; id -G' -u 7:8 --group-add 9 --group-add user
    succeeded
    equals $'7\n8 9 1000' "$output"
    run make -u nobody-known image
    failed_with 1 "user 'nobody-known' is not in the image's /etc/passwd (give a number)"
}

@test "capabilities, privileges and paths" {
    inside 'grep CapEff /proc/self/status' --cap-drop ALL --cap-add NET_RAW
    contains '0000000000002000' "$output"
    inside 'grep -E "^(CapEff|Seccomp|NoNewPrivs):" /proc/self/status; mount -t tmpfs x /tmp' \
        --privileged --security-opt no-new-privileges
    succeeded
    contains 'Seccomp:	0' "$output"
    contains 'NoNewPrivs:	1' "$output"
    inside 'mount -t tmpfs x /tmp && umount /tmp' --cap-add SYS_ADMIN --security-opt \
        systempaths=unconfined
    succeeded
    inside 'touch /x' --read-only
    [ "$status" -ne 0 ]
}

@test "a seccomp profile in Docker's format" {
    cat >profile <<'PROFILE'
{"defaultAction": "SCMP_ACT_ALLOW",
 "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
 "syscalls": [
    {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95,
     "comment": "not known", "includes": {"caps": ["CAP_CHOWN"]}, "excludes": {}},
    {"names": ["rmdir"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_CHOWN"]}}]}
PROFILE
    inside 'mkdir /tmp/a' --security-opt seccomp=profile
    failed_with 1 'Operation not supported'
    inside 'mkdir /tmp/a && ! rmdir /tmp/a' --security-opt seccomp=profile --cap-drop CHOWN
    succeeded
}

@test "mounts of every kind" {
    mkdir given data anonymous
    echo here >given/file
    inside 'cat /a/file; echo x >/b/new; echo y >/a/new; echo z >/t/f; touch /c/f; df -k /s | tail -1; stat -c %a /s' \
        -v "$PWD/given:/a:ro" -v data:/b -v /c --tmpfs /t --mount type=tmpfs,dst=/s,tmpfs-size=1m,tmpfs-mode=700
    contains here "$output"
    contains 'Read-only' "$output"
    contains ' 1024 ' "$output"
    contains $'\n700' "$output"
    [ -e data/new ]
    [ ! -e given/new ]
    inside 'df -k /dev/shm | tail -1' --shm-size 2m
    contains ' 2048 ' "$output"
    inside 'ls -d /dev/shm' --ipc none
    [ "$status" -ne 0 ]
}

@test "limits" {
    inside 'ulimit -n; ulimit -Hn' --ulimit nofile=100:200
    equals $'100\n200' "$output"
    inside 'cat /proc/self/oom_score_adj' --oom-score-adj 300
    equals 300 "$output"
    make -m 64m --pids-limit 20 --cpus 0.5 image sleep 1000
    oci run --detach --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1 3>&-
    local memory pids
    memory=$(cgroup_directory memory) pids=$(cgroup_directory pids)
    equals 67108864 "$(cat "$memory"/memory.limit_in_bytes 2>/dev/null || cat "$memory/memory.max")"
    equals 20 "$(cat "$pids/pids.max")"
}

@test "devices and their rules" {
    inside 'test -c /dev/my-null && echo x >/dev/my-null' --device /dev/null:/dev/my-null:rw
    succeeded
    run make --device /dev/absent image
    failed_with 1 'device /dev/absent: No such file or directory'
    make --device-cgroup-rule 'c 10:* rwm' image
    equals 'c 10 null rwm' "$(jq -r '.linux.resources.devices[-1] | "\(.type) \(.major) \(.minor) \(.access)"' "$bundle/config.json")"
}

@test "an init that reaps, as process 1" {
    command -v catatonit >/dev/null || skip "no catatonit"
    inside 'echo $$; cat /proc/1/comm' --init
    succeeded
    contains 'docker-init' "$output"
}

@test "kernel parameters of the container's own namespaces" {
    inside 'cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax' --sysctl \
        net.ipv4.ip_forward=1 --sysctl kernel.msgmax=10000
    succeeded
    equals $'1\n10000' "$output"
    run make --sysctl vm.swappiness=1 image
    failed_with 1 "HostConfig.Sysctls: 'vm.swappiness' isn't a container's own"
}

@test "CDI devices" {
    mkdir cdi
    cat >cdi/vendor.json <<'CDI'
{"cdiVersion": "0.6.0", "kind": "vendor.com/class",
 "containerEdits": {"env": ["VENDOR=all"]},
 "devices": [{"name": "one", "containerEdits": {
    "env": ["ONE=1"], "deviceNodes": [{"path": "/dev/one", "hostPath": "/dev/zero"}],
    "mounts": [{"hostPath": "/usr/share/doc", "containerPath": "/docs", "options": ["ro", "rbind"]}]}}]}
CDI
    inside 'echo $VENDOR $ONE; test -c /dev/one && test -d /docs' --device vendor.com/class=one
    succeeded
    equals 'all 1' "$output"
    run make --device vendor.com/class=two image
    failed_with 1 "CDI device 'vendor.com/class=two' is not known"
    run make --gpus all image
    failed_with 1 "CDI device 'nvidia.com/gpu=all' is not known"
}

@test "namespaces of the host" {
    inside 'hostname' --uts host
    equals "$(hostname)" "$output"
    make --pid host --ipc host --uts host --cgroupns private image
    equals 'mount network cgroup' "$(jq -r '[.linux.namespaces[].type] | join(" ")' "$bundle/config.json")"
}
