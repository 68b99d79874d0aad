# The static hull-oci and the one with the shared libraries, which it executes when it needs them.

load container

setup() {
    [ -n "${HULL_STATIC_OCI:-}" ] || skip "HULL_STATIC_OCI doesn't name a static hull-oci"
    HULL_OCI=$HULL_STATIC_OCI
    dynamic=$(dirname "$HULL_STATIC_OCI")/hull-oci-dynamic
    setup_container
    # A pair of our own, as it is installed.
    mkdir -p "$BATS_TEST_TMPDIR"/prefix/{sbin,libexec/hull}
    cp "$HULL_STATIC_OCI" "$BATS_TEST_TMPDIR/prefix/sbin/hull-oci"
    cp "$dynamic" "$BATS_TEST_TMPDIR/prefix/libexec/hull/"
    HULL_OCI=$BATS_TEST_TMPDIR/prefix/sbin/hull-oci
    other=$BATS_TEST_TMPDIR/prefix/libexec/hull/hull-oci-dynamic
    configure '.process.args = ["echo", "ran"]'
    mkdir -m 700 "$state" # where filters are kept
}

use_profile() {
    configure '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO"}]}'
}

@test "the program that callers execute needs no shared library" {
    run ldd "$HULL_OCI"
    [[ $output == *"statically linked"* || $output == *"not a dynamic executable"* ]]
    run ldd "$other"
    [[ $output == *libjansson* ]]
}

@test "both are installed where the one finds the other" {
    build=${HULL_STATIC_OCI%/src/oci/*}
    meson install -C "$build" --no-rebuild --quiet --destdir "$BATS_TEST_TMPDIR/root"
    program=$(find "$BATS_TEST_TMPDIR/root" -name hull-oci -type f -perm -u+x)
    [[ $("$program" --version) == *$'\nlibseccomp: '[0-9]* ]]
}

@test "a container without a seccomp profile runs without the other program" {
    rm "$other"
    [ "$(oci run --bundle "$bundle" "$id")" = ran ]
}

@test "a profile is compiled by the other program, once" {
    use_profile
    configure '.process.args = ["sh", "-c", "mkdir /tmp/x 2>&1; true"]'
    [[ $(oci run --bundle "$bundle" "$id") == *"Operation not permitted"* ]]
    # From then on the compiled filter is there.
    rm "$other"
    [[ $(oci run --bundle "$bundle" "$id") == *"Operation not permitted"* ]]
}

@test "exec compiles a profile that the cache has lost" {
    use_profile
    configure '.process.args = ["sleep", "100"]'
    oci run --detach --bundle "$bundle" "$id"
    rm -r "$state/.seccomp"
    run oci exec "$id" sh -c 'mkdir /tmp/x; echo in'
    [[ $output == *"Operation not permitted"*in ]]
}

@test "without the other program the error names it, and nothing is left" {
    use_profile
    rm "$other"
    run oci run --bundle "$bundle" "$id"
    [ "$status" = 1 ]
    [[ $output == *"linux.seccomp: compiling it needs "*hull-oci-dynamic*"install hull again"* ]]
    [ -z "$(oci list -q)" ]
}

@test "descriptors, standard input and the exit status come through" {
    use_profile
    configure '.process.args = ["sh", "-c", "cat; cat <&3; exit 7"]'
    run bash -c 'echo first | "$0" --root "$1" run --preserve-fds 1 --bundle "$2" "$3" 3<<<second' \
        "$HULL_OCI" "$state" "$bundle" "$id"
    [ "$output" = $'first\nsecond' ]
    [ "$status" = 7 ]
}

@test "--version and features tell libseccomp's version" {
    [[ $(oci --version) == *$'\nlibseccomp: '[0-9]* ]]
    [ "$(oci features | jq -r '.annotations["io.github.seccomp.libseccomp.version"]')" != null ]
}

@test "an ordinary user's copy finds the other program" {
    use_profile
    chmod -R a+rX "$BATS_TEST_TMPDIR/prefix"
    chown -R 12345:12345 "$BATS_TEST_TMPDIR/prefix" "$bundle"

    chown 12345:12345 "$state"
    configure '.linux.namespaces += [{type: "user"}] | del(.linux.resources) |
        .linux.uidMappings = [{containerID: 0, hostID: 12345, size: 1}] |
        .linux.gidMappings = [{containerID: 0, hostID: 12345, size: 1}] |
        .mounts = [.mounts[] | select(.destination == "/proc" or .destination == "/dev")] |
        .linux.seccomp.syscalls = [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO"}] |
        .process.args = ["sh", "-c", "mkdir /tmp/x 2>&1; echo in"]'
    for directory in "$BATS_TEST_TMPDIR" "$BATS_RUN_TMPDIR"; do
        while [ "$directory" != / ] && [ -O "$directory" ]; do
            chmod a+x "$directory"
            directory=$(dirname "$directory")
            [[ $directory != /tmp ]] || break
        done
    done
    run setpriv --reuid=12345 --regid=12345 --clear-groups \
        "$HULL_OCI" --root "$state" run --bundle "$bundle" "$id"
    [[ $output == *"Operation not permitted"*in ]]
}

@test "without a bus, --systemd-cgroup is refused by the program that has the library" {
    configure '.linux.cgroupsPath = "system.slice:hull:test"'
    DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nowhere run oci --systemd-cgroup run --bundle "$bundle" "$id"
    [ "$status" = 1 ]
    [[ $output == *"systemd"* && $output != *"install hull again"* ]]
    rm "$other"
    run oci --systemd-cgroup run --bundle "$bundle" "$id"
    [[ $output == *"the systemd cgroup manager needs "*hull-oci-dynamic* ]]
}
