# No descriptor and no working directory of the host's gets into a container (CVE-2024-21626).

load attack

setup_file() {
    make_image
}

setup() {
    begin_attack
    # The caller is careless: it has directories of the host's open, for everybody to inherit. One
    # is the image's own directory as the host sees it, the same directory on another mount.
    exec 12<"$BATS_TEST_TMPDIR" 13<"$image/etc" 14</ 15</dev
    cp "$attack/privileges" "$BATS_TEST_TMPDIR/host-program"
}

teardown() {
    end_attack
}

list='exec ls /proc/self/fd'

# Fails if the container's output shows that it came out.
refute_escape() {
    [[ "$output" != *escaped* ]]
    [[ "$output" != *host-program* ]]
}

# From wherever it is, upwards to the host's root.
look_out='for up in . .. ../.. ../../.. ../../../.. ../../../../.. ../../../../../..; do
    ls $up; test -e $up/host-program && echo escaped; done; true'

@test "run, create with start, and exec pass on the standard streams only" {
    run run_container "$list" </dev/null
    [ "${lines[*]}" = "0 1 2 3" ] # 3 is the directory that is listed
    configure "$(script "ls /proc/self/fd; exec sleep 60")"
    hull create --bundle "$bundle" "$id-create" </dev/null >output 2>&1
    hull start "$id-create"
    wait_until 5 grep -q 3 output
    [ "$(tr '\n' ' ' <output)" = "0 1 2 3 " ]
    run hull exec "$id-create" ls /proc/self/fd
    [ "${lines[*]}" = "0 1 2 3" ]
}

@test "--preserve-fds passes on exactly as many" {
    configure "$(script "$list")"
    run "$HULL_OCI" --root "$state" run --preserve-fds 2 --bundle "$bundle" "$id" \
        3</dev/null 4</dev/null 5</ </dev/null
    [ "${lines[*]}" = "0 1 2 3 4 5" ] # 5 is the directory again
    start_container 'exec sleep 60'
    run "$HULL_OCI" --root "$state" exec --preserve-fds 2 "$id" ls /proc/self/fd \
        3</dev/null 4</dev/null 5</ </dev/null
    [ "${lines[*]}" = "0 1 2 3 4 5" ]
}

@test "a created container holds nothing of the host's, and lets nobody look" {
    configure "$(script 'exec sleep 60')"
    hull create --bundle "$bundle" "$id" </dev/null >output 2>&1
    run ls -l "/proc/$(hull state "$id" | jq .pid)/fd" # what the host sees
    echo "$output"
    [[ "$output" != *" 3 -> "* ]]
    [ "$(grep -c -- '->' <<<"$output")" -le 4 ] # the standard streams, and where it waits
    run hull exec "$id" sh -c 'for fd in /proc/1/fd/* /proc/1/cwd /proc/1/root; do
        readlink $fd && echo escaped; ls $fd/. && echo escaped; done'
    echo "$output"
    refute_escape
}

@test "working directories behind descriptors are refused, by run and by exec" {
    local number
    ln -s /proc/self/fd/13 "$image/thirteen"
    start_container 'exec sleep 60'
    for number in /proc/self/fd/{3..30} /proc/1/fd/{12..14} /thirteen /dev/fd/13 \
        /proc/thread-self/fd/13/../etc /proc/self/task/1/fd/13; do
        configure --arg cwd "$number" "$(script "$look_out") | .process.cwd = \$cwd"
        run hull run --bundle "$bundle" "$id-run" </dev/null
        echo "$number: $output"
        [ "$status" -ne 0 ]
        refute_escape
        [[ "$number" != */fd/2? ]] || continue # as high as exec's numbers may be
        run hull exec --cwd "$number" "$id" sh -c "$look_out" </dev/null
        echo "$number: $output"
        [ "$status" -ne 0 ]
        refute_escape
    done
}

@test "a working directory is refused also when it is a standard stream" {
    configure "$(script "$look_out") | .process.cwd = \"/proc/self/fd/0\""
    run hull run --bundle "$bundle" "$id" <"$image/etc"
    [ "$status" -ne 0 ]
    [[ "$output" == *"outside the container"* ]]
    refute_escape
}

@test "programs behind descriptors don't run" {
    local number path='' up=/../../../../../../../../../../..
    for number in {3..30}; do
        path+=/proc/self/fd/$number:/proc/self/fd/$number$up$BATS_TEST_TMPDIR:
    done
    start_container 'exec sleep 60'
    configure --arg path "PATH=$path" \
        '.process.args = ["host-program"] | .process.env = [$path]'
    run hull run --bundle "$bundle" "$id-run" </dev/null
    echo "$output"
    [ "$status" -ne 0 ]
    [[ "$output" == *"not found in \$PATH"* ]]
    run hull exec --env "PATH=$path" "$id" host-program </dev/null
    echo "$output"
    [ "$status" -ne 0 ]
    [[ "$output" == *"not found in \$PATH"* ]]
}

@test "interpreters behind descriptors don't run" {
    local number
    start_container 'exec sleep 60'
    for number in {3..15}; do
        echo "#!/proc/self/fd/$number/../../../../../../../../../bin/busybox echo" >"$image/program"
        chmod 755 "$image/program"
        configure '.process.args = ["/program"]'
        run hull run --bundle "$bundle" "$id-run" </dev/null
        [ "$status" -ne 0 ]
        run hull exec "$id" /program </dev/null
        [ "$status" -ne 0 ]
    done
}

@test "hooks get the standard streams only" {
    local hook
    cat >hook <<END
#!/bin/sh
ls /proc/self/fd | tr '\n' ' ' >>$BATS_TEST_TMPDIR/hooks
END
    chmod 755 hook
    configure --arg hook "$BATS_TEST_TMPDIR/hook" '.process.args = ["true"] |
        .hooks = ({prestart: 0, createRuntime: 0, createContainer: 0, poststart: 0, poststop: 0} |
            map_values([{path: $hook}]))'
    hull run --bundle "$bundle" "$id" </dev/null
    cat hooks
    [ "$(cat hooks)" = "0 1 2 3 0 1 2 3 0 1 2 3 0 1 2 3 0 1 2 3 " ]
}
