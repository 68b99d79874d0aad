# What can happen to a `run` that stays: signals, streams that close, its own end.

load helpers
load reliability

setup_file() { make_image; }
setup() { begin; }
teardown() { end; }

# A foreground run in the background; its pid is $runtime, its output in "said".
run_foreground() {
    rm -f said # or the last run's "ready" would be taken for this one's
    HULL_MARK=$id "$HULL_OCI" --root "$root" run --bundle bundle "$id" >said 2>error 3>&- &
    runtime=$!
    wait_until 10 grep -q ready said
}

# Ends the run if that hangs, so that the test does not.
ends_with() { # STATUS
    local status=0
    wait_until 10 has_ended || kill -KILL "$runtime"
    wait "$runtime" || status=$?
    [ "$status" = "$1" ] || {
        echo "exit status $status: $(cat error)"
        return 1
    }
}

has_ended() {
    ! kill -0 "$runtime" 2>/dev/null || [[ "$(cat "/proc/$runtime/stat")" == *") Z "* ]]
}

@test "signals reach the program" {
    local signal
    bundle bundle . sh -c 'for s in INT TERM HUP USR1 QUIT; do trap "echo got $s; exit 3" $s; done
        echo ready; while :; do sleep 1000 & wait; done'
    for signal in INT TERM HUP USR1 QUIT; do
        # An interactive shell's children have SIGINT and SIGQUIT as they should be.
        run_foreground
        kill -"$signal" "$runtime"
        ends_with 3
        grep -q "got $signal" said
        expect_nothing_left
    done
}

@test "a program that ignores signals keeps running" {
    bundle bundle . sh -c 'trap "" INT TERM HUP; echo ready; exec sleep 1000'
    run_foreground
    kill -INT "$runtime"
    kill -TERM "$runtime"
    kill -HUP "$runtime"
    is_status "$id" running
    kill -0 "$runtime"
    oci kill "$id" KILL
    ends_with 137
    expect_nothing_left
}

@test "a run that is killed leaves a container that can be deleted" {
    local terminal
    for terminal in false true; do
        bundle bundle ".process.terminal = $terminal" sh -c \
            'trap "" HUP; echo ready; sleep 1000 & wait'
        run_foreground
        kill -KILL "$runtime"
        ends_with 137
        is_status "$id" running
        oci exec "$id" true
        oci delete --force "$id"
        expect_nothing_left
    done
}

@test "a run whose parent is gone goes on" {
    bundle bundle . sh -c 'echo ready; exec sleep 1000'
    bash -c '"$HULL_OCI" --root "$1" run --bundle bundle "$2" >said 2>error & echo $! >pid' \
        bash "$root" "$id" 3>&-
    wait_until 10 grep -q ready said
    runtime=$(cat pid)
    is_status "$id" running
    kill -0 "$runtime"
    # The program is an init, which a signal that it doesn't handle can't end.
    kill -HUP "$runtime"
    is_status "$id" running
    oci kill "$id" KILL
    wait_until 10 has_ended
    expect_nothing_left
}

@test "output into a closed pipe ends the program, not before its time the run" {
    local status=0
    bundle bundle . sh -c 'yes; exit 5'
    mkfifo pipe
    cat pipe >/dev/null 3>&- &
    exec 4>pipe
    kill $!
    wait $! || true
    oci run --bundle bundle "$id" >&4 2>error 3>&- 4>&- || status=$?
    exec 4>&-
    [ "$status" = 5 ]
    expect_nothing_left
}

@test "a terminal's output into a closed pipe is dropped" {
    bundle bundle '.process.terminal = true' sh -c 'seq 30000; exit 5'
    { oci run --bundle bundle "$id" 3>&- || echo $? >status; } 2>error | true
    [ "$(cat status)" = 5 ]
    expect_nothing_left
}

@test "input that is never read stops nobody" {
    local terminal
    for terminal in false true; do
        bundle bundle ".process.terminal = $terminal" sh -c 'usleep 100000; exit 4'
        yes 2>/dev/null | { oci run --bundle bundle "$id" 3>&- || echo $? >status; } >said
        [ "$(cat status)" = 4 ]
        expect_nothing_left
    done
}

@test "closed standard streams are nobody's" {
    local status=0
    # What is open in the program is no file of ours.
    bundle bundle . sh -c 'for fd in 0 1 2; do
        [ "$(readlink /proc/1/fd/$fd)" = /dev/null ] || exit 9; done; exit 7'
    oci run --bundle bundle "$id" <&- >&- 2>&- || status=$?
    [ "$status" = 7 ]
    bundle bundle . sh -c 'exit 7'
    status=0
    oci run --bundle bundle "$id" <&- 2>&- || status=$?
    [ "$status" = 7 ]
    status=0
    oci run --bundle bundle "$id" >&- || status=$?
    [ "$status" = 7 ]
    oci create --bundle bundle "$id" <&- >&- 2>&-
    oci start "$id" <&- >&- 2>&-
    oci delete --force "$id" <&- >&- 2>&-
    expect_nothing_left
}
