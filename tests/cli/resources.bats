# linux.resources, update, events, in whatever layout of cgroups the host has.

load container

# A setting by its v1 or v2 name: setting CONTROLLER V1-FILE V2-FILE
setting() {
    local directory
    directory=$(cgroup_directory "$1")
    if [ -e "$directory/$2" ]; then
        cat "$directory/$2"
    else
        cat "$directory/$3"
    fi
}

need() { # CONTROLLER
    [ -d "/sys/fs/cgroup/$1" ] ||
        grep -qw "$1" /sys/fs/cgroup/cgroup.controllers /sys/fs/cgroup/unified/cgroup.controllers 2>/dev/null ||
        skip "the host has no controller $1"
}

is_v1() { [ -d "/sys/fs/cgroup/$1" ]; }

@test "memory: limit, reservation, swap" {
    need memory
    configure '.linux.resources.memory = {limit: 67108864, reservation: 33554432, swap: 67108864}'
    start_container
    equals 67108864 "$(setting memory memory.limit_in_bytes memory.max)"
    equals 33554432 "$(setting memory memory.soft_limit_in_bytes memory.low)"
    oci delete --force "$id"
    configure '.linux.resources.memory = {limit: 33554432, checkBeforeUpdate: true}'
    run_script 'head -c 200000000 /dev/zero | tail | wc -c'
    [[ "$output" != *200000000* ]]
}

@test "cpu: shares, quota, period" {
    need cpu
    configure '.linux.resources.cpu = {shares: 512, quota: 20000, period: 50000}'
    start_container
    if is_v1 cpu; then
        equals 512 "$(cat "$(cgroup_directory cpu)/cpu.shares")"
        equals '20000 50000' "$(cat "$(cgroup_directory cpu)"/cpu.cfs_{quota,period}_us | xargs)"
    else
        equals 20 "$(cat "$(cgroup_directory cpu)/cpu.weight")"
        equals '20000 50000' "$(cat "$(cgroup_directory cpu)/cpu.max")"
    fi
}

@test "cpuset" {
    need cpuset
    configure '.linux.resources.cpu = {cpus: "0", mems: "0"}'
    run_script 'grep -E "Cpus_allowed_list|Mems_allowed_list" /proc/self/status'
    equals $'Cpus_allowed_list:\t0 Mems_allowed_list:\t0' "${lines[*]}"
    configure '.linux.resources.cpu = {cpus: "100000"}'
    run_script true
    failed_with 1 cpus
}

@test "pids: a fork too many fails" {
    need pids
    configure '.linux.resources.pids = {limit: 8}'
    run_script 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 3 & done; echo reached'
    contains 'fork' "$output"
    configure '.linux.resources.pids = {limit: -1}'
    start_container
    equals max "$(setting pids pids.max pids.max)"
}

@test "blkio" {
    if is_v1 blkio; then
        configure '.linux.resources.blockIO = {throttleReadBpsDevice: [{major: $major, minor: $minor, rate: 1048576}]}' \
            --argjson major "$(lsblk -dno MAJ:MIN | head -n 1 | cut -d: -f1 | tr -d ' ')" \
            --argjson minor "$(lsblk -dno MAJ:MIN | head -n 1 | cut -d: -f2 | tr -d ' ')"
        start_container
        contains 1048576 "$(cat "$(cgroup_directory blkio)/blkio.throttle.read_bps_device")"
    else
        need io
        configure '.linux.resources.blockIO = {throttleReadBpsDevice: [{major: $major, minor: $minor, rate: 1048576}]}' \
            --argjson major "$(lsblk -dno MAJ:MIN | head -n 1 | cut -d: -f1 | tr -d ' ')" \
            --argjson minor "$(lsblk -dno MAJ:MIN | head -n 1 | cut -d: -f2 | tr -d ' ')"
        start_container
        contains rbps=1048576 "$(cat "$(cgroup_directory io)/io.max")"
    fi
}

@test "hugetlb" {
    need hugetlb
    configure '.linux.resources.hugepageLimits = [{pageSize: "2MB", limit: 4194304}]'
    start_container
    equals 4194304 "$(setting hugetlb hugetlb.2MB.limit_in_bytes hugetlb.2MB.max)"
    oci delete --force "$id"
    configure '.linux.resources.hugepageLimits = [{pageSize: "3MB", limit: 4194304}]'
    run_script true
    failed_with 1 3MB
}

@test "devices: what isn't allowed can't be opened, nor made" {
    configure '.process.capabilities |= map_values(. + ["CAP_MKNOD"])'
    run_script 'mknod /tmp/null c 1 3 && echo x >/tmp/null && echo null
                mknod /tmp/mem c 1 1; head -c 1 /tmp/mem >/dev/null && echo mem
                mknod /tmp/loop b 7 5; head -c 1 /tmp/loop >/dev/null && echo loop; true'
    contains null "$output"
    [[ "$output" != *$'\n'mem* && "$output" != *loop$'\n'* ]]
    contains 'Operation not permitted' "$output"
}

