#!/usr/bin/env bats
# containerd with hull-oci in runc's place, behind containerd's own shim. The containerd here is
# a private one, and its containers are in a cgroup of their own.
bats_require_minimum_version 1.5.0
load clients

setup_file() {
    require_client containerd containerd && require_client busybox busybox-static &&
        require_client jq jq || return 0
    find_runtime
    export directory=$BATS_FILE_TMPDIR BATS_TEST_TIMEOUT=120
    export parent=${HULL_TEST_ID:-hull}-containerd$$
    cat >"$directory/config.toml" <<END
version = 2
root = "$directory/root"
state = "$directory/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]
[grpc]
address = "$directory/socket"
END
    make_image
    containerd --config "$directory/config.toml" >"$directory/log" 2>&1 3>&- &
    export daemon=$!
    eventually c version >/dev/null 2>&1
    c image import --snapshotter native "$directory/image.tar" >/dev/null
}

# make_image: an OCI image layout in a tar file, for there is no registry to pull from
make_image() {
    local image=$directory/image layer config manifest
    mkdir -p "$image/blobs/sha256"
    make_root "$directory/rootfs"
    tar -C "$directory/rootfs" -cf "$directory/layer" .
    layer=$(blob "$directory/layer")
    jq -n --argjson layer "$layer" '{architecture: "amd64", os: "linux",
        config: {Cmd: ["/bin/sh"], Env: ["PATH=/bin", "IMAGE=box"]},
        rootfs: {type: "layers", diff_ids: [$layer.digest]}}' >"$directory/config"
    config=$(blob "$directory/config")
    jq -n --argjson layer "$layer" --argjson config "$config" '{schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: ({mediaType: "application/vnd.oci.image.config.v1+json"} + $config),
        layers: [{mediaType: "application/vnd.oci.image.layer.v1.tar"} + $layer]}' \
        >"$directory/manifest"
    manifest=$(blob "$directory/manifest")
    jq -n --argjson manifest "$manifest" '{schemaVersion: 2, manifests: [
        {mediaType: "application/vnd.oci.image.manifest.v1+json",
         annotations: {"io.containerd.image.name": "test/box:latest"}} + $manifest]}' \
        >"$image/index.json"
    echo '{"imageLayoutVersion": "1.0.0"}' >"$image/oci-layout"
    tar -C "$image" -cf "$directory/image.tar" .
}

# blob FILE: puts the file among the image's blobs, and prints its digest and size
blob() {
    local digest
    digest=$(sha256sum "$1" | cut -d' ' -f1)
    jq -n --arg digest "sha256:$digest" --argjson size "$(stat -c %s "$1")" '{$digest, $size}'
    mv "$1" "$directory/image/blobs/sha256/$digest"
}

teardown_file() {
    [ -z "${skip_reason:-}" ] || return 0
    [ -n "${daemon:-}" ] || return 0 # setup_file failed before it made anything
    kill "$daemon"
    gone() { ! kill -0 "$daemon" 2>/dev/null; }
    eventually gone
    remove_cgroups "$parent"
    # The shims' sockets were here; another containerd's stay.
    rmdir --ignore-fail-on-non-empty /run/containerd/s /run/containerd 2>/dev/null || true
}

teardown() {
    [ -z "${skip_reason:-}" ] || return 0
    local name
    for name in $(c task list --quiet); do
        c task delete --force "$name" >/dev/null
    done
    for name in $(c container list --quiet); do
        c container delete "$name"
        [ ! -e "$directory/runc/$parent/$name" ] # the runtime's own state
    done
    equals "" "$(cgroup_directories "$parent" "*task*")"
}

c() { ctr --address "$directory/socket" --namespace "$parent" "$@"; }

# box OPTION… IMAGE NAME COMMAND…: ctr run with the runtime under test and in the tests' cgroup.
# NAME is the last of these names: one, two, three.
box() {
    local cgroup=(--cgroup "/$parent/task-$BATS_TEST_NUMBER-$RANDOM")
    ! with_systemd || cgroup=(--runc-systemd-cgroup
        --cgroup "${parent//-/}.slice:task:$BATS_TEST_NUMBER-$RANDOM")
    c run --snapshotter native --runtime io.containerd.runc.v2 --runc-binary "$HULL_OCI" \
        --runc-root "$directory/runc" --fifo-dir "$directory/fifo" "${cgroup[@]}" "$@"
}

execute() { c task exec --fifo-dir "$directory/fifo" "$@"; }

image=test/box:latest

# task_status NAME: RUNNING, PAUSED or STOPPED
task_status() { c task list | awk -v name="$1" '$1 == name { print $3 }'; }
has_status() { [ "$(task_status "$1")" = "$2" ]; }

@test "ctr run: output, exit status, environment, working directory" {
    run box --rm --env FOO=bar --cwd /tmp $image one \
        sh -c 'echo $IMAGE $FOO $PWD; echo error >&2; exit 7'
    equals 7 "$status"
    contains "box bar /tmp" "$output"
    contains error "$output"
}

@test "ctr run: a command that is not there" {
    run box --rm $image one /bin/missing
    [ "$status" -ne 0 ]
    contains "no such file or directory" "${output,,}"
    equals "" "$(c task list --quiet)"
}

