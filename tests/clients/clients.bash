# What the tests with real clients share. HULL_OCI names the runtime under test; any other
# OCI runtime does as well, which tells a fault of the tests from one of hull-oci.

# require_client PROGRAM PACKAGE: installs what is missing; where that can't be done, fails and says
# in skip_reason why the file's tests are to be skipped
require_client() {
    command -v "$1" >/dev/null && return
    local deps=$BATS_TEST_DIRNAME/../../scripts/deps
    if [ -x "$deps" ] && "$deps" check >&2 && command -v "$1" >/dev/null; then
        return
    fi
    export skip_reason="$1 is not installed, and the package $2 could not be"
    return 1
}

# For every test: bats 1.8 knows no skip in setup_file.
setup() { [ -z "${skip_reason:-}" ] || skip "$skip_reason"; }

# find_runtime: sets HULL_OCI to the absolute path of the runtime under test
find_runtime() {
    HULL_OCI=$(command -v "${HULL_OCI:-hull-oci}") || {
        echo "no runtime to test: set HULL_OCI" >&2
        return 1
    }
    export HULL_OCI
}

with_systemd() { [ -d /run/systemd/system ]; }

# eventually COMMAND…: repeats the command until it succeeds; fails after 30 s
eventually() {
    local end=$((SECONDS + 30))
    until "$@"; do
        [ $SECONDS -lt $end ] || {
            echo "did not come true: $*" >&2
            return 1
        }
        sleep 0.05
    done
}

# make_root DIRECTORY: a root file system of busybox and the applets that the tests call; few, for
# each container's copy takes time in the testbed
make_root() {
    mkdir -p "$1"/{bin,etc,tmp,proc,sys,dev}
    chmod 1777 "$1/tmp"
    cp /bin/busybox "$1/bin/"
    local applet
    for applet in cat echo grep head hostname httpd id ip ls mkdir mknod mount readlink sh sleep stat \
        tail test touch tr true tty wc wget; do
        ln -s busybox "$1/bin/$applet"
    done
    echo 'root:x:0:0:root:/:/bin/sh' >"$1/etc/passwd"
    echo 'root:x:0:' >"$1/etc/group"
}

# cgroup_of PID CONTROLLER: the directory of the process's cgroup with that controller
cgroup_of() {
    local path mounted=/sys/fs/cgroup/$2
    path=$(awk -F: -v controller="$2" '$2 ~ "(^|,)" controller "(,|$)" { print $3 }' "/proc/$1/cgroup")
    if [ -z "$path" ]; then
        path=$(sed -n 's/^0:://p' "/proc/$1/cgroup")
        mounted=/sys/fs/cgroup
    fi
    echo "$mounted$path"
}

# cgroup_directories PARENT [PATTERN]: the directories at and below the cgroup PARENT (or the slice
# of that name) in every hierarchy, deepest first; with PATTERN only those called so. PARENT is a
# name of this run (hull…, with a number): an empty or short one would be everybody's cgroups.
cgroup_directories() {
    [[ "${1:-}" =~ ^hull[A-Za-z0-9-]*[0-9][A-Za-z0-9-]*$ ]] || {
        echo "'${1:-}' is no name of a test's cgroup" >&2
        return 1
    }
    local slice=${1//-/}.slice
    find /sys/fs/cgroup -depth -type d \( -name "$1" -o -path "*/$1/*" -o -name "$slice" \
        -o -path "*/$slice/*" \) -name "${2:-*}" 2>/dev/null
}

# remove_cgroups PARENT: what cgroup_directories finds; each must be empty
remove_cgroups() {
    local directories directory
    directories=$(cgroup_directories "$1") || return
    for directory in $directories; do
        # Podman writes pids into plain directories, too, where it finds one called as a controller.
        [ "$(stat -f -c %T "$directory")" != tmpfs ] || rm -f "$directory/tasks"
        rmdir "$directory"
    done
}

# memory_limit COMMAND…: what COMMAND (an exec into a container) reads as the memory limit
memory_limit() {
    "$@" sh -c 'cat /sys/fs/cgroup/memory.max 2>/dev/null ||
                cat /sys/fs/cgroup/memory/memory.limit_in_bytes'
}

# equals EXPECTED ACTUAL
equals() {
    [ "$1" = "$2" ] || {
        printf 'expected: %s\nfound:    %s\n' "$1" "$2" >&2
        return 1
    }
}

# contains PART WHOLE
contains() {
    [[ "$2" == *"$1"* ]] || {
        printf 'expected to contain: %s\nfound: %s\n' "$1" "$2" >&2
        return 1
    }
}
