# Namespaces: new ones, those of others by path, user namespaces, rootless and nested; time.

load container

own() { readlink "/proc/self/ns/$1"; }

@test "each kind is new where it is listed, and the caller's where it isn't" {
    local kind
    configure '.linux.namespaces |= (map(select(.type != "cgroup")) + [{type: "time"}, {type: "cgroup"}])'
    start_container
    for kind in cgroup ipc mnt net pid time uts; do
        [ "$(own $kind)" != "$(readlink "/proc/$(container_pid)/ns/$kind")" ]
    done
    equals "$(own user)" "$(readlink "/proc/$(container_pid)/ns/user")"
    oci delete --force "$id"
    configure '.linux.namespaces = [{type: "mount"}] | del(.hostname)
        | .mounts |= map(select(.type != "sysfs" and .type != "mqueue"))'
    start_container
    for kind in cgroup ipc net pid time uts user; do
        equals "$(own $kind)" "$(readlink "/proc/$(container_pid)/ns/$kind")"
    done
}

@test "each kind can be another container's, by path" {
    local kind first
    configure '.linux.namespaces += [{type: "time"}]'
    start_container
    first=$(container_pid)
    id=$id-second
    configure '.linux.namespaces |= map(
        if .type == "mount" then . else .path = "/proc/\($pid)/ns/" + (if .type == "network" then "net" else .type end) end)
        | del(.hostname)' --arg pid "$first"
    start_container
    for kind in cgroup ipc net pid time uts; do
        equals "$(readlink "/proc/$first/ns/$kind")" "$(readlink "/proc/$(container_pid)/ns/$kind")"
        equals "$(readlink "/proc/$first/ns/$kind")" "$(oci exec "$id" readlink "/proc/self/ns/$kind")"
    done
    [ "$(readlink "/proc/$first/ns/mnt")" != "$(readlink "/proc/$(container_pid)/ns/mnt")" ]
}

@test "a user namespace by path, and those that belong to it" {
    local first kind
    map_users
    start_container
    first=$(container_pid)
    id=$id-second
    configure '.linux.namespaces |= map(
        if .type == "mount" then . else .path = "/proc/\($pid)/ns/" + (if .type == "network" then "net" else .type end) end)
        | del(.hostname) | del(.linux.uidMappings, .linux.gidMappings)' --arg pid "$first"
    start_container
    for kind in cgroup ipc net pid user uts; do
        equals "$(readlink "/proc/$first/ns/$kind")" "$(readlink "/proc/$(container_pid)/ns/$kind")"
    done
    equals 0 "$(oci exec "$id" id -u)"
}

@test "paths that are no namespaces, or of the wrong kind" {
    configure '.linux.namespaces |= map(if .type == "ipc" then .path = "/etc/passwd" else . end)'
    run_script true
    failed_with 1 "/etc/passwd"
    configure '.linux.namespaces |= map(if .type == "ipc" then .path = "/proc/self/ns/uts" else . end)'
    run_script true
    failed_with 1 "ipc"
    configure '.linux.namespaces |= map(if .type == "ipc" then .path = "/missing" else . end)'
    run_script true
    failed_with 1 "/missing"
    equals '' "$(oci list -q)"
}

@test "hostname, domainname, and a loopback that is up" {
    configure '.hostname = "box" | .domainname = "example.org"
        | .process.capabilities |= map_values(. + ["CAP_NET_RAW"])'
    run_script 'hostname; cat /proc/sys/kernel/domainname; ping -c 1 -W 1 127.0.0.1 >/dev/null && echo up'
    equals 'box example.org up' "${lines[*]}"
}

# The container's ids 0 … 65535 are the host's 100000 … 165535.
map_users() {
    configure '.linux.namespaces += [{type: "user"}]
        | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}]
        | .linux.gidMappings = [{containerID: 0, hostID: 200000, size: 65536}]'
    chmod 755 "$BATS_TEST_TMPDIR" "$BATS_RUN_TMPDIR" 2>/dev/null || true
    chown -R 100000:200000 "$bundle/rootfs"
}

@test "a user namespace with mappings" {
    map_users
    run_script 'id -u; cat /proc/self/uid_map /proc/self/gid_map; touch /made; stat -c %u /etc/passwd; cat /proc/self/setgroups'
    succeeded
    equals '0' "${lines[0]}"
    equals '0 100000 65536' "$(xargs <<<"${lines[1]}")"
    equals '0 200000 65536' "$(xargs <<<"${lines[2]}")"
    equals '0' "${lines[3]}"
    equals allow "${lines[4]}"
    equals '100000:200000' "$(stat -c %u:%g "$bundle/rootfs/made")"
}

