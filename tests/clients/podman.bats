#!/usr/bin/env bats
# Podman with hull-oci as its runtime. Everything Podman keeps is in the file's own directory,
# and its containers are in a cgroup of their own. The tests with the tag "layout" meet what differs
# between cgroup layouts and managers: they are repeated in the testbed.
bats_require_minimum_version 1.5.0
load clients

setup_file() {
    require_client podman podman && require_client busybox busybox-static &&
        require_client jq jq || return 0
    find_runtime
    export directory=$BATS_FILE_TMPDIR BATS_TEST_TIMEOUT=120
    export CONTAINERS_CONF=$directory/containers.conf
    export parent=${HULL_TEST_ID:-hull}-podman$$
    # The limits are within what any machine's hard limits are.
    cat >"$CONTAINERS_CONF" <<END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[network]
network_backend = "netavark"
network_config_dir = "$directory/networks"
[engine]
events_logger = "file"
END
    make_root "$directory/image"
    tar -C "$directory/image" -cf "$directory/image.tar" .
    p import --quiet "$directory/image.tar" box >/dev/null
}

teardown_file() {
    [ -z "${skip_reason:-}" ] || return 0
    [ -n "${directory:-}" ] || return 0 # setup_file failed before it made anything
    p pod rm --force --all --time 0
    p rm --force --all --time 0
    remove_cgroups "$parent"
}

teardown() {
    [ -z "${skip_reason:-}" ] || return 0
    local identifiers identifier
    identifiers=$(p ps --all --quiet --no-trunc)
    p pod rm --force --all --time 0 >/dev/null
    p rm --force --all --time 0 >/dev/null
    # Whatever went wrong above, the runtime keeps nothing.
    for identifier in $identifiers; do
        run "$HULL_OCI" state "$identifier"
        [ "$status" -ne 0 ]
    done
    equals "" "$(cgroup_directories "$parent" "libpod-*")"
}

p() {
    local manager=(--cgroup-manager cgroupfs)
    ! with_systemd || manager=(--cgroup-manager systemd)
    cd "$directory" || return # conmon leaves a file "oom" where it is
    podman --log-level error --storage-driver vfs --root "$directory/storage" \
        --runroot "$directory/run" --tmpdir "$directory/tmp" "${manager[@]}" \
        --runtime "$HULL_OCI" "$@"
}

