# A hook that hangs, and what others can do about it from another terminal.

load helpers
load reliability

setup_file() { make_image; }
setup() { begin; }
teardown() { end; }

# A hook of this kind that says that it runs, and never ends.
hanging() { # KIND
    cat >"$BATS_TEST_TMPDIR/hang" <<END
#!/bin/sh
echo >"$BATS_FILE_TMPDIR/rootfs/hook-$BATS_TEST_NUMBER-$1" 2>/dev/null || echo >/hook-$BATS_TEST_NUMBER-$1
# A child too, which the end of the hook alone wouldn't end.
sleep 1000 &
wait
END
    chmod +x "$BATS_TEST_TMPDIR/hang"
    cp "$BATS_TEST_TMPDIR/hang" "$BATS_FILE_TMPDIR/rootfs/bin/hang"
    bundle bundle ".hooks.$1 = [{\"path\": \"$2\"}]" sleep 1000
}

hook_runs() { # KIND
    [ -f "$BATS_FILE_TMPDIR/rootfs/hook-$BATS_TEST_NUMBER-$1" ]
}

# From another terminal: the state can be read, and the container deleted.
delete_hanging() { # [LOOKS]
    local i
    for ((i = 0; i < ${1:-2}; i++)); do
        timeout 5 "$HULL_OCI" --root "$root" state "$id" >said
    done
    jq -e .status said
    oci list | grep -q "$id"
    timeout 10 "$HULL_OCI" --root "$root" delete --force "$id"
    expect_nothing_left
}

hangs_in_create() { # KIND PATH
    hanging "$1" "$2"
    oci create --bundle bundle "$id" 2>error 3>&- &
    wait_until 10 hook_runs "$1"
    is_status "$id" creating
    delete_hanging
    if wait $!; then false; fi
    is_one_line_error "$(cat error)"
}

@test "a prestart hook that hangs" {
    hangs_in_create prestart "$BATS_TEST_TMPDIR/hang"
}

@test "a createRuntime hook that hangs" {
    hangs_in_create createRuntime "$BATS_TEST_TMPDIR/hang"
}

@test "a createContainer hook that hangs" {
    hangs_in_create createContainer "$BATS_TEST_TMPDIR/hang"
}

@test "a startContainer hook that hangs" {
    hanging startContainer /bin/hang
    oci create --bundle bundle "$id"
    oci start "$id" 2>error 3>&- &
    wait_until 10 hook_runs startContainer
    is_status "$id" created
    delete_hanging 70 # more than the queue of a socket holds
    if wait $!; then false; fi
}

@test "a poststart hook that hangs" {
    hanging poststart "$BATS_TEST_TMPDIR/hang"
    oci create --bundle bundle "$id"
    oci start "$id" 2>error 3>&- &
    wait_until 10 hook_runs poststart
    is_status "$id" running
    delete_hanging
    if wait $!; then false; fi
}

@test "a poststop hook that hangs" {
    hanging poststop "$BATS_TEST_TMPDIR/hang"
    oci create --bundle bundle "$id"
    oci delete --force "$id" 2>error 3>&- &
    wait_until 10 hook_runs poststop
    is_status "$id" stopped
    delete_hanging
    # The container is gone, and that is what counts (runtime.md, "Lifecycle"); of the hook it warns.
    wait $!
    grep -q 'poststop hook 0: .*killed by signal 9' error
}

@test "a hook that outlives a killed create" {
    hanging createRuntime "$BATS_TEST_TMPDIR/hang"
    HULL_MARK=$id "$HULL_OCI" --root "$root" create --bundle bundle "$id" 2>error 3>&- &
    local runtime=$!
    wait_until 10 hook_runs createRuntime
    kill -KILL $runtime
    wait_until 5 is_status "$id" stopped
    list_remains | grep -q hang
    oci delete "$id"
    expect_nothing_left
}

@test "a container that was paused before its start" {
    bundle bundle . sleep 1000
    oci create --bundle bundle "$id"
    oci pause "$id"
    is_status "$id" paused
    run oci start "$id"
    [ "$status" = 1 ]
    [[ "$output" == *"paused"* ]]
    delete_hanging 70
}

@test "a container that was paused before its start goes on" {
    bundle bundle . sleep 1000
    oci create --bundle bundle "$id"
    oci pause "$id"
    oci resume "$id"
    is_status "$id" created
    oci start "$id"
    is_status "$id" running
}
