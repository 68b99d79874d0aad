# A container can't signal, trace or outlive its limits.

load attack

setup_file() {
    make_image keys privileges spawn
}

setup() {
    begin_attack
}

teardown() {
    end_attack
    # Whatever a test made is gone with its container, as soon as somebody has reaped it.
    wait_until 5 has_processes 0
}

# The processes in cgroups of this test's containers.
list_processes() {
    grep -l "$id" /proc/[0-9]*/cgroup 2>/dev/null || true
}

count_processes() {
    list_processes | wc -l
}

has_processes() { # NUMBER
    [ "$(count_processes)" = "$1" ]
}

@test "processes outside can't be signalled" {
    sleep 60 3>&- &
    local outside=$!
    run run_container "kill -9 $outside; kill -9 $PPID; kill -9 -1; echo still here"
    echo "$output"
    [[ "$output" == *"still here"* ]]
    kill -0 "$outside"
    # Even where they are seen: root inside has not CAP_KILL here.
    setpriv --reuid 4711 --clear-groups sleep 60 3>&- &
    local other=$!
    wait_until 5 grep -q '^Uid:.4711' "/proc/$other/status"
    run run_container "kill -9 $other; kill -9 1" 'del(.linux.namespaces[] |
        select(.type == "pid")) | .process.user = {uid: 4712, gid: 4712} |
        .process.capabilities = {}'
    [ "$status" -ne 0 ]
    kill -0 "$other"
    kill "$outside" "$other"
}

@test "a fork bomb ends at pids.limit" {
    start_container '/attack/spawn 500' '.linux.resources.pids.limit = 20'
    wait_until 10 grep -q made output
    cat output
    [ "$(sed 's/made //' output)" -lt 20 ]
    [ "$(count_processes)" -le 20 ]
    # exec counts, too.
    run hull exec "$id" sh -c 'true & true & true & wait; echo more' </dev/null
    [[ "$output" != *more* ]]
    hull delete --force "$id"
    wait_until 5 has_processes 0
}

@test "delete --force ends processes that detach and ignore all signals" {
    start_container '/attack/spawn 10; true'
    wait_until 10 has_processes 12
    hull delete --force "$id"
    wait_until 5 has_processes 0
}

@test "also without a pid namespace, where nothing dies with the first process" {
    start_container '/attack/spawn 10; true' 'del(.linux.namespaces[] | select(.type == "pid"))'
    wait_until 10 has_processes 12
    kill -KILL "$(hull state "$id" | jq .pid)"
    wait_until 5 sh -c "$HULL_OCI --root $state state $id | grep -q stopped"
    [ "$(count_processes)" -ge 10 ]
    hull delete "$id"
    wait_until 5 has_processes 0
}

@test "the memory limit kills inside, and nobody else" {
    start_container 'exec sleep 60'
    run run_with_limit
    echo "$output"
    [ "$status" -eq 137 ]
    hull state "$id" | grep -q running
    hull delete --force "$id"
}

run_with_limit() {
    configure "$(script 'exec tail -c 200000000 /dev/zero') | .linux.resources.memory =
        {limit: 33554432, swap: 33554432}"
    hull run --bundle "$bundle" "$id-hungry" </dev/null
}

