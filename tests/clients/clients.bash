# What the tests with real clients share. HULL_OCI names the runtime under test; any other
# OCI runtime does as well, which tells a fault of the tests from one of hull-oci.

# require_client PROGRAM PACKAGE…: installs what is missing, and skips where that can't be done
require_client() {
    local program=$1
    shift
    command -v "$program" >/dev/null && return
    local deps=$BATS_TEST_DIRNAME/../../scripts/deps
    if [ -x "$deps" ] && "$deps" "$@" >&2 && command -v "$program" >/dev/null; then
        return
    fi
    skip "$program is not installed, and the package $1 could not be"
}

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

# make_root DIRECTORY: a root file system of busybox and its applets
make_root() {
    mkdir -p "$1"/{bin,etc,tmp,proc,sys,dev}
    chmod 1777 "$1/tmp"
    cp /bin/busybox "$1/bin/"
    local applet
    for applet in $(/bin/busybox --list); do
        [ "$applet" = busybox ] || ln -s busybox "$1/bin/$applet"
    done
    echo 'root:x:0:0:root:/:/bin/sh' >"$1/etc/passwd"
    echo 'root:x:0:' >"$1/etc/group"
}

# cgroup_directories NAME: the directories below a cgroup called NAME, deepest first, in every
# hierarchy of the machine
cgroup_directories() {
    find /sys/fs/cgroup -depth -type d \( -name "$1" -o -path "*/$1/*" \) 2>/dev/null
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
