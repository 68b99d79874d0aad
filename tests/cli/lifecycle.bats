# create, start, run, state, kill, delete, list, ps, pause, resume; statuses, logs, --version.

load container

@test "create, start, kill and delete go through the states" {
    configure '.process.args = ["/bin/sleep", "1000"]'
    oci create --bundle "$bundle" "$id" </dev/null 3>&-
    equals created "$(container_status)"
    # The program isn't there yet: its process is still hull-oci.
    contains hull-oci "$(cat "/proc/$(container_pid)/comm" "/proc/$(container_pid)/cmdline" | tr '\0' ' ')"
    oci start "$id"
    equals running "$(container_status)"
    wait_until 5 grep -q sleep "/proc/$(container_pid)/comm"
    oci kill "$id" KILL
    wait_until 5 has_status stopped
    equals 0 "$(container_pid)"
    oci delete "$id"
    run oci state "$id"
    failed_with 1 "does not exist"
}

@test "state is a document of the specification, with runc's members" {
    configure '.annotations = {"org.example.key": "value"}'
    start_container
    oci state "$id" >document
    equals "$id" "$(jq -r .id document)"
    equals running "$(jq -r .status document)"
    equals "$(realpath "$bundle")" "$(jq -r .bundle document)"
    equals "$(realpath "$bundle")/rootfs" "$(jq -r .rootfs document)"
    equals value "$(jq -r '.annotations["org.example.key"]' document)"
    equals "$(jq -r .ociVersion "$bundle/config.json")" "$(jq -r .ociVersion document)"
    [ -d "/proc/$(jq -r .pid document)" ]
    # Within the last minute, as Go parses it.
    jq -e '.created | test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]+Z$")' document
    local age
    age=$(($(date +%s) - $(date -d "$(jq -r .created document)" +%s)))
    [ "$age" -ge -1 ] && [ "$age" -lt 60 ]
}

@test "exit statuses 0 to 255 come out of run" {
    local wanted
    for wanted in 0 1 2 77 126 128 254 255; do
        run_script "exit $wanted"
        equals "$wanted" "$status"
        equals '' "$output"
    done
}

@test "a program ended by a signal gives 128 and the signal's number" {
    # The first process of a pid namespace is spared by its own signals: without one.
    configure '.linux.namespaces |= map(select(.type != "pid"))'
    local signal
    for signal in 1 9 15 34 9 9 9 9 9 9; do
        run_script "kill -$signal \$\$"
        equals $((128 + signal)) "$status"
    done
}

@test "run passes signals on to the program" {
    use_script 'trap "exit 42" TERM; echo ready; while :; do sleep 0.01; done'
    in_background oci run --bundle "$bundle" "$id"
    local runner=${started[0]}
    wait_until 5 grep -q ready "$BATS_TEST_TMPDIR/background"
    kill -TERM "$(pgrep -P "$runner" -f hull-oci || echo "$runner")"
    local result=0
    wait "$runner" || result=$?
    equals 42 "$result"
    started=()
}

@test "run gives the program its standard streams" {
    use_script 'cat; echo second >&2'
    equals "$(printf 'first\n')" "$(echo first | oci run --bundle "$bundle" "$id" 2>errors)"
    equals second "$(cat errors)"
}

@test "run leaves nothing behind, and with --keep a stopped container" {
    run_script true
    succeeded
    equals '' "$(oci list -q)"
    run_script 'exit 3' --keep
    equals 3 "$status"
    equals stopped "$(container_status)"
    oci delete "$id"
    equals '' "$(oci list -q)"
}

@test "run --detach returns at once, and writes the pid file" {
    start_container --pid-file "$BATS_TEST_TMPDIR/pid"
    equals "$(container_pid)" "$(cat pid)"
    equals running "$(container_status)"
    run oci delete "$id"
    failed_with 1 running
    oci delete --force "$id"
    run oci kill "$id" KILL
    failed_with 1 "does not exist"
}

@test "create writes the pid file too" {
    configure '.process.args = ["/bin/true"]'
    oci create --pid-file "$BATS_TEST_TMPDIR/pid" --bundle "$bundle" "$id" </dev/null 3>&-
    equals "$(container_pid)" "$(cat pid)"
    oci delete "$id"
}

@test "relative paths are the caller's, not the bundle's" {
    configure '.process.args = ["/bin/sleep", "1000"]'
    "$HULL_OCI" --root state run --detach --pid-file pid --bundle bundle "$id" \
        </dev/null >/dev/null 2>&1 3>&-
    equals "$(container_pid)" "$(cat pid)"
}

@test "the bundle is the working directory by default" {
    use_script 'echo here'
    cd "$bundle"
    run oci run "$id" </dev/null
    succeeded
    equals here "$output"
}

@test "an id is taken once" {
    start_container
    run oci run --bundle "$bundle" "$id"
    failed_with 1 "exist"
    run oci create --bundle "$bundle" "$id"
    failed_with 1 "exist"
    equals running "$(container_status)"
}

