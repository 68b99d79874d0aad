# The static hull-oci in a chroot, whose root is a directory of a file system, not a mount point:
# there the first process can't set up its mount namespace, and says so.

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