@test "a user namespace: another user, groups, capabilities, rlimits, exec" {
    map_users
    configure '.process.user = {uid: 1000, gid: 1000, additionalGids: [5]}
        | .process.rlimits = [{type: "RLIMIT_NOFILE", soft: 64, hard: 128}]'
    start_container
    equals 101000 "$(stat -c %u "/proc/$(container_pid)")"
    equals 'uid=1000(user) gid=1000(user) groups=5(tty)' "$(oci exec "$id" id)"
    equals 64 "$(oci exec "$id" sh -c 'ulimit -n')"
    equals "$(readlink "/proc/$(container_pid)/ns/user")" "$(oci exec "$id" readlink /proc/self/ns/user)"
    equals "$(readlink "/proc/$(container_pid)/ns/mnt")" "$(oci exec "$id" readlink /proc/self/ns/mnt)"
    equals 0 "$(oci exec --user 0 "$id" id -u)"
}

@test "a user namespace: devices, tmpfs, bind mounts that its root can't reach, terminal" {
    map_users
    mkdir -m 700 secret
    echo inside >secret/file
    chmod 644 secret/file
    configure '.process.terminal = true | .mounts += [{destination: "/given", type: "bind",
        source: $source, options: ["rbind", "ro"]}]' --arg source "$BATS_TEST_TMPDIR/secret/file"
    run_script 'echo x >/dev/null; cat /given; [ -c /dev/zero ] && tty; stat -c %u /dev/pts/0'
    succeeded
    equals 'inside /dev/pts/0 0' "${lines[*]}"
}

@test "time offsets" {
    configure '.linux.namespaces += [{type: "time"}]
        | .linux.timeOffsets = {boottime: {secs: 1000000}, monotonic: {secs: 5, nanosecs: 7}}'
    run_script 'cut -d . -f 1 /proc/uptime; cat /proc/self/timens_offsets'
    succeeded
    [ "${lines[0]}" -ge 1000000 ]
    equals 'monotonic 5 7' "$(xargs <<<"${lines[1]}")"
    equals 'boottime 1000000 0' "$(xargs <<<"${lines[2]}")"
}

@test "time offsets together with a user namespace, and in exec" {
    map_users
    configure '.linux.namespaces += [{type: "time"}] | .linux.timeOffsets = {boottime: {secs: 2000000}}'
    start_container
    [ "$(oci exec "$id" cut -d . -f 1 /proc/uptime)" -ge 2000000 ]
    [ "$(cut -d . -f 1 /proc/uptime)" -lt 2000000 ]
}

# An ordinary user with a home of its own: runs hull-oci as uid 54321.
as_user() {
    setpriv --reuid 54321 --regid 54321 --clear-groups \
        env HOME="$BATS_TEST_TMPDIR/home" XDG_RUNTIME_DIR="$BATS_TEST_TMPDIR/home/run" PATH="$PATH" "$@"
}

make_user() {
    # The source may be in root's home, where that user can't enter.
    cp "$HULL_OCI" "$BATS_TEST_TMPDIR/hull-oci"
    HULL_OCI=$BATS_TEST_TMPDIR/hull-oci
    chmod 711 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR"
    setpriv --reuid 54321 --regid 54321 --clear-groups test -x "$HULL_OCI" ||
        skip "an ordinary user can't reach $HULL_OCI"
    setpriv --reuid 54321 --regid 54321 --clear-groups unshare --user true ||
        skip "the host keeps ordinary users from making user namespaces"
    chmod 755 "$BATS_TEST_TMPDIR" "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test" 2>/dev/null || true
    mkdir -p home/run
    rm "$bundle/config.json"
    chown -R 54321:54321 home "$bundle"
    as_user "$HULL_OCI" spec --rootless --bundle "$bundle"
    configure '.process.terminal = false | .root.readonly = false'
    chown -R 54321:54321 "$bundle"
}

@test "rootless: an ordinary user's own container" {
    make_user
    use_script 'id -u; touch /made; hostname; echo x >/dev/null; cat /proc/self/setgroups'
    run as_user "$HULL_OCI" run --bundle "$bundle" "$id" </dev/null
    succeeded
    equals "0 $(jq -r .hostname "$bundle/config.json") deny" "${lines[*]}"
    equals 54321 "$(stat -c %u "$bundle/rootfs/made")"
    # Its state is below XDG_RUNTIME_DIR.
    [ -d home/run/hull-oci ]
}

@test "rootless: limits that nothing can enforce are told" {
    make_user
    configure '.linux.resources = {pids: {limit: 100}} | .process.args = ["/bin/true"]'
    install -d -o 54321 home/log
    as_user "$HULL_OCI" --log "$PWD/home/log/log" run --bundle "$bundle" "$id" </dev/null
    contains 'level=warning msg="linux.resources is without effect: no cgroup may be made here' \
        "$(cat home/log/log)"
}