@test "devices: reading allowed, writing not" {
    [ -c /dev/fuse ] || skip "the host has no /dev/fuse to try it with"
    configure '.process.capabilities |= map_values(. + ["CAP_MKNOD"])
        | .linux.resources.devices = [{allow: false, access: "rwm"},
            {allow: true, type: "c", major: 10, minor: 229, access: "rm"}]'
    run_script 'mknod /tmp/fuse c 10 229; : </tmp/fuse && echo opened; : >>/tmp/fuse'
    [ "$status" != 0 ]
    equals opened "${lines[0]}"
    contains 'not permitted' "$output"
}

@test "an unknown controller's limit is refused before anything runs" {
    configure '.linux.resources.unified = {"memory.nonsense": "1"}'
    run_script 'touch /started'
    failed_with 1 memory.nonsense
    [ ! -e "$bundle/rootfs/started" ]
    equals '' "$(find /sys/fs/cgroup -maxdepth 3 -name "$id")"
}

@test "unified, on the v2 tree that is there" {
    local directory=/sys/fs/cgroup
    [ ! -d /sys/fs/cgroup/unified ] || directory=/sys/fs/cgroup/unified
    [ -e "$directory/cgroup.controllers" ] || skip "the host has no v2 tree"
    configure '.linux.resources.unified = {"cgroup.max.depth": "3"}'
    start_container
    equals 3 "$(cat "$directory$(sed -n 's/^0:://p' "/proc/$(container_pid)/cgroup")/cgroup.max.depth")"
}

@test "cgroupsPath" {
    configure '.linux.cgroupsPath = $path' --arg path "/$HULL_TEST_ID-parent/child"
    start_container
    grep -q "/$HULL_TEST_ID-parent/child$" "/proc/$(container_pid)/cgroup"
    oci delete --force "$id"
    equals '' "$(find /sys/fs/cgroup -maxdepth 3 -path "*$HULL_TEST_ID-parent/child")"
    find /sys/fs/cgroup -maxdepth 2 -name "$HULL_TEST_ID-parent" -exec rmdir {} + 2>/dev/null || true
}

@test "update by flags" {
    need memory
    need pids
    configure '.linux.resources.memory = {limit: 67108864} | .linux.resources.pids = {limit: 50}'
    start_container
    oci update --memory 100M --memory-reservation 50m --pids-limit 77 --cpu-share 256 \
        --cpu-period 100000 --cpu-quota 50000 --cpuset-cpus 0 "$id"
    equals 104857600 "$(setting memory memory.limit_in_bytes memory.max)"
    equals 52428800 "$(setting memory memory.soft_limit_in_bytes memory.low)"
    equals 77 "$(setting pids pids.max pids.max)"
    equals 0 "$(setting cpuset cpuset.cpus cpuset.cpus)"
    if is_v1 cpu; then
        equals '50000 100000' "$(cat "$(cgroup_directory cpu)"/cpu.cfs_{quota,period}_us | xargs)"
    else
        equals '50000 100000' "$(cat "$(cgroup_directory cpu)/cpu.max")"
    fi
    # What isn't given stays; -1 takes a limit away.
    oci update --pids-limit -1 "$id"
    equals max "$(setting pids pids.max pids.max)"
    equals 104857600 "$(setting memory memory.limit_in_bytes memory.max)"
    run oci update --memory lots "$id"
    failed_with 1 --memory
    run oci update --memory 1 "$id-other"
    failed_with 1 "does not exist"
}

@test "update by a file and from standard input; also of a paused container" {
    need pids
    start_container
    echo '{"pids": {"limit": 33}}' >resources.json
    oci update --resources resources.json "$id"
    equals 33 "$(setting pids pids.max pids.max)"
    oci pause "$id"
    echo '{"pids": {"limit": 44}}' | oci update --resources - "$id"
    equals 44 "$(setting pids pids.max pids.max)"
    equals paused "$(container_status)"
    oci resume "$id"
    echo '{"pids": {"limit": "many"}}' >resources.json
    run oci update -r resources.json "$id"
    failed_with 1 pids.limit
}

@test "an update keeps the devices that are allowed" {
    start_container
    oci update --pids-limit 99 "$id"
    equals fine "$(oci exec "$id" sh -c 'echo x >/dev/null && head -c 1 /dev/zero >/dev/null && echo fine')"
}

@test "events --stats" {
    start_container
    oci events --stats "$id" >document
    equals "stats $id" "$(jq -r '"\(.type) \(.id)"' document)"
    jq -e '.data.pids.current >= 1' document
    jq -e '.data.memory.usage.usage > 0' document
    jq -e '.data.cpu.usage.total > 0' document
    run oci events --stats "$id-other"
    failed_with 1 "does not exist"
}

@test "events: statistics in an interval, running out of memory, and the end" {
    need memory
    configure '.linux.resources.memory = {limit: 33554432, swap: 33554432}'
    start_container
    in_background oci events --interval 50ms "$id"
    wait_until 5 grep -q '"type":"stats"' "$BATS_TEST_TMPDIR/background"
    run oci exec "$id" sh -c 'head -c 200000000 /dev/zero | tail'
    wait_until 10 grep -q "{\"type\":\"oom\",\"id\":\"$id\"}" "$BATS_TEST_TMPDIR/background"
    oci kill "$id" KILL
    ended() { ! kill -0 "${started[0]}" 2>/dev/null; }
    wait_until 5 ended
    wait "${started[0]}"
    started=()
    run oci events --interval nonsense "$id"
    failed_with 1 --interval
}