@test "a device that the rules don't allow can be made but not opened" {
    local number
    number=$(cat /sys/block/*/dev | head -n 1 | tr : ' ')
    [ -n "$number" ] || skip "no block device"
    run run_container "mknod /dev/disk b $number && test -b /dev/disk && echo made;
        head -c 1 /dev/disk | wc -c; echo >/dev/disk" \
        '.process.capabilities |= map_values(. + ["CAP_MKNOD"])'
    echo "$output"
    [[ "$output" == *made* ]]
    [[ "$output" == *"ot permitted"*"0"*"ot permitted"* ]]
}

@test "cgroups can't be written to or left from inside" {
    run run_container 'cd /sys/fs/cgroup; for file in $(find . -name tasks -o -name cgroup.procs \
            -o -name memory.limit_in_bytes -o -name release_agent -o -name notify_on_release); do
            sh -c "echo 1 >$file" 2>/dev/null && echo "wrote $file"; done
        mkdir new */new 2>/dev/null && echo made; mount -o remount,rw . && echo remounted
        mount -t cgroup -o memory cgroup /tmp && echo mounted; true'
    echo "$output"
    [[ "$output" != *wrote* && "$output" != *made* && "$output" != *mounted* ]]
}

@test "namespaces of the host's can't be joined" {
    run run_container 'readlink /proc/1/ns/mnt; nsenter -t 1 -m -n -i -u true && echo joined
        unshare -m true && echo unshared; true'
    echo "$output"
    [[ "$output" != *"$(readlink /proc/self/ns/mnt)"* && "$output" != *joined* &&
        "$output" != *unshared* ]]
    # Nor where the host's first process is seen.
    run run_container 'readlink /proc/1/ns/mnt /proc/1/root && echo looked
        nsenter -t 1 -m true && echo joined; true' \
        'del(.linux.namespaces[] | select(.type == "pid"))'
    echo "$output"
    [[ "$output" != *looked* && "$output" != *joined* ]]
}

@test "the caller's session keyring stays outside" {
    configure '.process.args = ["/attack/keys", "find", "hull-secret"]'
    run "$attack/keys" hold hull-secret "$attack/keys" find hull-secret
    [[ "$output" == found* ]] # so it can be found
    run "$attack/keys" hold hull-secret "$HULL_OCI" --root "$state" run --bundle "$bundle" "$id" 3>&-
    echo "$output"
    [ "$status" -ne 0 ]
    [[ "$output" != *found* ]]
    start_container 'exec sleep 60'
    run "$attack/keys" hold hull-secret "$HULL_OCI" --root "$state" exec "$id" \
        /attack/keys find hull-secret 3>&-
    echo "$output"
    [ "$status" -ne 0 ]
    [[ "$output" != *found* ]]
}

@test "nor does it come in when the container has used up its user's keys" {
    chmod 755 "$image/attack" "$image/attack/keys"
    # A user of its own, whose quota is nobody else's.
    local map='[{containerID: 0, hostID: 790000, size: 10}]'
    start_container '/attack/keys exhaust' ".linux.namespaces += [{type: \"user\"}] |
        .linux.uidMappings = $map | .linux.gidMappings = $map"
    wait_until 10 grep -q exhausted output
    run "$attack/keys" hold hull-secret "$HULL_OCI" --root "$state" exec "$id" \
        /attack/keys find hull-secret 3>&-
    echo "$output"
    [ "$status" -ne 0 ]
    [[ "$output" != *found* ]]
}

@test "set-user-ID programs give nothing that no_new_privs or the bounding set denies" {
    chmod 4755 "$image/attack/privileges"
    local user='.process.user = {uid: 1000, gid: 1000}'
    run run_container 'exec /attack/privileges' "$user"
    [ "$output" = "1000 1000 0 20000420" ]
    # Without no_new_privs it is root, with what the bounding set leaves.
    run run_container 'exec /attack/privileges' "$user | .process.noNewPrivileges = false"
    [ "$output" = "1000 0 20000420 20000420" ]
    run run_container 'exec /attack/privileges' '.process.capabilities = {}'
    [ "$output" = "0 0 0 0" ]
    start_container 'exec sleep 60' '.process.noNewPrivileges = false'
    run hull exec --user 1000 "$id" /attack/privileges
    [ "$output" = "1000 0 20000420 20000420" ]
    run hull exec --user 1000 --no-new-privs "$id" /attack/privileges
    [ "$output" = "1000 1000 0 20000420" ]
}

@test "seccomp answers EPERM by default, or as told" {
    local profile='.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls:
        [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO"}]}'
    run run_container 'mkdir /tmp/new' "$profile"
    echo "$output"
    [[ "$output" == *"Operation not permitted"* ]]
    run run_container 'mkdir /tmp/new' "$profile | .linux.seccomp.syscalls[0].errnoRet = 28"
    echo "$output"
    [[ "$output" == *"No space left"* ]]
    start_container 'exec sleep 60' "$profile"
    run hull exec "$id" mkdir /tmp/new
    [[ "$output" == *"Operation not permitted"* ]]
}
