# Habits of runc's that clients and configurations count on, beside what the specification says.

load attack

setup_file() {
    make_image
}

setup() {
    begin_attack
}

teardown() {
    end_attack
}

users='.linux.namespaces += [{type: "user"}]
    | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}]
    | .linux.gidMappings = [{containerID: 0, hostID: 100000, size: 65536}]'

hooks() { # KIND SCRIPT: a jq filter
    jq -n -r --arg kind "$1" --arg script "$2" \
        '".hooks = {\($kind): [{path: \"/bin/sh\", args: \(["sh", "-c", $script])}]}"'
}

@test "a relative --root and --pid-file are the caller's, not the bundle's" {
    configure "$(script 'exec sleep 60')"
    state=./here
    hull run --detach --bundle "$bundle" --pid-file pid "$id" </dev/null >output 2>&1 || { cat output; false; }
    [ -s pid ]
    [ -d here ]
    [ "$(hull state "$id" | jq .pid)" = "$(cat pid)" ]
}

@test "a read-only /dev and a read-only tmpfs are complete before they become read-only" {
    run run_container 'set -x; test -c /dev/null && test -d /dev/pts && test -d /tmp/inner/one &&
        ! touch /dev/x && ! touch /tmp/x && ! touch /dev/shm/x && touch /tmp/inner/one/x && echo fine' \
        '.mounts |= map(if .destination | test("^/dev(/shm)?$") then .options += ["ro"] else . end)
        | .mounts += [{destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["ro"]},
            {destination: "/tmp/inner/one", type: "tmpfs", source: "tmpfs"}]'
    [ "$status" -eq 0 ]
    [ "${lines[-1]}" = fine ]
}

