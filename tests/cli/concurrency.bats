# Many at once, on many containers and on one.

load helpers
load reliability

setup_file() { make_image; }
setup() { begin; }
teardown() { end; }

# One of several writers: writer NUMBER COUNT
writer() {
    local i name
    for ((i = 0; i < $2; i++)); do
        name=$id-$1-$i
        oci create --bundle bundle "$name" && oci start "$name" && oci state "$name" >/dev/null &&
            oci delete --force "$name" || echo "$name failed"
    done
}

@test "200 containers created, started and deleted by 20 writers at once" {
    local writer started=${EPOCHREALTIME/./} count=10
    bundle bundle . sleep 1000
    for writer in {1..20}; do
        writer "$writer" "$count" >>log 2>&1 3>&- &
    done
    wait
    echo "# 200 containers by 20 writers: $(((${EPOCHREALTIME/./} - started) / 1000)) ms" >&3
    cat log
    [ ! -s log ]
    list_remains "$id"
    expect_nothing_left
}

@test "50 runs of quick programs at once" {
    local i processes=()
    bundle bundle . sh -c 'echo ran; exit 7'
    for i in {1..50}; do
        oci run --bundle bundle "$id-$i" >"out-$i" 2>&1 3>&- &
        processes+=($!)
    done
    for i in "${processes[@]}"; do
        local status=0
        wait "$i" || status=$?
        [ "$status" = 7 ] || {
            cat out-*
            false
        }
    done
    [ "$(cat out-* | sort | uniq -c | tr -s ' ')" = " 50 ran" ]
    expect_nothing_left
}

# at_once COUNT VERB...: numbers of those that succeeded and failed, all at the same time
at_once() {
    local count=$1 i good=0 bad=0 processes=()
    shift
    for ((i = 0; i < count; i++)); do
        oci "$@" >/dev/null 2>"error-$1-$i" 3>&- &
        processes+=($!)
    done
    for i in "${processes[@]}"; do
        local status=0
        wait "$i" || status=$?
        case $status in
        0) good=$((good + 1)) ;;
        1) bad=$((bad + 1)) ;;
        *)
            echo "exit status $status"
            cat error-"$1"-*
            return 1
            ;;
        esac
    done
    for ((i = 0; i < count; i++)); do
        [ ! -s "error-$1-$i" ] || is_one_line_error "$(cat "error-$1-$i")" || {
            cat "error-$1-$i"
            return 1
        }
    done
    echo "$good good, $bad bad"
}

@test "20 creates of one name at once: one succeeds" {
    bundle bundle . sleep 1000
    [ "$(at_once 20 create --bundle bundle "$id" | tee /dev/stderr)" = "1 good, 19 bad" ]
    is_status "$id" created
    [ "$(cat error-create-* | grep -c 'already exists')" = 19 ]
    oci delete "$id"
    expect_nothing_left
}

@test "20 starts of one container at once: one succeeds" {
    bundle bundle . sleep 1000
    oci create --bundle bundle "$id"
    [ "$(at_once 20 start "$id" | tee /dev/stderr)" = "1 good, 19 bad" ]
    [ "$(cat error-start-* | grep -c 'cannot start a container in the running state')" = 19 ]
    is_status "$id" running
}

@test "20 deletes of one container at once: one succeeds" {
    bundle bundle . sleep 1000
    oci create --bundle bundle "$id"
    [ "$(at_once 20 delete "$id" | tee /dev/stderr)" = "1 good, 19 bad" ]
    [ "$(cat error-delete-* | grep -c 'does not exist')" = 19 ]
    expect_nothing_left
}

@test "20 forced deletes of one container at once: all succeed" {
    bundle bundle . sleep 1000
    oci run --detach --bundle bundle "$id"
    [ "$(at_once 20 delete --force "$id" | tee /dev/stderr)" = "20 good, 0 bad" ]
    expect_nothing_left
}

@test "all verbs on one container at once" {
    local verb round results processes
    bundle bundle . sleep 1000
    for round in 1 2 3 4 5; do
        oci create --bundle bundle "$id"
        processes=()
        for verb in {1..4}; do
            oci start "$id" 2>"error-start-$verb" >/dev/null 3>&- &
            processes+=($!)
            oci kill "$id" KILL 2>"error-kill-$verb" >/dev/null 3>&- &
            processes+=($!)
            oci state "$id" 2>"error-state-$verb" >/dev/null 3>&- &
            processes+=($!)
            oci exec "$id" true 2>"error-exec-$verb" >/dev/null 3>&- &
            processes+=($!)
            oci delete --force "$id" 2>"error-delete-$verb" >/dev/null 3>&- &
            processes+=($!)
        done
        for verb in "${processes[@]}"; do
            results=0
            wait "$verb" || results=$?
            # 137: the program that exec ran was killed with its container. 255: exec failed.
            [[ $results == [01] || $results == 137 || $results == 255 ]]
        done
        for verb in error-*; do
            [ ! -s "$verb" ] || is_one_line_error "$(cat "$verb")" || {
                cat "$verb"
                false
            }
        done
        expect_nothing_left
    done
}

@test "a state read while a container comes and goes is always true" {
    local i writer seen
    bundle bundle . sleep 1000
    (for i in {1..8}; do
        oci run --detach --bundle bundle "$id" && oci delete --force "$id" || exit 1
    done) 2>writer-error 3>&- &
    writer=$!
    while kill -0 $writer 2>/dev/null; do
        if oci state "$id" >said 2>error; then
            seen=$(jq -er .status said)
            [[ $seen == creating || $seen == running || $seen == stopped ]]
        else
            grep -q 'does not exist' error
        fi
        oci list >/dev/null
    done
    wait $writer
}
