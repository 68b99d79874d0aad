# What the tests of `hull` and its containers share: load hull
#
# Each test has its own --root and --run-root, and a network namespace of its own ($net) for a host.
# teardown removes the containers, and then nothing may be left.
bats_require_minimum_version 1.5.0
load "$(dirname "${BASH_SOURCE[0]}")/helpers"

: "${HULL:=$HULL_BUILD/src/cli/hull}"
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0}

setup_hull() {
    root=$BATS_TEST_TMPDIR/root run_root=$BATS_TEST_TMPDIR/run
    net=$HULL_TEST_ID-$(basename "$BATS_TEST_FILENAME" .bats)-$BATS_TEST_NUMBER
    ip netns add "$net"
    ip -n "$net" link set lo up
    cd "$BATS_TEST_TMPDIR" || return
}

setup() { setup_hull; }

hull() {
    timeout --foreground 60 nsenter --net="/run/netns/$net" \
        "$HULL" --root "$root" --run-root "$run_root" "$@" 3>&-
}

# Processes in the background that teardown ends.
started=()
in_background() {
    "$@" >"$BATS_TEST_TMPDIR/background" 2>&1 3>&- &
    started+=($!)
}

# With bats' run --separate-stderr, which warns of 127, one of docker's exit codes.
run_hull() {
    status=0
    hull "$@" </dev/null >"$BATS_TEST_TMPDIR/output" 2>"$BATS_TEST_TMPDIR/errors" || status=$?
    output=$(cat "$BATS_TEST_TMPDIR/output") stderr=$(cat "$BATS_TEST_TMPDIR/errors")
}

# refused STATUS PART: of what it said
refused() {
    equals "$1" "$status" && contains "$2" "$stderr"
}

containers() { sqlite3 -cmd ".timeout 20000" "$root/hull.db" "SELECT $1 FROM engine_container" 2>/dev/null; }

# A field of a container's status: state NAME [FIELD]
state() {
    local id
    id=$(sqlite3 -cmd ".timeout 20000" "$root/hull.db" "SELECT id FROM engine_container WHERE name = '$1' OR id = '$1'")
    jq -r ".${2:-status}" "$run_root/containers/$id/status" 2>/dev/null || echo none
}
is_state() { [ "$(state "$1")" = "$2" ]; }

# Everything that belongs to no container any more is gone.
nothing_left() {
    local found
    found=$(find "$root/containers" "$run_root/containers" "$run_root/oci" -mindepth 1 -maxdepth 1 \
        ! -name .seccomp ! -name skeleton 2>/dev/null || true)
    [ -z "$found" ] || { echo "left: $found" && return 1; }
    found=$(grep -F "${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR}" /proc/self/mounts | grep -v "$run_root/network" || true)
    [ -z "$found" ] || { echo "mounted: $found" && return 1; }
}

# Ends what runs in the background, and removes all containers: nothing of them may be left.
remove_all() {
    local name
    while [ "${#started[@]}" -gt 0 ]; do
        kill -KILL "${started[-1]}" 2>/dev/null || true
        wait "${started[-1]}" 2>/dev/null || true
        unset 'started[-1]'
    done
    for name in $(containers name); do
        hull rm --force --volumes "$name" >/dev/null || true
    done
    wait_until 10 nothing_left
}

# The network namespace, and what is mounted for it.
remove_host() {
    local mounted
    for mounted in $(awk -v below="$run_root/" 'index($2, below) == 1 {print $2}' /proc/self/mounts | sort -r); do
        umount --lazy "$mounted"
    done
    ip netns delete "$net"
}

teardown_hull() {
    remove_all
    remove_host
}

teardown() { teardown_hull; }
