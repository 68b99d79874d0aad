# hull-monitor: output, input, the end of a container and the ways to it. monitor_faults.bats has what
# goes wrong.
load monitor

@test "output goes to the client and the log, the exit code to the status and the events" {
    manage
    use_script 'echo out; echo err >&2; exit 3'
    run_monitored
    equals 3 "$status"
    equals out "$output"
    equals err "$stderr"
    equals $'out\nerr' "$(logged | sort -r)"
    equals 'stderr stdout' "$(jq -r .stream "$kept/log" | sort | xargs)"
    [[ "$(jq -r .time "$kept/log" | head -n 1)" =~ ^20[0-9-]{8}T[0-9:]{8}\.[0-9]{9}Z$ ]]
    equals 'exited 3 0 false' "$(field '"\(.status) \(.exitCode) \(.restartCount) \(.oomKilled)"')"
    cmp "$run_directory/status" "$kept/status"
    equals $'start\ndie 3' "$(happened)"
    equals 'web busybox front' "$(jq -r '.Actor.Attributes | "\(.name) \(.image) \(.tier)"' "$events" | tail -n 1)"
    # Nothing is left of it.
    is_over
    equals '' "$(oci list -q)"
    [ ! -e "$run_directory/control" ]
}

@test "log records are docker's, byte by byte" {
    manage
    use_script 'printf "a\tb<&>\"\\\\\n\nx\377y\303\244\r\nend"'
    run_monitored
    sed 's/"time":.*/T/' "$kept/log" >found
    printf '%s\n' '{"log":"a\u0009b\u003c\u0026\u003e\"\\\n","stream":"stdout",T' \
        '{"log":"\n","stream":"stdout",T' '{"log":"x\ufffdyä\r\n","stream":"stdout",T' \
        '{"log":"end","stream":"stdout",T' >expected
    diff expected found
}

@test "lines over 16 KiB are several records" {
    manage
    use_script 'head -c 40000 /dev/zero | tr "\0" x; echo; echo next'
    run_monitored
    equals '16384 16384 7233 5' "$(jq -r '.log | length' "$kept/log" | xargs)"
    equals 40000 "$(logged | head -n 1 | tr -d '\n' | wc -c)"
}

@test "much input and much output don't wait for each other, whoever is slow" {
    manage '.openStdin = true | .stdinOnce = true'
    use_script 'cat; echo end'
    head -c 4000000 /dev/zero | timeout 50 "$HULL_MONITOR_CLIENT" run "$run_directory" "$HULL_MONITOR" i 3>&- |
        (sleep 1 && cat) >all
    equals 4000004 "$(wc -c <all)"
}

@test "input reaches the program, and its end when the first client's ends" {
    manage '.openStdin = true | .stdinOnce = true'
    # Late enough that more is waiting than fits into a pipe.
    use_script 'sleep 0.5; cat; echo end'
    run client run "$HULL_MONITOR" i < <(head -c 300000 /dev/zero | tr '\0' y)
    equals 0 "$status"
    equals $((300000 + 3)) "${#output}"
    [[ "$output" == *yend ]]
}

@test "without stdinOnce the input stays open for the next client" {
    manage '.openStdin = true'
    use_script 'read a; read b; echo "$a $b"'
    start_monitored
    client begin
    echo one | client attach i >/dev/null &
    first=$!
    run client attach i < <(sleep 0.3; echo two)
    wait "$first"
    equals 0 "$status"
    equals 'one two' "$output"
}

@test "several clients see the same; detaching leaves the container alone" {
    manage '.openStdin = true'
    use_script 'read go; echo hello; exit 4'
    start_monitored
    client begin
    client attach >one 2>&1 &
    one=$!
    client attach >two 2>&1 &
    two=$!
    client hold 0 >three &
    three=$!
    wait_until 5 grep -q attached three
    kill "$three" && wait "$three" || true
    sleep 0.2 # for the other two, whose attachment nothing shows
    printf 'go\n' | client attach i || true
    status=0
    wait "$one" || status=$?
    equals 4 "$status"
    wait "$two" || status=$?
    equals 4 "$status"
    equals hello "$(cat one)"
    equals hello "$(cat two)"
}

@test "a signal is exit code 128 and its number" {
    manage '.beginAtOnce = true'
    configure '.process.args = ["/bin/sleep", "1000"]'
    start_monitored
    client kill 9
    wait_until 5 is_over
    equals 'exited 137 true' "$(field '"\(.status) \(.exitCode) \(.stoppedByUser)"')"
    equals $'start\nkill 9\ndie 137' "$(happened)"
}

