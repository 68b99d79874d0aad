# What runs out while a container is made: space, files, processes, descriptors. Each is tried from
# nothing to enough, and must give either a container, or one line that says why not and no trace.

load helpers
load reliability

setup_file() { make_image; }
setup() { begin; }
teardown() { end; }

# Runs a function of this file in a mount namespace of its own, in which a test may mount.
in_private_mounts() { # FUNCTION
    export -f oci bundle status_of is_status list_remains nothing_is_left wait_until \
        expect_nothing_left is_one_line_error try_create "$1"
    export root id worked failed BATS_TEST_TMPDIR BATS_FILE_TMPDIR
    unshare --mount bash -euc "$1"
}

# Creates and deletes, with what is given before the program; adds to $worked or $failed.
try_create() { # PREFIX... -- FLAG...
    local prefix=() status=0
    while [ "$1" != -- ]; do
        prefix+=("$1")
        shift
    done
    shift
    HULL_MARK=$id timeout 30 "${prefix[@]}" "$HULL_OCI" --root "$root" create --bundle bundle "$@" "$id" \
        2>error 3>&- || status=$?
    case $status in
    0)
        worked=$((worked + 1))
        oci delete --force "$id"
        ;;
    1)
        failed=$((failed + 1))
        is_one_line_error "$(cat error)" || {
            cat error
            return 1
        }
        ;;
    *)
        echo "exit status $status: $(cat error)"
        return 1
        ;;
    esac
    expect_nothing_left
}

fill_state() {
    local size inodes pad
    root=$BATS_TEST_TMPDIR/small
    mkdir -p "$root"
    # The record is as long as the configuration: about 12 KiB, in pages of 4.
    for pad in 4000 4060 4120 4180 4240 8000; do
        bundle bundle ".annotations.pad = (\"x\" * $pad)" sleep 1000
        for size in 4 8 12 16 20; do
            mount -t tmpfs -o size="${size}k" small "$root"
            try_create --
            grep -q 'No space left' error || [ ! -s error ]
            umount "$root"
        done
    done
    for inodes in 1 2 3 4 5; do
        mount -t tmpfs -o nr_inodes="$inodes" small "$root"
        try_create --
        umount "$root"
    done
    echo "$worked worked, $failed failed, the last: $(cat error)"
    [ "$worked" -gt 0 ] && [ "$failed" -gt 0 ]
    # And quite full.
    mount -t tmpfs -o size=4k small "$root"
    head -c 4096 /dev/zero >"$root/.seccomp"
    worked=0
    try_create --
    [ "$worked" = 0 ]
}

@test "a state directory that is full" {
    in_private_mounts fill_state
}

fill_clients_files() {
    local small=$BATS_TEST_TMPDIR/small
    mkdir "$small"
    mount -t tmpfs -o size=4k small "$small"
    head -c 4096 /dev/zero >"$small/full"
    bundle bundle . sleep 1000
    try_create -- --pid-file "$small/pid"
    [ "$failed" = 1 ]
    grep -q "can't write the pid file .*No space left" error
    [ "$(ls -A "$small")" = full ]
    # A log that can't be written is no reason not to work, nor one that can't even be made.
    oci --log "$small/log" create --bundle bundle "$id"
    oci --log "$small/log" --log-format json delete --force "$id"
    ! oci --log "$small/log" state "$id"
    mount -t tmpfs -o nr_inodes=1 small "$small"
    oci --log "$small/log" create --bundle bundle "$id"
    oci --log "$small/log" delete --force "$id"
    expect_nothing_left
}

@test "a pid file and a log where the disk is full" {
    in_private_mounts fill_clients_files
}

