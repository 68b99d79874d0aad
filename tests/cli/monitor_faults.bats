# hull-monitor among slow and hostile clients, full disks, and people who kill it.
load monitor

@test "a lossless client that reads late gets every byte, after the end, too" {
    manage
    use_script 'head -c 2000000 /dev/zero | tr "\0" z; echo end'
    start_monitored
    client hold 1500 >all 2>&1 &
    held=$!
    wait_until 5 grep -q attached all
    client begin
    sleep 0.5
    # It is held up as by a full pipe: without that it would have ended by now.
    equals running "$(field .status)"
    wait "$held"
    equals $((9 + 2000000 + 4)) "$(stat -c %s all)"
    wait_until 5 is_over
    equals 2000004 "$(logged | wc -c)"

    # What is in the pipes at the end is no reason to call the container running.
    use_script 'head -c 150000 /dev/zero | tr "\0" z; echo end'
    start_monitored
    client hold 5000 >all 2>&1 &
    held=$!
    wait_until 5 grep -q attached all
    client begin
    wait_until 4 has_field .status exited
    is_over
    wait "$held"
    equals $((9 + 150000 + 4)) "$(stat -c %s all)"
}

@test "a client that only follows and takes nothing is dropped; the container goes on" {
    manage
    use_script 'head -c 2000000 /dev/zero | tr "\0" z; echo end'
    start_monitored
    client hold 0 follow >all 2>&1 &
    started+=($!)
    wait_until 5 grep -q attached all
    client begin
    wait_until 20 is_over
    equals 'exited 0' "$(field '"\(.status) \(.exitCode)"')"
    equals 2000004 "$(logged | wc -c)"
}

@test "packets that no client sends end that client's connection only" {
    manage '.beginAtOnce = true'
    configure '.process.args = ["/bin/sleep", "1000"]'
    start_monitored
    client send 1 3       # shorter than a header
    client send 99 16     # unknown
    client send 0 16
    client send 64 16     # an answer
    client send 12 100    # input, without being attached to it
    client send 12 16401  # more than a packet
    client send 2 17      # data, where none belongs
    client send 9 16      # renamed to nothing
    client send 11 16     # attached twice
    equals running "$(field .status)"
    # More clients than are served: the others wait, and are served then.
    for i in $(seq 70); do
        client wait >/dev/null &
        started+=($!)
    done
    client kill 9 &
    killer=$!
    for pid in "${started[@]:0:20}"; do
        kill "$pid" || true # the container may have ended, and this one with it
    done
    wait "$killer"
    wait_until 5 is_over
    equals 137 "$(field .exitCode)"
}

@test "somebody else's process is not served" {
    manage '.beginAtOnce = true'
    configure '.process.args = ["/bin/sleep", "1000"]'
    start_monitored
    equals 600 "$(stat -c %a "$run_directory/control")"
    chmod 711 "$BATS_TEST_TMPDIR" "$BATS_TEST_TMPDIR/run" "$run_directory"
    chmod 666 "$run_directory/control"
    cp "$HULL_MONITOR_CLIENT" "$BATS_TEST_TMPDIR/client"
    run setpriv --reuid 1234 --clear-groups "$BATS_TEST_TMPDIR/client" kill "$run_directory" 9
    equals 1 "$status"
    equals running "$(field .status)"
}

@test "a full disk costs log lines, nothing else" {
    mkdir small
    mount -t tmpfs -o size=64k none small
    manage '.log.path = $path' --arg path "$BATS_TEST_TMPDIR/small/log"
    use_script 'i=0; while [ $i -lt 2000 ]; do echo "line $i, which has some length"; i=$((i + 1)); done; exit 5'
    run_monitored
    records=$(wc -l <small/log)
    jq -e . small/log >/dev/null || records=broken
    umount small
    equals 5 "$status"
    equals 2000 "$(wc -l <<<"$output")"
    [ "$records" -gt 100 ] && [ "$records" -lt 2000 ]
}

@test "half a record of a killed monitor is cut off" {
    manage
    use_script 'echo whole'
    printf '{"log":"first\\n"}\n{"log":"ha' >"$kept/log"
    run_monitored
    equals $'first\nwhole' "$(logged)"
}

@test "two monitors never stand by one container" {
    manage '.beginAtOnce = true'
    configure '.process.args = ["/bin/sleep", "1000"]'
    start_monitored
    equals alive "$(client recover)"
    # The second one waits for the first.
    client start "$HULL_MONITOR" >second 2>&1 &
    second=$!
    sleep 0.3
    [ ! -s second ]
    first=$(field .monitor.pid)
    client stop 9
    wait "$second"
    [ "$(cat second)" != "$first" ]
    equals running "$(field .status)"
    client stop 9
}

@test "a monitor that was killed is noticed, and its container ended and accounted for" {
    manage '.beginAtOnce = true | .restart = {name: "unless-stopped", maximumRetryCount: 0}'
    configure '.process.args = ["/bin/sleep", "1000"]'
    start_monitored
    pid=$(field .pid)
    kill -KILL "$(field .monitor.pid)"
    wait_until 5 has_field .monitorLost true
    [ -d "/proc/$pid" ]
    run client stop
    failed_with 1 'not running'
    equals restart "$(client recover)"
    wait_until 5 [ ! -d "/proc/$pid" ] # whoever adopted it reaps it
    equals 'exited 137 false' "$(field '"\(.status) \(.exitCode) \(.monitorLost)"')"
    equals 137 "$(jq .exitCode "$kept/status")"
    equals $'start\ndie 137' "$(happened)"
    equals '' "$(oci list -q)"
    # Once is enough.
    equals recovered "$(client recover)"
    equals $'start\ndie 137' "$(happened)"
    start_monitored
    client stop 9
}

