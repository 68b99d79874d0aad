# Files that others can replace: the pid file, the state, the bundle; and the terminal, whose
# files are the container's.

load attack

setup_file() {
    make_image
}

setup() {
    begin_attack
    canary=$BATS_TEST_TMPDIR/canary
    mkdir "$canary"
    echo canary >"$canary/file"
    racer=
}

teardown() {
    [ -z "$racer" ] || kill "$racer" || true
    end_attack
    # Neither changed nor more.
    [ "$(cat "$canary"/*)" = canary ]
}

@test "a pid file that is a link is replaced, not followed" {
    configure "$(script 'exec sleep 60')"

    hull create --bundle "$bundle" --pid-file "$BATS_TEST_TMPDIR/pid" "$id" </dev/null >output 2>&1
    [ ! -L pid ]
    [ "$(cat pid)" = "$(hull state "$id" | jq .pid)" ]
    ln -sf "$canary/missing" pid
    hull exec --detach --pid-file "$BATS_TEST_TMPDIR/pid" "$id" sleep 60 </dev/null
    [ ! -L pid ]
}

@test "the file beside it, whose name can be guessed, isn't followed either" {
    local link
    configure "$(script 'exec sleep 60')"
    for link in -s ''; do
        # The shell's pid is the runtime's in the end.
        # shellcheck disable=SC2016
        HULL_OCI=$HULL_OCI bash -c 'ln $1 "$2/file" ".pid.$$" && shift 2 && exec "$HULL_OCI" "$@"' \
            - "$link" "$canary" --root "$state" create --bundle "$bundle" --pid-file "$BATS_TEST_TMPDIR/pid" \
            "$id-link$link" </dev/null >output 2>&1 3>&- || true
        cat output
        [ "$(cat "$canary/file")" = canary ]
        [ "$(cat pid)" = "$(hull state "$id-link$link" | jq .pid)" ]
    done
}

@test "the state is root's alone" {
    start_container 'exec sleep 60'
    [ "$(stat -c %a "$state")" = 700 ]
    [ -z "$(find "$state" -type f -perm /077)" ]
    run setpriv --reuid 4711 --clear-groups ls "$state"
    [ "$status" -ne 0 ]
}

@test "an id can't be a path" {
    local name verb
    configure "$(script true)"
    mkdir "$BATS_TEST_TMPDIR/victim"
    for name in . .. ../victim /victim a/b a/../b '' $'a\nb' 'a b' "$(printf 'a%.0s' {1..300})"; do
        for verb in 'run --bundle bundle' 'create --bundle bundle' start state kill \
            'delete --force' pause ps; do
            # shellcheck disable=SC2086
            run hull $verb "$name" </dev/null
            [ "$status" -ne 0 ]
            [[ "$output" == *"ID"* ]]
        done
    done
    [ -d "$BATS_TEST_TMPDIR/victim" ]
    [ -z "$(ls "$state")" ]
}

@test "a bundle that is exchanged all the time runs, or is an error, and leaves nothing" {
    configure "$(script 'echo ran')"
    ln -s "$canary" bundle.other
    "$attack/swap" "$BATS_TEST_TMPDIR" bundle bundle.other >racer 3>&- &
    racer=$!
    wait_until 5 grep -q ready racer
    local round
    for round in {1..20}; do
        run hull run --bundle "$bundle" "$id" </dev/null
        [ "$output" = ran ] || [ "$status" -eq 1 ]
        [ "$(ls "$canary")" = file ]
    done
    [ "$(hull list -q)" = "" ]
}

@test "a terminal is made from a devpts only, not from what the image has for one" {
    local decoy
    for decoy in 'echo decoy >ptmx' 'mkfifo ptmx' 'ln -s ../null ptmx' 'mknod ptmx c 1 3' \
        'mknod ptmx c 5 2' 'ln -s /proc/sys/kernel/core_pattern ptmx' 'mkdir ptmx'; do
        rm -rf "$image/dev"
        mkdir -p "$image/dev/pts"
        (cd "$image/dev/pts" && eval "$decoy")
        configure "$(script 'echo ran') | .process.terminal = true |
            del(.mounts[] | select(.destination | startswith(\"/dev\")))"
        run hull run --bundle "$bundle" "$id-run" </dev/null
        echo "$decoy: $output"
        [ "$status" -eq 1 ]
        [[ "$output" == *"/dev/pts/ptmx"* && "$output" != *ran* ]]
    done
}

@test "exec notices that the container has put something else in the place of its devpts" {
    # Root in the container may mount here, as a nested runtime's container may.
    start_container 'cp /bin/sh /dev/shm/; umount /dev/mqueue; mount -t tmpfs tmpfs /dev/pts &&
        mknod /dev/pts/ptmx c 1 3 && echo ready; exec sleep 60' \
        '.process.capabilities |= map_values(. + ["CAP_SYS_ADMIN", "CAP_MKNOD"])'
    wait_until 5 grep -q ready output
    run timeout 10 "$HULL_OCI" --root "$state" exec --tty "$id" echo ran </dev/null 3>&-
    echo "$output"
    [ "$status" -eq 255 ]
    [[ "$output" == *"not a devpts's"* ]]
}

@test "a container without a procfs, but with decoys in its place, has its terminals all the same" {
    mkdir -p "$image/proc/self/fd"
    local number
    for number in {3..30}; do
        ln -s /etc/passwd "$image/proc/self/fd/$number"
    done
    start_container 'exec sleep 60' 'del(.mounts[] | select(.destination == "/proc")) |
        .linux.maskedPaths = [] | .linux.readonlyPaths = []'
    run timeout 10 "$HULL_OCI" --root "$state" exec --tty "$id" sh -c 'tty; echo ran' </dev/null 3>&-
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *ran* ]]
}

@test "/dev/console is the terminal, mounted in the root, whatever the image has there" {
    rm -rf "$image/dev"
    mkdir -p "$image/dev"
    ln -s "$canary/file" "$image/dev/console"
    run run_container 'test -c /dev/console && cat /proc/self/mountinfo' '.process.terminal = true |
        del(.mounts[] | select(.destination == "/dev"))' </dev/null
    echo "$output"
    [ "$status" -eq 0 ]
    [ "$(grep -c 'devpts' <<<"$output")" -ge 2 ]
    [ ! -c "$canary/file" ]
}