@test "ids that aren't names are refused" {
    local bad
    for bad in . .. a/b '' ' ' "$(printf 'a\nb')" 'ü'; do
        run oci create --bundle "$bundle" -- "$bad" </dev/null 3>&-
        [ "$status" != 0 ] || {
            echo "took '$bad'"
            return 1
        }
    done
    equals '' "$(oci list -q)"
}

@test "verbs on a container in the wrong state say what it is" {
    configure '.process.args = ["/bin/true"]'
    oci create --bundle "$bundle" "$id" </dev/null 3>&-
    run oci resume "$id"
    failed_with 1 "not paused"
    oci start "$id"
    wait_until 5 has_status stopped
    run oci start "$id"
    failed_with 1 "cannot start a container"
    run oci kill "$id" TERM
    failed_with 1 "container not running"
    run oci exec "$id" true
    failed_with 255 "stopped container"
    run oci pause "$id"
    failed_with 1 "stopped"
    run oci start nothere
    failed_with 1 "does not exist"
}

@test "delete --force minds nothing" {
    oci delete --force "$id"
    configure '.process.args = ["/bin/sleep", "1000"]'
    oci create --bundle "$bundle" "$id" </dev/null 3>&-
    oci delete --force "$id"
    equals '' "$(oci list -q)"
}

@test "kill takes names and numbers, and TERM by default" {
    local signal
    use_script 'trap "echo USR1" USR1; trap "echo HUP" HUP; trap "echo TERM; exit" TERM
                echo ready; while :; do sleep 0.01; done'
    oci run --detach --bundle "$bundle" "$id" </dev/null >heard 3>&-
    wait_until 5 grep -q ready heard
    oci kill "$id" USR1
    wait_until 5 grep -q USR1 heard
    oci kill "$id" SIGHUP
    wait_until 5 grep -q HUP heard
    run oci kill "$id" NONSENSE
    failed_with 1 NONSENSE
    run oci kill "$id" 999
    failed_with 1 999
    oci kill "$id"
    wait_until 5 has_status stopped
    contains TERM "$(cat heard)"
}

@test "kill --all reaches every process, also without a pid namespace" {
    configure '.linux.namespaces |= map(select(.type != "pid"))'
    use_script 'sleep 1001 & sleep 1002 & wait'
    oci run --detach --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1 3>&-
    wait_until 5 test "$(oci ps --format json "$id" | jq length)" -ge 1
    has_three() { [ "$(oci ps --format json "$id" | jq length)" = 3 ]; }
    wait_until 5 has_three
    oci kill --all "$id" KILL
    has_none() { [ "$(oci ps --format json "$id" | jq length)" = 0 ]; }
    wait_until 5 has_none
    equals stopped "$(container_status)"
}

@test "delete ends what the first process left behind" {
    configure '.linux.namespaces |= map(select(.type != "pid"))'
    use_script 'sleep 1003 & echo $!'
    oci run --detach --bundle "$bundle" "$id" </dev/null >left 3>&-
    wait_until 5 has_status stopped
    [ -d "/proc/$(cat left)" ]
    oci delete "$id"
    gone() { [ ! -d "/proc/$(cat left)" ] || grep -q '^State:.Z' "/proc/$(cat left)/status"; }
    wait_until 5 gone
}

@test "list shows a table, ids, and JSON" {
    equals '[]' "$(oci list --format json)"
    start_container
    local first=$id
    id=$id-second
    configure '.process.args = ["/bin/true"]'
    oci create --bundle "$bundle" "$id" </dev/null 3>&-
    equals "$(printf '%s\n%s' "$first" "$id")" "$(oci list -q | sort)"
    oci list >table
    contains 'ID' "$(head -n 1 table)"
    contains 'OWNER' "$(head -n 1 table)"
    grep -E "^$first +[0-9]+ +running +$bundle +[0-9T:.-]+Z +root" table
    oci list --format json >document
    equals "$(printf 'created\nrunning')" "$(jq -r '.[].status' document | sort)"
    equals root "$(jq -r '.[0].owner' document)"
    run oci list --format yaml
    failed_with 1 yaml
    oci delete --force "$first"
}

@test "ps shows the container's processes and nobody else's" {
    start_container
    oci exec --detach "$id" sleep 999 >/dev/null 2>&1 3>&-
    equals 2 "$(oci ps --format json "$id" | jq length)"
    oci ps --format json "$id" | jq -e --argjson pid "$(container_pid)" 'index($pid) != null'
    oci ps "$id" >table
    equals 3 "$(wc -l <table)"
    contains PID "$(head -n 1 table)"
    # Without -e, ps looks at its own terminal's processes only, if it has one.
    oci ps "$id" -e -o pid,comm >table
    equals "$(printf 'sleep\nsleep')" "$(awk 'NR > 1 { print $2 }' table)"
    run oci ps "$id" -o comm
    failed_with 1 PID
}

