# The static hull-oci in a chroot. Where its root is a directory of a file system, not a mount point,
# the first process can't set up its mount namespace, and says so.

load container

setup() {
    [ -n "${HULL_STATIC_OCI:-}" ] || skip "HULL_STATIC_OCI doesn't name a static hull-oci"
    HULL_OCI=$HULL_STATIC_OCI
    setup_container
    mkdir -p new/{proc,sys,dev,state}
    cp "$HULL_OCI" new/hull-oci
    mv "$bundle" new/bundle
    message="can't set the propagation of the mount namespace: Invalid argument"
}

# In a mount namespace of its own: in_chroot COMMAND...
in_chroot() {
    unshare --mount --propagation private sh -c 'for directory in proc sys dev; do
        mount --rbind /$directory new/$directory || exit 99
    done
    exec "$@"' sh "$@" </dev/null
}

@test "the first process's own message is printed, and nothing is left" {
    run in_chroot chroot new /hull-oci --root /state run --bundle /bundle "$id"
    [ "$status" -eq 1 ]
    equals "hull-oci: run: '$id': $message" "$output"
    [ "$(ls new/state)" = "" ]
}

@test "so it is when the runtime has something to say to a first process that has ended" {
    run in_chroot python3 "$BATS_TEST_DIRNAME/slow_pidfd_client.py" new/socket \
        chroot new /hull-oci --root /state run --pidfd-socket /socket --bundle /bundle "$id"
    equals "hull-oci: run: '$id': $message" "$output"
    [ "$status" -eq 1 ]
    [ "$(ls new/state)" = "" ]
}

@test "in a chroot that is a mount, exec joins the container, and not the host" {
    jq '.process.args = ["sleep", "1000"] | .process.terminal = false' new/bundle/config.json >config
    mv config new/bundle/config.json
    cat >inside <<'END'
set -e
/hull-oci --root /state run --detach --bundle /bundle "$1" </dev/null >/dev/null 2>&1
/hull-oci --root /state exec "$1" sh -c 'ls /; cat /proc/1/cmdline' >/listed || code=$?
/hull-oci --root /state delete --force "$1"
exit ${code:-0}
END
    cp inside "$(command -v busybox)" new/
    run unshare --mount --propagation private sh -c 'mount --bind new new && cd new
        for directory in proc sys dev; do mount --rbind /$directory $directory || exit 99; done
        exec chroot . /busybox sh /inside "$1"' sh "$id" </dev/null
    echo "$output"
    equals 0 "$status"
    cat new/listed
    ! grep -qx hull-oci new/listed
    grep -qx bin new/listed
    grep -q sleep new/listed
}