@test "what can't be executed has docker's exit codes, and is never begun" {
    manage
    configure '.process.args = ["/missing"]'
    run_monitored
    equals 127 "$status"
    contains 'no such file or directory' "$stderr"
    equals 'created 127' "$(field '"\(.status) \(.exitCode)"')"
    contains missing "$(field .error)"
    [ ! -e "$events" ]
    configure '.process.args = ["/etc/passwd"]'
    run_monitored
    equals 126 "$status"
    configure '.process.args = ["true"] | .root.path = "/missing"'
    run_monitored
    [ "$status" -ge 125 ]
    equals '' "$(oci list -q)"
}

@test "a terminal has its client's size, is resized, and lets go at the detach keys" {
    manage '.terminal = true | .openStdin = true | .rows = 11 | .columns = 22 | .beginAtOnce = true'
    configure '.process.terminal = true'
    use_script 'stty size; read x; stty size; echo "got $x"; read x; exit 5'
    start_monitored
    wait_until 5 eval 'logged 2>/dev/null | grep -q "11 22"'
    client resize 33 44
    # ctrl-p ctrl-q, typed at a terminal; a ctrl-p alone is the program's.
    status=0
    { sleep 0.3; printf 'a\020b\r'; sleep 0.3; printf '\020\021'; sleep 0.3; } |
        script -qec "stty rows 55 cols 66; '$HULL_MONITOR_CLIENT' attach '$run_directory' i t" /dev/null >typed || status=$?
    equals 250 "$status"
    contains '55 66' "$(cat typed)"
    contains $'got a\020b' "$(cat typed)"
    has_field .status running
    printf 'x\n' | client attach i || true
    wait_until 5 is_over
    equals 5 "$(field .exitCode)"
}

@test "stop sends the signal, then SIGKILL" {
    manage '.beginAtOnce = true | .restart = {name: "always", maximumRetryCount: 0}'
    use_script 'trap "echo caught; exit 9" USR1; echo ready; while :; do sleep 0.05; done'
    start_monitored
    wait_until 5 eval 'logged 2>/dev/null | grep -q ready'
    client stop 10 -1
    equals 'exited 9 true' "$(field '"\(.status) \(.exitCode) \(.stoppedByUser)"')"
    contains caught "$(logged)"
    wait_until 5 is_over
    equals $'start\nkill 10\ndie 9\nstop' "$(happened)"

    configure '.process.args = ["/bin/sh", "-c", "trap : TERM; while :; do sleep 1; done"]'
    start_monitored
    client stop 15 200
    equals 137 "$(field .exitCode)"
}

@test "a paused container is stopped, and a created one too" {
    manage
    configure '.process.args = ["/bin/sleep", "1000"]'
    start_monitored
    client begin
    client pause
    equals paused "$(field .status)"
    run client pause
    failed_with 1 paused
    client resume
    equals running "$(field .status)"
    client pause
    client stop 9 1000
    equals 'exited 137' "$(field '"\(.status) \(.exitCode)"')"
    has_happened pause
    has_happened unpause
    wait_until 5 is_over

    manage
    start_monitored
    client stop
    equals '' "$(oci list -q)"
    wait_until 5 is_over
    equals 'created 0 ' "$(field '"\(.status) \(.exitCode) \(.error)"')"
}

@test "on-failure restarts so many times, with longer and longer pauses" {
    manage '.beginAtOnce = true | .restart = {name: "on-failure", maximumRetryCount: 3}'
    use_script 'echo run; exit 6'
    local began=$EPOCHREALTIME
    start_monitored
    equals 6 "$(client wait)"
    equals 'exited 6 3' "$(field '"\(.status) \(.exitCode) \(.restartCount)"')"
    equals 4 "$(logged | grep -c run)"
    # 100 + 200 + 400 ms.
    [ $((${EPOCHREALTIME/./} - ${began/./})) -ge 700000 ]
    wait_until 5 is_over
    use_script 'exit 0'
    start_monitored
    wait_until 5 is_over
    equals 0 "$(field .restartCount)"
}

@test "always restarts until it is stopped, also between two runs, or the policy changes" {
    manage '.beginAtOnce = true | .restart = {name: "always", maximumRetryCount: 0}'
    use_script 'exit 0'
    start_monitored
    wait_until 10 has_field .restartCount 3
    client stop
    equals 'exited true' "$(field '"\(.status) \(.stoppedByUser)"')"
    wait_until 5 is_over

    manage '.beginAtOnce = true | .restart = {name: "unless-stopped", maximumRetryCount: 0}'
    use_script 'sleep 0.2; exit 2'
    start_monitored
    wait_until 10 has_field .restartCount 1
    client update no
    wait_until 5 is_over
    equals 'exited 2 false' "$(field '"\(.status) \(.exitCode) \(.stoppedByUser)"')"
}

