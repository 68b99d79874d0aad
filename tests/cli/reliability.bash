# Loaded after helpers by the tests of what goes wrong. Each test has its own state directory $root,
# a container ID $id, and a bundle maker; what is left of a container fails the test.

make_image() { # in setup_file
    "$HULL_SOURCE/scripts/image" "$BATS_FILE_TMPDIR/rootfs"
}

begin() { # in setup
    root=$BATS_TEST_TMPDIR/state
    id=$HULL_TEST_ID-${BATS_TEST_FILENAME##*/}-$BATS_TEST_NUMBER
    worked=0 failed=0
    mkdir "$root"
    cd "$BATS_TEST_TMPDIR"
}

# Whatever belongs to the container has this mark in its environment: see list_remains.
oci() {
    HULL_MARK=$id timeout --kill-after=5 60 "$HULL_OCI" --root "$root" "$@"
}

# bundle NAME JQ-FILTER [PROGRAM [ARGUMENT...]]
bundle() {
    local directory=$BATS_TEST_TMPDIR/$1 filter=$2
    shift 2
    mkdir -p "$directory"
    rm -f "$directory/config.json"
    "$HULL_OCI" spec --bundle "$directory"
    jq --arg root "$BATS_FILE_TMPDIR/rootfs" --arg mark "HULL_MARK=$id" '
        .process.terminal = false | .root = {path: $root, readonly: false}
        | .process.env += [$mark]
        | if $ARGS.positional != [] then .process.args = $ARGS.positional else . end
        | '"$filter" "$directory/config.json" --args -- "$@" >"$directory/new"
    mv "$directory/new" "$directory/config.json"
}

status_of() { # ID
    oci state "$1" | jq -r .status
}

is_status() { # ID STATUS
    [ "$(status_of "$1" 2>/dev/null)" = "$2" ]
}

# Everything on the machine that is of this test's containers.
list_remains() {
    local file mark=${1:-$id}
    for file in $(grep -lzx "HULL_MARK=$mark" /proc/[0-9]*/environ 2>/dev/null); do
        file=${file%/environ}
        echo "process ${file#/proc/}: $({ tr '\0' ' ' <"$file/cmdline"; } 2>/dev/null)"
    done
    grep -F "$BATS_TEST_TMPDIR/" /proc/self/mountinfo | grep -v "$BATS_TEST_TMPDIR/small" || true
    find /sys/fs/cgroup -type d -name "*$mark*" 2>/dev/null || true
    find "$root" -mindepth 1 ! -path '*/.seccomp*' 2>/dev/null || true
}

nothing_is_left() {
    [ -z "$(list_remains)" ]
}

# Waits a moment for what is dying.
expect_nothing_left() {
    wait_until 5 nothing_is_left || {
        list_remains
        return 1
    }
}

is_one_line_error() { # TEXT
    [[ "$1" == "hull-oci: "* ]] && [ "$(printf '%s\n' "$1" | wc -l)" = 1 ]
}

end() { # in teardown
    local name
    [ -d "$root" ] || return 0
    for name in $(oci list -q 2>/dev/null); do
        oci delete --force "$name"
    done
}