@test "a time namespace in a user namespace has its offsets" {
    run run_container 'cut -d. -f1 /proc/uptime' "$users
        | .linux.namespaces += [{type: \"time\"}]
        | .linux.timeOffsets = {boottime: {secs: 1000000000}}"
    [ "$status" -eq 0 ]
    [ "$output" -ge 1000000000 ]
}

@test "a user namespace around us that may not change groups is no hindrance" {
    configure "$(script 'echo fine')"' | del(.linux.resources)
        | .mounts |= map(select(.type != "cgroup") | if .options then .options -= ["gid=5"] else . end)'
    run unshare --user --map-root-user --mount --pid --fork --mount-proc \
        "$HULL_OCI" --root "$state" run --bundle "$bundle" "$id" 3>&-
    [ "$output" = fine ]
    configure "$(script 'echo fine')"' | del(.linux.resources) | .process.user.additionalGids = [5]
        | .mounts |= map(select(.type != "cgroup") | if .options then .options -= ["gid=5"] else . end)'
    run unshare --user --map-root-user --mount --pid --fork --mount-proc \
        "$HULL_OCI" --root "$state" run --bundle "$bundle" "$id" 3>&-
    [[ "$output" == *"can't set the additional groups"* ]]
}

@test "a file in the place of a configured device is an error, the device itself is not" {
    local device='.linux.devices = [{path: "/srv/device", type: "c", major: 1, minor: 3}]'
    mkdir -p "$image/srv"
    mknod "$image/srv/device" c 1 5
    run run_container 'echo out' "$device"
    [[ "$output" == *"can't make device /srv/device: File exists" ]]
    rm "$image/srv/device"
    run run_container 'stat -c %t:%T /srv/device' "$device"
    [ "$output" = 1:3 ]
    run run_container 'stat -c %t:%T /srv/device' "$device"
    [ "$output" = 1:3 ]
}

@test "what a process file leaves out is as in the container's own process" {
    start_container 'exec sleep 60' '.process.oomScoreAdj = 345
        | .process.rlimits = [{type: "RLIMIT_NOFILE", soft: 77, hard: 88}]'
    printf '{"cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["sh", "-c", "%s"]}' \
        'cat /proc/self/oom_score_adj; ulimit -n; grep CapBnd /proc/self/status' >process
    run hull exec --process process "$id"
    [ "${lines[0]}" = 345 ]
    [ "${lines[1]}" = 77 ]
    [ "${lines[2]}" = "$(grep CapBnd "/proc/$(hull state "$id" | jq .pid)/status")" ]
    [ "${lines[2]##*000}" != "" ]
}

@test "a process file's own values count" {
    start_container 'exec sleep 60' '.process.oomScoreAdj = 345'
    cat >process <<'END'
{"cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["sh", "-c", "cat /proc/self/oom_score_adj; ulimit -n"],
 "oomScoreAdj": 543, "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 55, "hard": 66}]}
END
    run hull exec --process process "$id"
    [ "$output" = $'543\n55' ]
}

@test "what a hook prints is not the container's output, but explains its failure" {
    run run_container 'echo program' "$(hooks createRuntime 'echo hook')"
    [ "$output" = program ]
    run run_container 'echo program' "$(hooks createRuntime 'echo the reason; exit 3')"
    [ "$status" -eq 1 ]
    [[ "$output" == *"exit status 3: the reason" ]]
}

@test "a poststart hook of run sees a running container" {
    local look="$HULL_OCI --root $state state $id >$BATS_TEST_TMPDIR/seen"
    start_container 'exec sleep 60' "$(hooks poststart "$look")"
    [ "$(jq -r .status seen)" = running ]
}

@test "update takes sizes with suffixes" {
    start_container 'exec sleep 60'
    hull update --memory 64m "$id"
    run hull events --stats "$id"
    [ "$(jq .data.memory.usage.limit <<<"$output")" = 67108864 ]
    run hull update --memory 64x "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"--memory: expected a whole number"*"found '64x'" ]]
}

@test "SIGKILL ends all processes where the container shares a pid namespace" {
    start_container 'sleep 61 & echo $! >/tmp/child; exec sleep 60' \
        '.linux.namespaces |= map(select(.type != "pid")) | .root.readonly = false'
    wait_until 5 test -s "$image/tmp/child"
    local child
    child=$(cat "$image/tmp/child")
    [ -d "/proc/$child" ]
    hull kill "$id" KILL
    wait_until 5 test ! -d "/proc/$child"
}

@test "start fails, and the program does not run, where the seccomp agent is not there" {
    configure "$(script 'exec sleep 60')"'
        | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", listenerPath: "/nothing/here",
            syscalls: [{names: ["mkdir"], action: "SCMP_ACT_NOTIFY"}]}'
    hull create --bundle "$bundle" "$id" </dev/null >output 2>&1
    run hull start "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"seccomp listener /nothing/here"* ]]
    wait_until 5 eval '[ "$(hull state "$id" | jq -r .status)" = stopped ]'
}

@test "events come in their interval" {
    start_container 'exec sleep 60'
    hull events --interval 100ms "$id" >events 3>&- &
    wait_until 5 eval '[ "$(wc -l <events)" -ge 3 ]'
    hull kill "$id" KILL
    wait # the container's end is the events'
    [ "$(jq -r .type events | sort -u)" = stats ]
}

@test "without a mount namespace the root cannot be read-only, and that is said" {
    local bare='.linux.namespaces = [{type: "pid"}] | .mounts = [] | del(.hostname)
        | del(.linux.maskedPaths, .linux.readonlyPaths)'
    run run_container 'echo out' "$bare | .root.readonly = true"
    [[ "$output" == *"root.readonly: true without a mount namespace" ]]
    run run_container 'echo out' "$bare | .root.readonly = false"
    [ "$output" = out ]
}

@test "list shows the owner" {
    start_container 'exec sleep 60'
    [ "$(hull list --format json | jq -r '.[].owner')" = "$(id -un)" ]
    run hull list
    [[ "${lines[1]}" == *" $(id -un)" ]]
}

@test "--debug logs the steps, in runc's format" {
    configure "$(script true)"
    hull --debug --log log --log-format json run --bundle "$bundle" "$id" </dev/null
    [ "$(jq -r 'select(.level == "debug") | .msg' log | grep -c "first process: ")" -eq 1 ]
    [ "$(jq -r 'select((.time | test("^[0-9-]{10}T[0-9:]{8}")) | not)' log)" = "" ]
    hull --log quiet --log-format json run --bundle "$bundle" "$id" </dev/null
    [ ! -s quiet ]
}

@test "what clients look for in the messages is there" {
    start_container true
    wait_until 5 eval '[ "$(hull state "$id" | jq -r .status)" = stopped ]'
    run hull kill "$id" TERM
    [[ "$output" == *"container not running"* ]]
    run hull exec "$id" true
    [[ "$output" == *"cannot exec in a stopped container"* ]]
    run hull state "$id-none"
    [[ "$output" == *"container does not exist"* ]]
    run hull create --bundle "$bundle" "$id"
    [[ "$output" == *"container with given ID already exists"* ]]
    run run_container_of 'nothing-of-this-name'
    [[ "$output" == *"executable file not found in \$PATH"* ]]
}

run_container_of() {
    hull delete "$id"
    configure --arg program "$1" '.process.args = [$program]'
    hull run --bundle "$bundle" "$id"
}

@test "a failed create leaves another container's pid file alone" {
    echo 1 >"$BATS_TEST_TMPDIR/pid"
    configure '.process.args = ["/nothing"]'
    run hull create --bundle "$bundle" --pid-file "$BATS_TEST_TMPDIR/none/pid" "$id"
    [ "$status" -eq 1 ]
    configure '.linux.resources.unified = {"nonsense.max": "1"}'
    run hull create --bundle "$bundle" --pid-file "$BATS_TEST_TMPDIR/pid" "$id"
    [ "$status" -eq 1 ]
    [ "$(cat "$BATS_TEST_TMPDIR/pid")" = 1 ]
}