@test "restart begins again at once, and an attached client leaves" {
    manage '.restart = {name: "on-failure", maximumRetryCount: 1}'
    configure '.process.args = ["/bin/sleep", "1000"]'
    start_monitored
    client begin
    first=$(field .pid)
    client attach >/dev/null &
    attached=$!
    sleep 0.2
    client restart 15 0
    equals 'running 0' "$(field '"\(.status) \(.restartCount)"')"
    [ "$(field .pid)" != "$first" ]
    status=0
    wait "$attached" || status=$?
    equals 137 "$status"
    has_happened restart
    client stop 9
}

@test "of a restart and a stop, the later one counts" {
    manage
    configure '.process.args = ["/bin/sh", "-c", "trap : TERM; while :; do sleep 0.05; done"]'
    start_monitored
    client begin
    client restart 15 30000 2>said &
    restarter=$!
    wait_until 5 has_happened 'kill 15'
    client stop 9
    status=0
    wait "$restarter" || status=$?
    equals '1 the container has ended' "$status $(cat said)"
    equals 'exited true' "$(field '"\(.status) \(.stoppedByUser)"')"
}

@test "wait for the next exit, and for the last" {
    manage '.beginAtOnce = true | .restart = {name: "on-failure", maximumRetryCount: 1}'
    use_script 'sleep 0.5; exit 7'
    start_monitored
    client wait >last &
    last=$!
    equals 7 "$(client wait next)"
    client alive
    wait "$last"
    equals '7 1' "$(cat last) $(field .restartCount)"
}

@test "the log rotates, and its older files are compressed" {
    manage '.log += {maxSize: 3000, maxFile: 4}'
    use_script 'i=0; while [ $i -lt 200 ]; do echo "line $i"; i=$((i + 1)); done'
    run_monitored
    equals 'log log.1 log.2 log.3 status' "$(ls "$kept" | xargs)"
    for file in "$kept"/log.*; do
        [ "$(stat -c %s "$file")" -le 3100 ]
    done
    equals 'line 199' "$(cat "$kept"/log.3 "$kept"/log.2 "$kept"/log.1 "$kept"/log | jq -rj .log | tail -n 1)"
    # Nothing is missing between the oldest and the newest.
    cat "$kept"/log.3 "$kept"/log.2 "$kept"/log.1 "$kept"/log | jq -rj .log | cut -d' ' -f2 >numbers
    seq "$(head -n 1 numbers)" 199 | diff - numbers

    rm "$kept"/log*
    manage '.log += {maxSize: 3000, maxFile: 2, compress: true}'
    use_script 'i=0; while [ $i -lt 60 ]; do echo "line $i"; i=$((i + 1)); done; sleep 0.5'
    run_monitored
    equals 'log log.1.gz status' "$(ls "$kept" | xargs)"
    zcat "$kept/log.1.gz" | jq -rj .log | grep -qx 'line 0'
}

@test "without a log driver nothing is written" {
    manage 'del(.log)'
    use_script 'echo hello'
    run_monitored
    equals hello "$output"
    equals status "$(ls "$kept")"
}

@test "a root of 120 layers is mounted where nobody else sees it" {
    local layers=$BATS_TEST_TMPDIR/layers/a-directory-whose-name-is-longer-than-layers-usually-have number
    mkdir -p "$layers"/{upper,work,target}
    for number in $(seq 119); do
        mkdir -p "$layers/$number"
        echo "$number" >"$layers/$number/number"
    done
    configure '.root.path = $path' --arg path "$layers/target"
    manage '.overlay = {target: "\($layers)/target", upper: "\($layers)/upper",
        work: "\($layers)/work", lower: ([range(119; 0; -1) | "\($layers)/\(.)"] + [$base])}' \
        --arg layers "$layers" --arg base "$bundle/rootfs"
    use_script 'cat /number; echo written >/new; grep -c overlay /proc/mounts'
    run_monitored
    equals 0 "$status"
    equals $'119\n1' "$output"
    equals written "$(cat "$layers/upper/new")"
    ! grep -q "$layers" /proc/self/mountinfo
    # Names that don't fit a page even so.
    local long=$BATS_TEST_TMPDIR/layers/$(printf 'n%.0s' $(seq 200))
    rm -rf "$layers"/{upper,work}
    mkdir "$layers"/{upper,work}
    for number in $(seq 30); do
        mkdir -p "$long-$number"
    done
    manage '.overlay = {target: "\($layers)/target", upper: "\($layers)/upper",
        work: "\($layers)/work", lower: ([range(30; 0; -1) | "\($long)-\(.)"] + [$base])}' \
        --arg layers "$layers" --arg base "$bundle/rootfs" --arg long "$long"
    use_script 'echo in'
    run_monitored
    equals in "$output"
}