@test "recovery waits for what the runtime is doing for a killed monitor" {
    manage '.beginAtOnce = true'
    configure '.hooks.createRuntime = [{path: "/bin/sh", args: ["sh", "-c", $script]}]' --arg script \
        "touch '$BATS_TEST_TMPDIR/hook'; sleep 0.7"
    configure '.process.args = ["/bin/sleep", "1000"]'
    "$HULL_MONITOR" "$run_directory" 3>&- &
    monitor=$!
    wait_until 5 [ -e hook ]
    kill -KILL "$monitor"
    wait "$monitor" || true
    equals alive "$(client recover)"
    equals false "$(field .monitorLost)"
    wait_until 5 has_field .monitorLost true
    equals recovered "$(client recover)"
    equals '' "$(oci list -q)"
    # The program doesn't keep the lock: what it was given is no more than its streams.
    configure 'del(.hooks) | .process.args = ["/bin/ls", "/proc/self/fd"]'
    manage
    run_monitored
    equals '0 1 2 3' "$(xargs <<<"$output")"
}

# Kills a monitor at a random instant, and checks what every later command relies on.
kill_round() { # DELAY-MS
    rm -f "$run_directory"/* "$kept"/*
    manage '.restart = {name: "always", maximumRetryCount: 0} | .overlay = {target: "\($layers)/target",
        upper: "\($layers)/upper", work: "\($layers)/work", lower: [$base]}' \
        --arg layers "$layers" --arg base "$bundle/rootfs"
    "$HULL_MONITOR" "$run_directory" &
    local monitor=$!
    { client begin || client begin || true; } 2>/dev/null &
    local beginner=$!
    sleep "$(printf '0.%03d' "$1")"
    kill -KILL "$monitor" 2>/dev/null || true
    wait "$monitor" 2>/dev/null || true
    wait "$beginner" || true
    case $(field .status 2>/dev/null) in
    created | running | restarting | '') ;;
    *) return 1 ;;
    esac
    # The runtime may be at work for the dead monitor still.
    wait_until 10 eval '[ "$(client recover)" != alive ]' || return 1
    equals '' "$(oci list -q)" || return 1
    equals false "$(field .monitorLost)" || return 1
    case $(field .status) in
    created | exited) ;;
    *) return 1 ;;
    esac
    ! grep -q "$layers" /proc/[0-9]*/mountinfo 2>/dev/null || return 1
    jq -e . "$events" >/dev/null 2>&1 || [ ! -e "$events" ]
}

@test "killed at any instant, it leaves nothing that recovery doesn't clean" {
    layers=$BATS_TEST_TMPDIR/layers
    mkdir -p "$layers"/{upper,work,target}
    configure '.root.path = $path' --arg path "$layers/target"
    use_script 'sleep 0.01'
    local rounds=20 round
    RANDOM=${HULL_SEED:-1} # not local, which would make it a variable like any other
    [ -z "${HULL_LONG:-}" ] || rounds=200
    for round in $(seq "$rounds"); do
        delay=$((RANDOM % 120))
        kill_round "$delay" || {
            echo "round $round, killed after $delay ms" >&2
            client status "$kept"
            return 1
        }
    done
}

# In KiB: what no other process shares.
private_memory() { awk '/^Private_(Clean|Dirty):/ { sum += $2 } END { print sum }' "/proc/$1/smaps_rollup"; }

@test "it takes at most 1 MiB of private memory, at rest and after much output" {
    # As users execute it: sanitizers need much more.
    local plain
    plain=$(realpath "$(dirname "${HULL_STATIC_OCI:-$HULL_OCI}")/../../monitor/hull-monitor")
    ! grep -q asan "$plain" || skip "no monitor without sanitizers (tests/run builds it)"
    HULL_MONITOR=$plain
    manage '.beginAtOnce = true | .health = {interval: 50000000, test: ["/bin/true"]}'
    use_script 'sleep 0.3; head -c 5000000 /dev/urandom; echo done; exec sleep 1000'
    start_monitored
    monitor=$(field .monitor.pid)
    before=$(private_memory "$monitor")
    wait_until 10 eval 'tail -c 200 "$kept/log" | grep -q done'
    client attach >/dev/null &
    wait_until 5 has_field .health.Status healthy
    after=$(private_memory "$monitor")
    client stop 9
    echo "# private memory: $before KiB, then $after KiB" >&3
    [ "$before" -le 1024 ]
    [ "$after" -le 1024 ]
}

@test "twenty at once" {
    use_script 'echo hello; sleep 0.2; exit 11'
    local name=$id number
    directories=()
    for number in $(seq 20); do
        id=$name-$number run_directory=$BATS_TEST_TMPDIR/run/$number kept=$BATS_TEST_TMPDIR/kept/$number
        mkdir -p "$run_directory" "$kept"
        directories+=("$run_directory")
        manage
        client run "$HULL_MONITOR" </dev/null >"out-$number" 2>&1 &
        pids[number]=$!
    done
    for number in $(seq 20); do
        status=0
        wait "${pids[number]}" || status=$?
        equals '11 hello' "$status $(cat "out-$number")"
        equals 'exited 11' "$(jq -r '"\(.status) \(.exitCode)"' "$BATS_TEST_TMPDIR/kept/$number/status")"
    done
    equals 20 "$(happened | grep -c 'die 11')"
}
