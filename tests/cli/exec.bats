# exec: what it joins, and every flag.

load container

setup() {
    setup_container
    start_container
}

in_container() { run oci exec "$@" </dev/null; }

@test "the status, the streams and the arguments are the program's" {
    local wanted
    for wanted in 0 1 42 126 255; do
        in_container "$id" sh -c "exit $wanted"
        equals "$wanted" "$status"
    done
    equals one "$(echo one | oci exec "$id" cat)"
    run --separate-stderr oci exec "$id" sh -c 'echo out; echo err >&2'
    equals out "$output"
    equals err "$stderr"
    in_container "$id" sh -c 'kill -9 $$'
    equals 137 "$status"
    # Flags after the container's name are the program's.
    in_container "$id" echo --tty -e
    equals '--tty -e' "$output"
}

@test "errors of exec itself are 255, so that they don't look like the program's" {
    in_container "$id-other" true
    failed_with 255 "does not exist"
    in_container "$id" /missing
    failed_with 255 'exec: "/missing": stat /missing: no such file or directory'
    in_container "$id" missing
    failed_with 255 'exec: "missing": executable file not found in $PATH'
    in_container "$id" /etc
    failed_with 255 'is a directory'
    in_container "$id" /etc/passwd
    failed_with 255 'permission denied'
    in_container "$id"
    [ "$status" != 0 ]
}

@test "it joins exactly the container's namespaces" {
    local kind
    for kind in cgroup ipc mnt net pid time user uts; do
        equals "$(readlink "/proc/$(container_pid)/ns/$kind")" \
            "$(oci exec "$id" readlink "/proc/self/ns/$kind")"
    done
    # Its children's, too.
    for kind in pid_for_children time_for_children; do
        equals "$(readlink "/proc/$(container_pid)/ns/$kind")" \
            "$(oci exec "$id" readlink "/proc/self/ns/$kind")"
    done
}

@test "it is in the container's cgroup in every hierarchy" {
    oci exec --detach --pid-file "$BATS_TEST_TMPDIR/pid" "$id" sleep 998 >/dev/null 2>&1 3>&-
    equals "$(cat "/proc/$(container_pid)/cgroup")" "$(cat "/proc/$(cat pid)/cgroup")"
}

@test "it has the container's root, and its parent isn't to be seen" {
    touch "$bundle/rootfs/marked"
    in_container "$id" ls /marked
    succeeded
    in_container "$id" sh -c 'echo $PPID'
    equals 0 "$output"
}

@test "--cwd" {
    in_container --cwd /etc "$id" pwd
    equals /etc "$output"
    in_container --cwd etc "$id" pwd
    failed_with 255 absolute
    in_container --cwd /missing "$id" pwd
    [ "$status" = 255 ]
    in_container "$id" pwd
    equals / "$output"
}

@test "--env adds variables, the last wins" {
    in_container --env ONE=1 -e "TWO=2 3" --env ONE=uno "$id" sh -c 'echo "$ONE,$TWO,$PATH"'
    equals 'uno,2 3,/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' "$output"
    in_container "$id" sh -c 'echo $HOME'
    equals /root "$output"
}

@test "--user and --additional-gids" {
    in_container --user 1000 "$id" sh -c 'id -u; id -g; echo $HOME'
    equals '1000 0 /home/user' "${lines[*]}"
    in_container --user 1000:1001 -g 7 --additional-gids 8 "$id" id
    equals 'uid=1000(user) gid=1001 groups=7,8' "$output"
    in_container --user user "$id" id
    failed_with 255 "--user"
    in_container -g x "$id" id
    failed_with 255 "--additional-gids"
}

bit_of() { # STATUS-LINE NUMBER
    echo $((0x$(awk -v line="$1:" '$1 == line { print $2 }' <<<"$output") >> $2 & 1))
}

@test "--cap adds to bounding, effective and permitted" {
    in_container "$id" cat /proc/self/status
    equals 000 "$(bit_of CapBnd 12)$(bit_of CapEff 12)$(bit_of CapPrm 12)"
    in_container --cap CAP_NET_ADMIN "$id" cat /proc/self/status
    equals 111 "$(bit_of CapBnd 12)$(bit_of CapEff 12)$(bit_of CapPrm 12)"
    equals 1 "$(bit_of CapEff 5)"
    in_container --cap CAP_NONSENSE "$id" true
    failed_with 255 CAP_NONSENSE
}

@test "--cap adds to the ambient set where there is an inheritable one" {
    oci delete --force "$id"
    configure '.process.capabilities = {bounding: ["CAP_KILL", "CAP_SYSLOG"],
        permitted: ["CAP_KILL"], inheritable: ["CAP_SYSLOG", "CAP_KILL"]}'
    start_container
    in_container --user 1000 --cap CAP_SYSLOG "$id" cat /proc/self/status
    equals 111 "$(bit_of CapAmb 34)$(bit_of CapEff 34)$(bit_of CapInh 34)"
}

@test "--no-new-privs" {
    oci delete --force "$id"
    configure '.process.noNewPrivileges = false'
    start_container
    in_container "$id" grep NoNewPrivs /proc/self/status
    contains 0 "$output"
    in_container --no-new-privs "$id" grep NoNewPrivs /proc/self/status
    contains 1 "$output"
}