fill_rootfs() {
    local small=$BATS_TEST_TMPDIR/small inodes
    mkdir "$small"
    bundle bundle '.root.path = $ENV.BATS_TEST_TMPDIR + "/small"
        | .mounts += [{destination: "/a/b/c", type: "tmpfs", source: "tmpfs"},
            {destination: "/file", source: "/etc/passwd", type: "bind", options: ["bind"]}]' \
        /bin/busybox sleep 1000
    # The root, /bin, busybox, and then what must be made: /proc, /dev, /sys, …
    for inodes in {3..12}; do
        mount -t tmpfs -o nr_inodes="$inodes",size=8m small "$small"
        mkdir "$small/bin"
        cp /bin/busybox "$small/bin"
        try_create --
        umount "$small"
    done
    echo "$worked worked, $failed failed, the last: $(cat error)"
    [ "$worked" -gt 0 ] && [ "$failed" -gt 0 ]
}

@test "a root file system that is full" {
    in_private_mounts fill_rootfs
}

# A bundle that takes several processes to create.
bundle_with_processes() {
    bundle bundle '.linux.namespaces += [{type: "time"}]
        | .hooks = {createRuntime: [{path: "/bin/true"}], createContainer: [{path: "/bin/true"}]}
        | del(.process.rlimits)' sleep 1000
}

@test "no processes left in the caller's cgroup" {
    local own limit
    grep -q ' - cgroup .*\bpids\b' /proc/self/mountinfo || skip 'no cgroup v1 controller pids'
    own=/sys/fs/cgroup/pids$(sed -n 's/^[0-9]*:pids://p' /proc/self/cgroup)
    [ -d "$own" ] || skip 'the cgroup of the test is not to be seen'
    bundle_with_processes
    # Below it, so that it counts the container's processes too; it isn't named after the container.
    local caller=$own/${id/test/caller}
    mkdir "$caller"
    for limit in 1 2 3 4 5 6; do
        echo "$limit" >"$caller/pids.max"
        try_create sh -c 'echo 0 >"$0/cgroup.procs" && exec "$@"' "$caller" --
    done
    for limit in {1..100}; do
        ! rmdir "$caller" || break
        sleep 0.05
    done
    [ ! -d "$caller" ]
    echo "$worked worked, $failed failed, the last: $(cat error)"
    [ "$worked" -gt 0 ] && [ "$failed" -gt 0 ]
}

@test "few descriptors" {
    local limit
    bundle_with_processes
    for limit in {8..26..2} 32; do
        try_create sh -c 'ulimit -n "$0" && exec "$@"' "$limit" --
    done
    echo "$worked worked, $failed failed, the last: $(cat error)"
    [ "$worked" -gt 0 ] && [ "$failed" -gt 0 ]
}

@test "few processes for an ordinary user" {
    local limit user=54321
    chmod 711 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR"
    for directory in "$HULL_TEST_DIRECTORY" "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR"; do
        runuser_can_enter "$directory" || skip "an ordinary user can't enter $directory"
    done
    # The source may be in root's home, which that user can't enter.
    cp "$HULL_OCI" "$BATS_TEST_TMPDIR/hull-oci"
    local -x HULL_OCI=$BATS_TEST_TMPDIR/hull-oci
    mkdir bundle
    "$HULL_OCI" spec --rootless --bundle bundle
    jq --arg root "$BATS_FILE_TMPDIR/rootfs" --arg user "$user" '.root = {path: $root}
        | .process.terminal = false | .process.args = ["sleep", "1000"]
        | .linux.uidMappings[0].hostID = ($user | tonumber)
        | .linux.gidMappings[0].hostID = ($user | tonumber)
        | .hooks = {createRuntime: [{path: "/bin/true"}]}' bundle/config.json >new
    mv new bundle/config.json
    chmod 755 bundle "$root"
    chown "$user" "$root"
    for limit in 1 2 3 4 5 6; do
        try_create setpriv --reuid "$user" --regid "$user" --clear-groups \
            bash -c 'ulimit -u "$0" && exec "$@"' "$limit" --
    done
    echo "$worked worked, $failed failed, the last: $(cat error)"
    [ "$failed" -gt 0 ]
}

runuser_can_enter() { # DIRECTORY
    [ -z "$1" ] || setpriv --reuid 54321 --regid 54321 --clear-groups test -x "$1"
}