@test "ctr run: a terminal" {
    export -f box c with_systemd
    SHELL=$BASH run script --quiet --return --command \
        "box --rm --tty $image one sh -c 'tty; exit 6'" /dev/null </dev/null
    equals 6 "$status"
    contains /dev/ "$output"
}

@test "ctr run: standard input, mounts, a read-only root" {
    mkdir "$BATS_TEST_TMPDIR/volume"
    run box --rm --read-only --mount "type=bind,src=$BATS_TEST_TMPDIR/volume,dst=/tmp,options=rbind:rw" \
        $image one sh -c 'read line; echo $line >/tmp/file; touch /other || echo refused' <<<typed
    equals 0 "$status"
    contains refused "$output"
    equals typed "$(cat "$BATS_TEST_TMPDIR/volume/file")"
}

@test "ctr run: a memory limit is in force" {
    box --detach --memory-limit $((64 << 20)) --pid-file "$BATS_TEST_TMPDIR/pid" $image one sleep 1000
    local cgroup
    cgroup=$(cgroup_of "$(cat "$BATS_TEST_TMPDIR/pid")" memory)
    equals $((64 << 20)) "$(cat "$cgroup"/memory.max "$cgroup"/memory.limit_in_bytes 2>/dev/null)"
}

@test "ctr run: seccomp and capabilities" {
    run box --rm --seccomp --cap-drop CAP_CHOWN $image one grep -E '^(CapEff|Seccomp):' /proc/self/status
    equals 0 "$status"
    contains "Seccomp:	2" "$output"
    equals 0 $((0x$(awk '/CapEff/ { print $2 }' <<<"$output") & 1))
}

@test "ctr run --pid-file; task ps" {
    box --detach --pid-file "$BATS_TEST_TMPDIR/pid" $image one sh -c 'sleep 1000 & wait'
    local pid
    pid=$(cat "$BATS_TEST_TMPDIR/pid")
    equals "$pid" "$(c task list | awk '$1 == "one" { print $2 }')"
    two() { [ "$(c task ps one | grep -c '^[0-9]')" = 2 ]; }
    eventually two
    contains "$pid" "$(c task ps one)"
}

@test "ctr task exec: output, exit status, user, terminal" {
    box --detach $image one sleep 1000
    run execute --exec-id a --cwd /tmp --user 12:34 one sh -c 'echo $PWD $(id -u):$(id -g); exit 9'
    equals 9 "$status"
    equals "/tmp 12:34" "$output"
    equals typed "$(execute --exec-id b one head -n 1 <<<typed)"
    export -f execute c
    SHELL=$BASH run script --quiet --return --command \
        "execute --tty --exec-id c one tty" /dev/null </dev/null
    equals 0 "$status"
    contains /dev/pts/ "$output"
    run execute --exec-id d one /bin/missing
    [ "$status" -ne 0 ]
}

@test "ctr task pause and resume" {
    box --detach $image one sh -c 'i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.05; done'
    local count=$directory/state/io.containerd.runtime.v2.task/$parent/one/rootfs/count
    eventually test -s "$count"
    c task pause one
    equals PAUSED "$(task_status one)"
    local first
    first=$(cat "$count")
    equals "$first" "$(cat "$count")"
    c task resume one
    equals RUNNING "$(task_status one)"
    moved() { [ "$(cat "$count")" != "$first" ]; }
    eventually moved
}

@test "ctr task kill, wait and delete" {
    box --detach $image one sh -c 'trap "exit 21" USR1; touch /ready; while :; do sleep 0.05; done'
    eventually test -e "$directory/state/io.containerd.runtime.v2.task/$parent/one/rootfs/ready"
    c task kill --signal USR1 one
    eventually has_status one STOPPED
    run c task delete one
    contains "exit code 21" "$output"
    box --detach $image two sleep 1000
    execute --detach --exec-id other two sleep 1000
    c task kill --signal KILL --all two
    eventually has_status two STOPPED
    run c task delete two
    contains "exit code 137" "$output"
}

@test "ctr task kill of one exec" {
    box --detach $image one sleep 1000
    execute --detach --exec-id other one sleep 999
    c task kill --signal KILL --exec-id other one
    single() { [ "$(c task ps one | grep -c '^[0-9]')" = 1 ]; }
    eventually single
    equals RUNNING "$(task_status one)"
}

@test "ctr task metrics" {
    box --detach $image one sleep 1000
    run c task metrics --format json one
    equals 0 "$status"
    # Version 1 and version 2 are laid out differently; both count the one process.
    equals 1 "$(jq '.pids.current' <<<"$output")"
    [ "$(jq '[.memory.usage | .usage?, numbers] | add' <<<"$output")" -gt 0 ]
}

@test "ctr task delete --force of a running task" {
    box --detach --pid-file "$BATS_TEST_TMPDIR/pid" $image one sleep 1000
    c task delete --force one
    [ ! -d "/proc/$(cat "$BATS_TEST_TMPDIR/pid")" ]
}

@test "ctr create and start: a container's second task" {
    box --detach $image one true
    eventually has_status one STOPPED
    c task delete one
    c task start one
    run c task list --quiet
    equals "" "$output"
}
