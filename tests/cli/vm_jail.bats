# bats file_tags=testbed
# hull-vmm --jail, and its filters of system calls: docs/vm-jail.md.
load vm
modules+=' virtiofs'

user=4711 group=4712

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    mkdir jail
    cp /boot/vmlinuz "$BATS_FILE_TMPDIR/initrd" jail/
    cgroup=/sys/fs/cgroup/hull-jail
}

teardown() {
    [ -z "${monitor:-}" ] || { kill "$monitor" 2>/dev/null; wait "$monitor"; } || true
    [ -z "${server:-}" ] || kill "$server" 2>/dev/null || true
    ip netns delete jail 2>/dev/null || true
    ip address del 172.31.0.1/32 dev lo 2>/dev/null || true
    [ ! -d "$cgroup" ] || wait_until 10 rmdir "$cgroup" 2>/dev/null
}

# The configuration as it is seen from inside, and the commands' disk.
jailed_configuration() {
    commands
    configuration "$1"' | ."boot-source" += {kernel_image_path: "/vmlinuz", initrd_path: "/initrd"}
        | .drives[0].path_on_host = "/commands"'
    cp config commands jail/
}

# In a process of its own, which it becomes.
jailed_vmm() { exec "$VMM" --jail jail --uid "$user" --gid "$group" --config-file /config "$@" </dev/null; }

# field PID NAME: what a line of /proc/PID/status says of all threads, one line if it is the same
field() { cat /proc/"$1"/task/*/status | sed -n "s/^$2:[[:space:]]*//p" | tr '\t' ' ' | sort -u; }

# has_threads PID N: whether it has so many, at least
has_threads() { [ "$(find "/proc/$1/task" -mindepth 1 -maxdepth 1 | wc -l)" -ge "$2" ]; }

api_inside() { (cd jail/run && api "$@"); }

# A namespace for networks with a tap of the user's, and a web server behind it.
network() {
    ip netns add jail
    ip netns exec jail ip tuntap add tap0 mode tap user "$user"
    ip netns exec jail ip address add 172.31.0.1/24 dev tap0
    ip netns exec jail ip link set tap0 up
    mkdir -p served
    head -c 1000000 /dev/urandom >served/file
    ip netns exec jail busybox httpd -f -p 172.31.0.1:8000 -h served 3>&- &
    server=$!
}

# A machine with one of each device, whose guest uses them and says "ready".
start_with_devices() {
    network
    mkdir "$cgroup" jail/shared
    truncate -s 8M jail/disk jail/other
    chown "$user" jail/disk jail/other
    echo "for root" >jail/shared/secret
    chmod 700 jail/shared
    jailed_configuration '.drives += [{drive_id: "disk", path_on_host: "/disk", is_root_device: false,
            is_read_only: false, cache_type: "Writeback", io_engine: "Async"},
            {drive_id: "threads", path_on_host: "/other", is_root_device: false,
            is_read_only: false, cache_type: "Writeback", io_engine: "Sync"}]
        | ."network-interfaces" = [{iface_id: "eth0", host_dev_name: "tap0",
            guest_mac: "06:00:ac:1f:00:02"}] | .entropy = {} | .balloon = {amount_mib: 8,
            deflate_on_oom: true, stats_polling_interval_s: 1}
        | .vsock = {guest_cid: 3, uds_path: "/run/vsock"}
        | .filesystems = [{id: "share", tag: "share", path_on_host: "/shared"}]' <<'END'
ip address add 172.31.0.2/24 dev eth0
ip link set eth0 up
wget -q -O /file http://172.31.0.1:8000/file && echo "received $(md5sum </file)"
cat /file >/dev/vdb
cat /file >/dev/vdc
sync
mount -t virtiofs share /mnt && echo "share: $(cat /mnt/secret)"
echo written >/mnt/reply
echo ready
i=0
while [ $i -lt 300 ]; do i=$((i + 1)); sleep 0.2; done
END
    jailed_vmm --netns /run/netns/jail --cgroup "$cgroup" --new-pid-ns --resource-limit no-file=300 \
        --api-sock /run/api.sock >console 2>&1 3>&- &
    monitor=$!
    wait_until 120 ended_or_says ready
    cat console
    inside=$(pgrep -P "$monitor")
}

ended_or_says() { grep -q "^$1" console || [ ! -e "/proc/$monitor/root/" ]; }