@test "rootless: create, start, exec, kill, delete" {
    make_user
    configure '.process.args = ["/bin/sleep", "1000"]'
    as_user "$HULL_OCI" create --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1 3>&-
    as_user "$HULL_OCI" start "$id"
    equals running "$(as_user "$HULL_OCI" state "$id" | jq -r .status)"
    equals 54321 "$(stat -c %u "/proc/$(as_user "$HULL_OCI" state "$id" | jq .pid)")"
    equals 0 "$(as_user "$HULL_OCI" exec "$id" id -u)"
    run as_user "$HULL_OCI" exec "$id" sh -c 'exit 9'
    equals 9 "$status"
    as_user "$HULL_OCI" list >table
    contains "$id" "$(cat table)"
    as_user "$HULL_OCI" delete --force "$id"
    equals '' "$(as_user "$HULL_OCI" list -q)"
}

@test "rootless: more ids by newuidmap and newgidmap" {
    command -v newuidmap >/dev/null || skip "no newuidmap"
    make_user
    configure '.linux.uidMappings += [{containerID: 1, hostID: 300000, size: 1000}]
        | .linux.gidMappings += [{containerID: 1, hostID: 400000, size: 1000}]
        | .process.args = ["/bin/sh", "-c", "cat /proc/self/uid_map; id -u; id -G"]
        | .process.user = {uid: 500, gid: 500, additionalGids: [7]}'
    # The user and its ranges exist in this mount namespace only.
    cat >private <<'END'
set -e
mount --make-rprivate /
{ cat /etc/passwd; echo "hulltest:x:54321:54321::/:/bin/sh"; } >passwd
mount --bind passwd /etc/passwd
for kind in uid gid; do
    [ -e /etc/sub$kind ] || exit 77
    [ $kind = uid ] && first=300000 || first=400000
    echo "hulltest:$first:1000" >sub$kind
    mount --bind sub$kind /etc/sub$kind
done
exec setpriv --reuid 54321 --regid 54321 --clear-groups env HOME="$PWD/home" XDG_RUNTIME_DIR="$PWD/home/run" "$@"
END
    run unshare --mount bash private "$HULL_OCI" run --bundle "$bundle" "$id" </dev/null
    [ "$status" != 77 ] || skip "no /etc/subuid to put a private one over"
    succeeded
    equals '0 54321 1 1 300000 1000 500 500 7' "$(xargs <<<"$output")"
}

@test "rootless: ids that nobody granted are refused in so many words" {
    make_user
    configure '.linux.uidMappings = [{containerID: 0, hostID: 0, size: 10}]'
    run as_user "$HULL_OCI" run --bundle "$bundle" "$id" </dev/null
    equals 1 "$status"
    contains newuidmap "$output"
    equals '' "$(as_user "$HULL_OCI" list -q)"
}

@test "nested: hull-oci inside a container with a user namespace" {
    map_users
    # What hull-oci and its libraries need, and a bundle of its own.
    local library
    mkdir -p "$bundle/rootfs/inner" "$bundle/rootfs/run"
    cp -a "$BATS_FILE_TMPDIR/template/rootfs" "$bundle/rootfs/inner/"
    cp "$HULL_OCI" "$bundle/rootfs/bin/hull-oci"
    for library in $(ldd "$HULL_OCI" | grep -o '/[^ ]*'); do
        mkdir -p "$bundle/rootfs/$(dirname "$library")"
        cp -L "$library" "$bundle/rootfs/$library"
    done
    jq '.process.args = ["/bin/sh", "-c", "echo nested; id -u; cat /proc/self/uid_map; readlink /proc/self/ns/pid"]
        | .linux.namespaces += [{type: "user"}]
        | .linux.uidMappings = [{containerID: 0, hostID: 0, size: 1000}]
        | .linux.gidMappings = [{containerID: 0, hostID: 0, size: 1000}]
        | .linux.resources = {}' "$BATS_FILE_TMPDIR/template/config.json" >"$bundle/rootfs/inner/config.json"
    chown -R 100000:200000 "$bundle/rootfs"
    # A nested procfs needs one that nothing covers (mount_too_revealing() in the kernel).
    configure '.linux.maskedPaths = [] | .linux.readonlyPaths = []
        | .process.capabilities |= map_values($all) | .process.env += ["ASAN_OPTIONS=detect_leaks=0"]
        | .mounts += [{destination: "/run", type: "tmpfs", source: "tmpfs", options: ["mode=755"]}]' \
        --argjson all "$(oci features | jq .linux.capabilities)"
    run_script 'hull-oci --root /run/state run --bundle /inner inner'
    succeeded
    equals 'nested' "${lines[0]}"
    equals 0 "${lines[1]}"
    equals '0 0 1000' "$(xargs <<<"${lines[2]}")"
}
