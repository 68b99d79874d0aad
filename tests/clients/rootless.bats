#!/usr/bin/env bats
# Podman and hull-oci run by an ordinary user. The testbed has that user; with systemd there the
# user's own systemd makes the cgroups, and limits can be set.
bats_require_minimum_version 1.5.0
load clients

user=user

setup_file() {
    if ! grep -qs "^$user:" /etc/subuid || ! id "$user" >/dev/null 2>&1; then
        export skip_reason="no user '$user' with subordinate ids: the testbed has one"
        return
    fi
    require_client podman podman && require_client newuidmap uidmap || return 0
    find_runtime
    export directory=$BATS_FILE_TMPDIR/user BATS_TEST_TIMEOUT=120
    if with_systemd; then
        export runtime_directory=/run/user/$(id -u "$user")
        loginctl enable-linger "$user"
        eventually test -S "$runtime_directory/bus"
    else
        export runtime_directory=$BATS_FILE_TMPDIR/runtime
        install -d -o "$user" -m 700 "$runtime_directory"
    fi
    chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$(dirname "$BATS_FILE_TMPDIR")"
    install -d -o "$user" "$directory"
    make_root "$directory/image"
    tar -C "$directory/image" -cf "$directory/image.tar" .
    cat >"$directory/containers.conf" <<END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[network]
network_backend = "netavark"
[engine]
events_logger = "file"
END
    p import --quiet "$directory/image.tar" box >/dev/null
}

teardown_file() {
    [ -z "${skip_reason:-}" ] || return 0
    [ -n "${directory:-}" ] || return 0 # setup_file failed before it made anything
    ! with_systemd || loginctl disable-linger "$user"
}

teardown() {
    [ -z "${skip_reason:-}" ] || return 0
    p pod rm --force --all --time 0 >/dev/null
    p rm --force --all --time 0 >/dev/null
}

# p ARGUMENT…: Podman as the ordinary user
p() {
    local manager=cgroupfs
    ! with_systemd || manager=systemd
    (cd / && exec setpriv --reuid "$user" --regid "$user" --init-groups env --ignore-environment \
        PATH="$PATH" HOME="$directory" XDG_RUNTIME_DIR="$runtime_directory" \
        DBUS_SESSION_BUS_ADDRESS="unix:path=$runtime_directory/bus" \
        CONTAINERS_CONF="$directory/containers.conf" \
        podman --log-level error --storage-driver vfs --cgroup-manager "$manager" \
        --runtime "$HULL_OCI" "$@")
}

@test "rootless podman run: output, exit status, ids" {
    run p run --rm --network none box sh -c 'id -u; cat /proc/self/uid_map; exit 7'
    equals 7 "$status"
    equals 0 "${lines[0]}"
    contains "$(id -u "$user")" "${lines[1]}"
    run p run --rm --network none --user 12:34 box sh -c 'id -u; touch /tmp/mine && stat -c %g /tmp/mine'
    equals $'12\n34' "$output"
}

@test "rootless podman run: a terminal, volumes" {
    install -d -o "$user" "$directory/volume"
    run p run --rm --tty --network none --volume "$directory/volume:/data" box sh -c 'tty; echo x >/data/x'
    equals 0 "$status"
    contains /dev/ "$output"
    equals "$user" "$(stat -c %U "$directory/volume/x")"
}

@test "rootless podman exec, top, kill, rm" {
    p run --detach --name one --network none box sleep 1000
    run p exec --env FOO=bar one sh -c 'echo $FOO; exit 9'
    equals 9 "$status"
    equals bar "$output"
    contains "sleep 1000" "$(p top one pid args)"
    p kill one
    equals 137 "$(p wait one)"
    p start one
    p rm --force --time 0 one
    equals "" "$(p ps --all --quiet)"
}

@test "rootless podman run with a network of its own" {
    run p run --rm --network slirp4netns box sh -c 'ip -o addr show tap0'
    equals 0 "$status"
    contains 10.0.2.100 "$output"
}

@test "rootless podman: limits, pause and stats" {
    with_systemd || skip "no systemd hands the user a cgroup here"
    p run --detach --name one --memory 64m --pids-limit 20 --network none box sleep 1000
    equals $((64 << 20)) "$(memory_limit p exec one)"
    contains "/ 67.11MB" "$(p stats --no-stream --format '{{.MemUsage}}' one)"
    p pause one
    equals paused "$(p inspect --format '{{.State.Status}}' one)"
    p unpause one
    p exec one true
}