@test "pause freezes, resume lets go on" {
    use_script 'i=0; while :; do i=$((i + 1)); echo $i >/tmp/count; sleep 0.01; done'
    oci run --detach --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1 3>&-
    local count=$bundle/rootfs/tmp/count before
    wait_until 5 test -s "$count"
    oci pause "$id"
    equals paused "$(container_status)"
    equals paused "$(oci list --format json | jq -r '.[0].status')"
    before=$(cat "$count")
    run oci pause "$id"
    failed_with 1 paused
    sleep 0.1
    equals "$before" "$(cat "$count")"
    oci resume "$id"
    equals running "$(container_status)"
    goes_on() { [ "$(cat "$count")" != "$before" ]; }
    wait_until 5 goes_on
}

@test "a paused container can be killed and deleted" {
    start_container
    oci pause "$id"
    oci kill "$id" KILL
    wait_until 5 has_status stopped
    oci delete "$id"
    start_container
    oci pause "$id"
    oci delete --force "$id"
    equals '' "$(oci list -q)"
}

@test "errors are one line on standard error, and a line in runc's JSON log" {
    run --separate-stderr oci --log "$BATS_TEST_TMPDIR/log" --log-format json \
        run --bundle "$bundle/missing" "$id"
    equals 1 "$status"
    equals '' "$output"
    equals 1 "${#stderr_lines[@]}"
    contains "$bundle/missing" "$stderr"
    equals 1 "$(wc -l <log)"
    equals error "$(jq -r .level log)"
    contains "$bundle/missing" "$(jq -r .msg log)"
    date -d "$(jq -r .time log)"
}

@test "the log can be text, and grows" {
    run oci --log "$BATS_TEST_TMPDIR/log" state nothere
    run oci --log "$BATS_TEST_TMPDIR/log" state "nor'here"
    equals 2 "$(wc -l <log)"
    head -n 1 log | grep -E '^time="[^"]+" level=error msg="'
}

@test "what fails while the container is made is the log's last word" {
    configure '.process.args = ["/missing"]'
    run oci --log "$BATS_TEST_TMPDIR/log" --log-format json run --bundle "$bundle" "$id"
    [ "$status" != 0 ]
    equals error "$(tail -n 1 log | jq -r .level)"
    contains 'exec: "/missing": stat /missing: no such file or directory' "$(tail -n 1 log | jq -r .msg)"
    equals '' "$(oci list -q)"
}

@test "--version has runc's layout" {
    run "$HULL_OCI" --version
    succeeded
    [[ "${lines[0]}" =~ ^hull-oci\ version\ [0-9]+\.[0-9]+ ]]
    [[ "${lines[1]}" =~ ^(commit|spec): ]]
    grep -E '^spec: 1\.[0-9]+\.[0-9]+' <<<"$output"
}

@test "features says what there is" {
    oci features >document
    equals 1.0.0 "$(jq -r .ociVersionMin document)"
    contains 1.2 "$(jq -r .ociVersionMax document)"
    equals '["cgroup","ipc","mount","network","pid","time","user","uts"]' \
        "$(jq -c '.linux.namespaces | sort' document)"
    jq -e '.hooks | length == 6' document
    jq -e '.mountOptions | index("rro") and index("tmpcopyup")' document
    jq -e '.linux.capabilities | index("CAP_SYS_ADMIN")' document
    jq -e '.linux.seccomp.enabled and (.linux.seccomp.actions | index("SCMP_ACT_NOTIFY"))' document
    jq -e '.linux.mountExtensions.idmap.enabled' document
}

@test "spec writes a configuration that runs, and no file twice" {
    mkdir other
    oci spec --bundle other
    jq -e '.process.args == ["sh"] and .root.path == "rootfs"' other/config.json
    run oci spec --bundle other
    failed_with 1 exist
}

@test "--debug logs how a command begins and ends" {
    configure '.process.args = ["/bin/true"]'
    run --separate-stderr oci --debug run --bundle "$bundle" "$id" </dev/null
    [ "$(grep -c level=debug <<<"$stderr")" -ge 2 ]
    oci --debug --log "$BATS_TEST_TMPDIR/log" --log-format json run --bundle "$bundle" "$id" </dev/null
    contains "ends with status 0" "$(jq -r 'select(.level == "debug").msg' log)"
}

@test "--no-pivot runs, and leaves no procfs that more could be mounted after" {
    configure '.process.capabilities |= map_values(. + ["CAP_SETFCAP"])'
    run_script 'cat /proc/self/comm; unshare -Urmpf mount -t proc none /proc' --no-pivot
    failed_with 1 "mount: permission denied"
    equals cat "${lines[0]}"
}

@test "unknown verbs and flags are refused" {
    run oci nonsense
    [ "$status" != 0 ]
    run oci run --nonsense "$id"
    failed_with 1 nonsense
    [ "$output" = "hull-oci: run: unknown flag '--nonsense' (see 'hull-oci run --help')" ]
    run oci run
    [ "$status" != 0 ]
    run oci state "$id" more
    [ "$status" != 0 ]
}

@test "closed standard streams do no harm" {
    use_script 'ls /proc/self/fd | wc -l >/tmp/count'
    oci run --bundle "$bundle" "$id" <&- >&- 2>&- 3>&-
    # 0, 1, 2, and ls's own.
    equals 4 "$(cat "$bundle/rootfs/tmp/count")"
}