@test "a health check makes it healthy and unhealthy" {
    manage '.beginAtOnce = true | .health = {test: ["/bin/sh", "-c", "echo checked; cat /tmp/well"],
        interval: 100000000, retries: 2}'
    use_script 'touch /tmp/well; sleep 1000'
    start_monitored
    equals starting "$(field .health.Status)"
    wait_until 5 has_field .health.Status healthy
    equals $'0 checked' "$(field '.health.Log[-1] | "\(.ExitCode) \(.Output)"')"
    rm "$bundle/rootfs/tmp/well"
    wait_until 5 has_field .health.Status unhealthy
    [ "$(field .health.FailingStreak)" -ge 2 ]
    wait_until 5 has_field '.health.Log | length' 5
    contains "can't open '/tmp/well'" "$(field '.health.Log[-1].Output')"
    touch "$bundle/rootfs/tmp/well"
    wait_until 5 has_field .health.FailingStreak 0
    equals 'health_status: healthy,health_status: unhealthy,health_status: healthy' \
        "$(happened | grep health | paste -sd,)"
    client stop 9
}

@test "a health check that takes too long is killed, and its output is bounded" {
    manage '.beginAtOnce = true | .health = {retries: 1, interval: 100000000, timeout: 400000000,
        test: ["/bin/sh", "-c", "sleep 900"]}'
    configure '.process.args = ["/bin/sleep", "1000"]'
    start_monitored
    wait_until 5 has_field .health.Status unhealthy
    equals '-1 true' "$(field '.health.Log[-1] | "\(.ExitCode) \(.Output | startswith("Health check exceeded"))"')"
    client stop 9
    wait_until 5 is_over
    manage '.beginAtOnce = true | .health = {interval: 100000000,
        test: ["/bin/sh", "-c", "yes | head -c 100000"]}'
    start_monitored
    wait_until 5 has_field .health.Status healthy
    equals 4099 "$(field '.health.Log[-1].Output | length')"
    client stop 9
}

@test "running out of memory is noticed" {
    manage '.beginAtOnce = true'
    configure '.linux.resources.memory = {limit: 16777216} | .linux.cgroupsPath = $path' \
        --arg path "/$id"
    use_script 'tail /dev/zero; exec tail /dev/zero'
    start_monitored
    wait_until 20 is_over
    equals '137 true' "$(field '"\(.exitCode) \(.oomKilled)"')"
    has_happened oom
}

@test "cleanup runs at the end, in the host's mount namespace, and the next monitor waits for it" {
    manage '.cleanup = ["/bin/sh", "-c", $script]' --arg script \
        "readlink /proc/self/ns/mnt >'$BATS_TEST_TMPDIR/namespace'; sleep 0.5; cp '$kept/status' '$BATS_TEST_TMPDIR/cleaned'"
    use_script 'exit 8'
    run_monitored
    equals 8 "$status"
    equals "$(readlink /proc/self/ns/mnt)" "$(cat namespace)"
    equals 8 "$(jq .exitCode cleaned)"
    # So does cleanup of one that couldn't be created; the next start waits for it.
    rm cleaned
    configure '.process.args = ["/missing"]'
    run_monitored
    equals 127 "$status"
    use_script 'exit 8'
    run_monitored
    equals 8 "$status"
    [ -e cleaned ]
}

@test "at the machine's end it stops, and may be started again with it" {
    manage '.beginAtOnce = true | .restart = {name: "always", maximumRetryCount: 0}'
    use_script 'trap "exit 3" TERM; echo ready; while :; do sleep 0.05; done'
    start_monitored
    wait_until 5 eval 'logged 2>/dev/null | grep -q ready'
    kill -TERM "$(field .monitor.pid)"
    wait_until 5 is_over
    equals 'exited 3 false' "$(field '"\(.status) \(.exitCode) \(.stoppedByUser)"')"
}

@test "after a reboot, the state directory says what ran" {
    manage '.beginAtOnce = true'
    use_script 'sleep 1000'
    start_monitored
    cp "$kept/status" before
    client stop 9
    wait_until 5 is_over
    client forget
    jq '.bootId = "another"' before >"$kept/status"
    equals 'exited true false' "$(field '"\(.effective) \(.rebooted) \(.monitorLost)"')"
    rm -r "$kept"
    equals none "$(client status "$kept")"
}

@test "a program that ends without reading its input has its status and all of its output" {
    local i
    manage '.openStdin = true | .stdinOnce = true'
    use_script 'head -c 100000 /dev/zero | tr "\0" y; exit 7'
    for i in 1 2 3 4 5 6 7 8; do
        rm -rf "$kept" && mkdir "$kept"
        run client run "$HULL_MONITOR" i </dev/zero
        equals "7 100000" "$status ${#output}"
    done
}
