# What the tests that run containers share: load container
#
# Each test has its own bundle ($bundle, with its own root file system of busybox), its own state
# directory and a container id ($id). teardown deletes whatever the test left behind.
bats_require_minimum_version 1.5.0
load helpers

: "${HULL_OCI:=$HULL_BUILD/src/oci/verb/hull-oci}"
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0}

oci() { "$HULL_OCI" --root "$state" "$@"; }

# The default image and hull-oci's own spec, without a terminal; copied for each test.
setup_file() {
    local root=$BATS_FILE_TMPDIR/template
    chmod 755 "$BATS_FILE_TMPDIR"
    HULL_OCI=$HULL_OCI "$HULL_SOURCE/scripts/bundle" "$root" '.root.readonly = false'
    echo 'user:x:1000:1000::/home/user:/bin/sh' >>"$root/rootfs/etc/passwd"
    echo 'user:x:1000:' >>"$root/rootfs/etc/group"
}

# Files with a setup of their own begin it with this.
setup_container() {
    state=$BATS_TEST_TMPDIR/state
    bundle=$BATS_TEST_TMPDIR/bundle
    id=$HULL_TEST_ID-$(basename "$BATS_TEST_FILENAME" .bats)-$BATS_TEST_NUMBER
    cp -a "$BATS_FILE_TMPDIR/template" "$bundle"
    cd "$BATS_TEST_TMPDIR" || return
}

setup() { setup_container; }

teardown() {
    local left
    for left in $(oci list -q 2>/dev/null); do
        oci delete --force "$left" || true
    done
    while [ "${#started[@]}" -gt 0 ]; do
        kill -KILL "${started[-1]}" 2>/dev/null || true
        wait "${started[-1]}" 2>/dev/null || true
        unset 'started[-1]'
    done
}

# Processes in the background that teardown ends.
started=()
# in_background COMMAND...: its output goes to $BATS_TEST_TMPDIR/background
in_background() {
    "$@" >"$BATS_TEST_TMPDIR/background" 2>&1 3>&- &
    started+=($!)
}

# Changes config.json: configure FILTER [JQ-OPTION...]
configure() {
    local filter=$1
    shift
    jq "$@" "$filter" "$bundle/config.json" >"$bundle/new" && mv "$bundle/new" "$bundle/config.json"
}

# The container's program is this shell script.
use_script() { configure '.process.args = ["/bin/sh", "-c", $script]' --arg script "$1"; }

# Runs a script as the container's program, to its end: run_script SCRIPT [FLAG...]
# As with bats' run, the status is in $status and the output in $output.
run_script() {
    use_script "$1"
    shift
    run oci run "$@" --bundle "$bundle" "$id" </dev/null
}

# Starts a container that lives until it is killed: start_container [FLAG...]
start_container() {
    configure '.process.args = ["/bin/sleep", "1000"]'
    oci run --detach "$@" --bundle "$bundle" "$id" </dev/null >"$BATS_TEST_TMPDIR/container" 2>&1 3>&- || {
        cat "$BATS_TEST_TMPDIR/container"
        return 1
    }
}

container_pid() { oci state "$id" | jq .pid; }
container_status() { oci state "$id" | jq -r .status; }
has_status() { [ "$(container_status)" = "$1" ]; }

# Where the container's cgroup with a controller is: cgroup_directory CONTROLLER
cgroup_directory() {
    local pid=${2:-$(container_pid)} path
    path=$(awk -F: -v name="$1" '$2 ~ "(^|,)" name "(,|$)" { print $3 }' "/proc/$pid/cgroup")
    if [ -n "$path" ] && [ -d "/sys/fs/cgroup/$1" ]; then
        echo "/sys/fs/cgroup/$1$path"
        return
    fi
    path=$(sed -n 's/^0:://p' "/proc/$pid/cgroup")
    if [ -d /sys/fs/cgroup/unified ]; then
        echo "/sys/fs/cgroup/unified$path"
    else
        echo "/sys/fs/cgroup$path"
    fi
}

on_pure_v2() { [ -e /sys/fs/cgroup/cgroup.controllers ]; }