# box VERB OPTION…: run or create, without a network and in the tests' cgroup
box() {
    local verb=$1 slice=/$parent
    ! with_systemd || slice=${parent//-/}.slice
    shift
    p "$verb" --network none --cgroup-parent "$slice" "$@"
}

status() { p inspect --format '{{.State.Status}}' "$1"; }
has_status() { [ "$(status "$1")" = "$2" ]; }

# bats test_tags=layout
@test "podman run: output, exit status and errors" {
    run box run --rm box sh -c 'echo out; echo error >&2; exit 7'
    equals 7 "$status"
    contains out "$output"
    contains error "$output"
    run -127 box run --rm box /bin/missing
    run box run --rm box /etc/passwd
    equals 126 "$status"
}

@test "podman run: environment, working directory, user, host name" {
    run box run --rm --env FOO=bar --workdir /tmp --user 12:34 --hostname inside box \
        sh -c 'echo $FOO $PWD $(id -u) $(id -g) $(hostname)'
    equals 0 "$status"
    equals "bar /tmp 12 34 inside" "$output"
}

@test "podman run: own processes and root, standard input" {
    run box run --rm --interactive box sh -c 'cat; echo $$; ls -d /proc/[0-9]* | wc -l' <<<typed
    equals 0 "$status"
    equals typed "${lines[0]}"
    equals 1 "${lines[1]}"
    [ "${lines[2]}" -le 4 ] # the shell, ls and wc; one more while ls starts
}

# bats test_tags=layout
@test "podman run: a terminal" {
    run box run --rm --tty box sh -c 'tty; test -t 0 && test -t 1 && test -t 2 && echo terminal'
    equals 0 "$status"
    contains /dev/ "${lines[0]}"
    contains terminal "${lines[1]}"
}

# bats test_tags=layout
@test "podman run: memory, pids and cpu limits are in force" {
    box run --detach --name one --memory 64m --pids-limit 20 --cpus 0.5 box sleep 1000
    equals $((64 << 20)) "$(memory_limit p exec one)"
    run p exec one sh -c 'cat /sys/fs/cgroup/pids.max || cat /sys/fs/cgroup/pids/pids.max'
    contains 20 "$output"
    run p exec one sh -c 'cat /sys/fs/cgroup/cpu.max || cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us'
    contains 50000 "$output"
    run box run --rm --memory 32m --memory-swap 32m box tail /dev/zero
    equals 137 "$status"
}

@test "podman run: volumes, tmpfs and a read-only root" {
    mkdir "$BATS_TEST_TMPDIR/volume"
    run box run --rm --read-only --volume "$BATS_TEST_TMPDIR/volume:/data" \
        --volume "$BATS_TEST_TMPDIR/volume:/fixed:ro" --tmpfs /scratch box sh -c '
        echo written >/data/file && echo scratch >/scratch/file && cat /fixed/file
        touch /fixed/other || touch /other || echo refused'
    equals 0 "$status"
    contains written "$output"
    contains refused "$output"
    equals written "$(cat "$BATS_TEST_TMPDIR/volume/file")"
}

@test "podman run: capabilities, seccomp and no new privileges" {
    run box run --rm --cap-drop all --cap-add chown --security-opt no-new-privileges box \
        grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status
    equals 0 "$status"
    contains "CapBnd:	0000000000000001" "$output"
    contains "CapEff:	0000000000000001" "$output"
    contains "NoNewPrivs:	1" "$output"
    contains "Seccomp:	2" "$output"
}

@test "podman run: devices, a privileged container" {
    run box run --rm box sh -c 'echo x >/dev/null && head -c 4 /dev/zero | wc -c && mknod /null c 1 3'
    equals 4 "${lines[0]}"
    run box run --rm --privileged box sh -c 'mknod /n c 1 3 && mount -t tmpfs t /tmp && echo mounted'
    equals mounted "$output"
}

# bats test_tags=layout
@test "podman run: a user namespace with mapped ids" {
    run box run --rm --uidmap 0:100000:5000 --gidmap 0:200000:5000 box \
        sh -c 'id -u; cat /proc/self/uid_map /proc/self/gid_map'
    equals 0 "$status"
    equals 0 "${lines[0]}"
    contains "100000       5000" "${lines[1]}"
    contains "200000       5000" "${lines[2]}"
}

@test "podman run --init: catatonit is the first process" {
    run box run --rm --init box sh -c 'tr "\0" " " </proc/1/cmdline; echo; exit 5'
    equals 5 "$status"
    contains init "$output"
}

# bats test_tags=layout
@test "podman exec: output, exit status, environment, user, input, terminal" {
    box run --detach --name one box sleep 1000
    run p exec --env FOO=bar --user 12:34 --workdir /tmp one sh -c 'echo $FOO $PWD $(id -u):$(id -g); exit 9'
    equals 9 "$status"
    equals "bar /tmp 12:34" "$output"
    equals typed "$(p exec --interactive one cat <<<typed)"
    run p exec --tty one tty
    equals 0 "$status"
    contains /dev/pts/ "$output"
    run -127 p exec one /bin/missing
    p exec --detach one touch /tmp/detached
    eventually p exec one test -e /tmp/detached
}

# bats test_tags=layout
@test "podman pause, unpause, exec into a paused one" {
    box run --detach --name one box sh -c 'i=0; while :; do i=$((i+1)); echo $i >/tmp/count; sleep 0.05; done'
    eventually p exec one test -s /tmp/count
    p pause one
    equals paused "$(status one)"
    local merged first
    merged=$(p mount one)
    first=$(cat "$merged/tmp/count")
    equals "$first" "$(cat "$merged/tmp/count")"
    run p exec one true
    [ "$status" -ne 0 ]
    p unpause one
    equals running "$(status one)"
    moved() { [ "$(cat "$merged/tmp/count")" != "$first" ]; }
    eventually moved
}

# bats test_tags=layout
@test "podman stats" {
    box run --detach --name one --memory 64m box sh -c 'sleep 1000 & wait'
    run p stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' one
    equals 0 "$status"
    contains "2 " "$output"
    contains "/ 67.11MB" "$output"
    [[ "$output" != *" 0B /"* ]]
}

@test "podman top, ps, inspect" {
    box run --detach --name one box sleep 1000
    run p top one pid comm args
    equals 0 "$status"
    contains "sleep 1000" "$output"
    run p ps --format '{{.Names}} {{.Status}}'
    contains "one Up" "$output"
    run p inspect --format '{{.OCIRuntime}} {{.State.Pid}}' one
    contains "$HULL_OCI" "$output"
    [ -d "/proc/${output##* }" ]
}

@test "podman kill, wait" {
    box run --detach --name one box sh -c 'trap "exit 21" USR1; echo ready; while :; do sleep 0.1; done'
    ready() { [ "$(p logs one)" = ready ]; }
    eventually ready
    p kill --signal USR1 one
    equals 21 "$(p wait one)"
    p start one
    p kill one
    equals 137 "$(p wait one)"
}

@test "podman stop: in good time, and by force" {
    box run --detach --name one box sh -c 'trap "exit 0" TERM; echo ready; while :; do sleep 0.1; done'
    box run --detach --name two box sh -c 'trap "" TERM; echo ready; while :; do sleep 0.1; done'
    ready() { [ "$(p logs one)" = ready ] && [ "$(p logs two)" = ready ]; }
    eventually ready
    p stop --time 20 one
    p stop --time 0 two
    equals 0 "$(p inspect --format '{{.State.ExitCode}}' one)"
    equals 137 "$(p inspect --format '{{.State.ExitCode}}' two)"
}

@test "podman create, start --attach, attach, restart, logs" {
    box create --name one --interactive box cat
    equals typed "$(p start --attach --interactive one <<<typed)"
    box run --detach --interactive --name two box sh -c 'read line; echo got $line'
    equals "got it" "$(p attach two <<<it)"
    equals "got it" "$(p logs two)"
    box run --detach --name three box sh -c 'echo started; sleep 1000'
    p restart --time 0 three
    twice() { [ "$(p logs three | grep -c started)" = 2 ]; }
    eventually twice
}

# bats test_tags=layout
@test "podman rm --force of a running and of a paused container" {
    box run --detach --name one box sleep 1000
    box run --detach --name two box sleep 1000
    local pid
    pid=$(p inspect --format '{{.State.Pid}}' one)
    p pause two
    p rm --force --time 0 one two
    [ ! -d "/proc/$pid" ]
    equals "" "$(p ps --all --quiet)"
    equals "" "$(cgroup_directories "$parent" "libpod-*")"
}

# bats test_tags=layout
@test "podman update of a running container" {
    box run --detach --name one --memory 64m box sleep 1000
    run p update --memory 96m one
    equals 0 "$status"
    equals $((96 << 20)) "$(memory_limit p exec one)"
}

@test "podman healthcheck" {
    box run --detach --name one --health-cmd 'test -e /tmp/well' --health-interval disable box sleep 1000
    run p healthcheck run one
    equals 1 "$status"
    p exec one touch /tmp/well
    run p healthcheck run one
    equals 0 "$status"
}

# bats test_tags=layout
@test "podman pod: two containers share a network and each other's names" {
    local controller
    for controller in hugetlb net_cls net_prio perf_event; do
        [ ! -d /sys/fs/cgroup/$controller ] || mountpoint -q /sys/fs/cgroup/$controller ||
            skip "/sys/fs/cgroup/$controller is a plain directory, which Podman takes for a cgroup"
    done
    local slice=(--cgroup-parent "/$parent")
    if with_systemd; then
        slice=(--cgroup-parent "${parent//-/}.slice")
    elif [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        # Podman 4.3 closes every device to a pod whose cgroup v2 it makes itself.
        slice+=(--share-parent=false)
    fi
    p pod create --name pod --network none "${slice[@]}" --hostname shared
    p run --detach --pod pod --name server box sh -c \
        'mkdir /web && echo served >/web/index.html && exec httpd -f -p 127.0.0.1:8080 -h /web'
    p run --detach --pod pod --name client box sleep 1000
    fetched() { [ "$(p exec client wget -q -O - http://127.0.0.1:8080/)" = served ]; }
    eventually fetched
    equals shared "$(p exec client hostname)"
    equals "$(p exec client readlink /proc/self/ns/net)" \
        "$(readlink "/proc/$(p inspect --format '{{.State.Pid}}' client)/ns/net")"
    run p pod ps --format '{{.Name}} {{.NumberOfContainers}}'
    contains "pod 3" "$output"
    p pod pause pod
    equals paused "$(status client)"
    p pod unpause pod
    p pod rm --force --time 0 pod
    equals "" "$(p ps --all --quiet)"
}

@test "podman with a hooks directory and annotations" {
    mkdir "$BATS_TEST_TMPDIR/hooks"
    printf '#!/bin/sh\ncat >%s\n' "$BATS_TEST_TMPDIR/seen" >"$BATS_TEST_TMPDIR/hook"
    chmod +x "$BATS_TEST_TMPDIR/hook"
    jq -n --arg path "$BATS_TEST_TMPDIR/hook" '{version: "1.0.0", hook: {path: $path},
        when: {annotations: {"^hull.test$": "yes"}}, stages: ["prestart"]}' \
        >"$BATS_TEST_TMPDIR/hooks/seen.json"
    podman() { command podman --hooks-dir "$BATS_TEST_TMPDIR/hooks" "$@"; }
    box run --rm --annotation hull.test=yes box true
    equals yes "$(jq -r '.annotations["hull.test"]' "$BATS_TEST_TMPDIR/seen")"
}