@test "--apparmor and --process-label where the host has none say so" {
    [ ! -d /sys/kernel/security/apparmor ] || skip "the host has AppArmor"
    in_container --apparmor some-profile "$id" true
    equals 255 "$status"
    [[ "${output,,}" == *apparmor* ]]
    [ ! -d /sys/fs/selinux ] || skip "the host has SELinux"
    in_container --process-label some_label "$id" true
    [[ "${output,,}" == *selinux* ]]
}

@test "--process reads a whole process" {
    jq -n '{args: ["sh", "-c", "echo $A; pwd; id -u; umask; cat /proc/self/oom_score_adj; ulimit -n"],
        env: ["A=b", "PATH=/bin"], cwd: "/tmp", user: {uid: 5, gid: 6, umask: 63},
        oomScoreAdj: 77, rlimits: [{type: "RLIMIT_NOFILE", soft: 33, hard: 44}]}' >process.json
    in_container --process process.json "$id"
    succeeded
    equals 'b /tmp 5 0077 77 33' "${lines[*]}"
    in_container --process process.json "$id" true
    [ "$status" != 0 ]
    echo '{"args": 3}' >process.json
    in_container --process process.json "$id"
    failed_with 255 args
}

@test "--detach and --pid-file" {
    oci exec --detach --pid-file "$BATS_TEST_TMPDIR/pid" "$id" sleep 997 >/dev/null 2>&1 3>&-
    wait_until 5 grep -q 997 "/proc/$(cat pid)/cmdline"
    oci ps --format json "$id" | jq -e --argjson pid "$(cat pid)" 'index($pid)'
    in_container --pid-file /missing/pid "$id" true
    failed_with 255 /missing/pid
}

@test "--preserve-fds and LISTEN_FDS" {
    in_container "$id" ls /proc/self/fd
    equals '0 1 2 3' "${lines[*]}"
    echo content >file
    run oci exec --preserve-fds 2 "$id" sh -c 'cat <&4; ls /proc/self/fd' 3<file 4<file 5<file
    equals 'content 0 1 2 3 4 5' "${lines[*]}"
    LISTEN_FDS=1 run oci exec "$id" sh -c 'echo $LISTEN_FDS; [ $LISTEN_PID = $$ ] && cat <&3' 3<file
    equals '1 content' "${lines[*]}"
    run oci exec --preserve-fds 9 "$id" true 3>&-
    [ "$status" = 255 ]
}

@test "--ignore-paused waits for the container to go on" {
    oci pause "$id"
    in_container "$id" true
    failed_with 255 paused
    in_background oci exec --ignore-paused "$id" echo went on
    still() { [ "$(oci ps --format json "$id" | jq length)" = 2 ]; }
    wait_until 5 still
    oci resume "$id"
    wait_until 5 grep -q 'went on' "$BATS_TEST_TMPDIR/background"
}

@test "--cgroup runs it below" {
    mkdir "$(cgroup_directory pids)/below"
    in_container --cgroup pids:/below "$id" cat /proc/self/cgroup
    if on_pure_v2; then
        in_container --cgroup below "$id" cat /proc/self/cgroup
    fi
    succeeded
    grep -E '/below$' <<<"$output"
    in_container --cgroup .. "$id" true
    failed_with 255 "not a sub cgroup"
    in_container --cgroup missing "$id" true
    [ "$status" = 255 ]
}

@test "--tty gives it a terminal, with the size and the newlines of ours" {
    run script -qec "stty rows 31 cols 97; $HULL_OCI --root $state exec --tty $id \
        sh -c 'tty; stty size; readlink /proc/self/fd/1; echo one; echo two'" /dev/null </dev/null
    contains '/dev/pts/0' "$output"
    contains '31 97' "$output"
    contains $'one\r\ntwo\r' "$output"
    # Into a pipe: as it was written.
    equals $'one\ntwo' "$(oci exec --tty "$id" sh -c 'echo one; echo two' </dev/null)"
    run oci exec --tty "$id" sh -c 'exit 7' </dev/null
    equals 7 "$status"
    in_container --tty --detach "$id" true
    failed_with 255 console-socket
}

@test "--console-socket hands the terminal over" {
    in_background "$HULL_BUILD/tests/helpers/console_receiver" "$BATS_TEST_TMPDIR/socket" 22 33 'typed
'
    wait_until 5 test -S socket
    oci exec --tty --detach --console-socket "$BATS_TEST_TMPDIR/socket" "$id" \
        sh -c 'read line; echo "got $line"; stty size'
    wait_until 5 grep -q '22 33' "$BATS_TEST_TMPDIR/background"
    contains 'got typed' "$(cat background)"
    in_container --console-socket "$BATS_TEST_TMPDIR/socket" "$id" true
    failed_with 255 console-socket
}

@test "a process that ends at once, and one whose child lives on" {
    in_container "$id" true
    succeeded
    in_container "$id" sh -c 'sleep 996 >/dev/null 2>&1 & echo left'
    equals left "$output"
}