@test "a jailed machine boots with disks, a network and a share, and has nothing else" {
    start_with_devices
    contains "share: for root" "$(cat console)"
    equals written "$(cat jail/shared/reply)"
    contains "received $(md5sum <served/file)" "$(cat console)"
    cmp -n 1000000 served/file jail/disk
    cmp -n 1000000 served/file jail/other

    has_threads "$inside" 4
    equals 2 "$(field "$inside" Seccomp)"
    equals 1 "$(field "$inside" NoNewPrivs)"
    equals "$user $user $user $user" "$(field "$inside" Uid)"
    equals "$group $group $group $group" "$(field "$inside" Gid)"
    equals '' "$(field "$inside" Groups | tr -d ' \n')"
    local kind
    for kind in Inh Prm Eff Bnd Amb; do
        equals 0000000000000000 "$(field "$inside" "Cap$kind")"
    done
    equals "$inside 1" "$(sed -n 's/^NSpid:\t//p' "/proc/$inside/status" | tr '\t' ' ')"
    grep -q '^Max open files *300 *300 ' "/proc/$inside/limits"
    for kind in ipc mnt net pid uts; do
        [ "$(readlink "/proc/$inside/ns/$kind")" != "$(readlink "/proc/self/ns/$kind")" ]
    done
    equals "$(ip netns exec jail readlink /proc/self/ns/net)" "$(readlink "/proc/$inside/ns/net")"
    equals 0::/hull-jail "$(cat "/proc/$inside/cgroup")"
    [ "/proc/$inside/root" -ef jail ]
    equals 'kvm net tun urandom' "$(cd "/proc/$inside/root/dev" &&
        find . -mindepth 1 -not -name userfaultfd -printf '%f\n' | sort | paste -sd ' ')"
    equals '' "$(ls jail/dev)"
    # The process outside has nothing either.
    equals 0000000000000000 "$(field "$monitor" CapPrm)"

    # The API, and a disk replaced.
    cp jail/disk jail/again
    chown "$user" jail/again
    api_inside PATCH /drives/threads '{"drive_id": "threads", "path_on_host": "/again"}'
    api_inside PATCH /drives/disk '{"drive_id": "disk", "path_on_host": "/again"}'
    api_inside GET /balloon/statistics
    run ! api_inside PATCH /drives/threads '{"drive_id": "threads", "path_on_host": "/boot/vmlinuz"}'
    api_inside PUT /actions '{"action_type": "SendCtrlAltDel"}'
    local code=0
    wait "$monitor" || code=$?
    monitor=''
    equals 0 "$code"
    [ ! -e jail/run/api.sock ] && [ ! -e jail/run/vsock ]
}

@test "the user-mode network in a jail; and the monitor ends with the process outside" {
    ip address add 172.31.0.1/32 dev lo
    mkdir served
    echo "over there" >served/file
    busybox httpd -f -p 172.31.0.1:8000 -h served 3>&- &
    server=$!
    jailed_configuration '."network-interfaces" = [{iface_id: "eth0", backend: "User"}]' <<'END'
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2
ping -c 1 10.0.2.2 | grep received
wget -q -O - http://172.31.0.1:8000/file
nslookup host.invalid 10.0.2.3 >/dev/null 2>&1
echo ready
sleep 60
END
    jailed_vmm --no-api --new-pid-ns >console 2>&1 3>&- &
    monitor=$!
    wait_until 120 ended_or_says ready
    cat console
    contains 'over there' "$(cat console)"
    contains '1 packets received' "$(cat console)"
    inside=$(pgrep -P "$monitor")
    equals 2 "$(field "$inside" Seccomp)"
    kill -KILL "$monitor"
    wait "$monitor" || true
    monitor=''
    wait_until 10 test ! -e "/proc/$inside"
}

@test "--no-seccomp; and what can't be jailed is refused in one line" {
    jailed_configuration . <<<'sleep 60'
    run "$VMM" --jail nowhere --uid 1 --gid 1 --no-api --config-file /config
    equals 1 "$status"
    contains "can't use the jail nowhere" "$output"
    run jailed_vmm --no-api --resource-limit no-file=many
    equals 1 "$status"
    contains 'expected fsize=BYTES or no-file=N' "$output"
    run jailed_vmm --no-api --netns /dev/null
    equals 1 "$status"
    contains "can't join the network namespace /dev/null" "$output"
    run setpriv --reuid 1 --clear-groups "$VMM" --jail / --uid 1 --gid 1 --no-api --config-file /config
    equals 1 "$status"
    contains "takes root's rights" "$output"
    # The user can't read it: root's rights over files are gone before the configuration is read.
    chmod 600 jail/commands
    run jailed_vmm --no-api
    equals 152 "$status"
    contains 'Permission denied' "$output"
    chmod 644 jail/commands
    jailed_vmm --no-api --no-seccomp >console 2>&1 3>&- &
    monitor=$!
    wait_until 60 has_threads "$monitor" 2
    equals 0 "$(field "$monitor" Seccomp)"
    equals 1 "$(field "$monitor" NoNewPrivs)"
}
