# The process of config.json, as its program finds itself.

load container

status_line() { awk -v name="$1:" '$1 == name { print $2 }' <<<"$output"; }

@test "capabilities: all five sets as they are given" {
    configure '.process.capabilities = {bounding: ["CAP_CHOWN", "CAP_KILL", "CAP_SETGID", "CAP_SYS_CHROOT"],
        permitted: ["CAP_CHOWN", "CAP_KILL", "CAP_SETGID"], effective: ["CAP_CHOWN"],
        inheritable: ["CAP_KILL", "CAP_CHOWN"], ambient: ["CAP_KILL"]} | .process.user.uid = 1000'
    run_script 'cat /proc/self/status'
    succeeded
    # For an ordinary user the ambient set is what execve leaves: capabilities(7).
    equals 0000000000040061 "$(status_line CapBnd)"
    equals 0000000000000021 "$(status_line CapInh)"
    equals 0000000000000020 "$(status_line CapPrm)"
    equals 0000000000000020 "$(status_line CapEff)"
    equals 0000000000000020 "$(status_line CapAmb)"
}

@test "capabilities: none where none are given" {
    configure 'del(.process.capabilities)'
    run_script 'cat /proc/self/status'
    equals 0000000000000000 "$(status_line CapBnd)"
    equals 0000000000000000 "$(status_line CapEff)"
}

@test "capabilities: ambient ones that aren't inheritable can't be raised" {
    configure '.process.capabilities = {bounding: ["CAP_KILL"], permitted: ["CAP_KILL"], ambient: ["CAP_KILL"]}'
    run_script 'cat /proc/self/status'
    equals 0000000000000000 "$(status_line CapAmb)"
}

@test "user, groups and umask" {
    configure '.process.user = {uid: 1000, gid: 1001, additionalGids: [4, 20], umask: 23}'
    run_script 'id; umask; echo $HOME'
    equals 'uid=1000(user) gid=1001 groups=4,20 0027 /home/user' "${lines[*]}"
    configure '.process.user = {uid: 0, gid: 0}'
    run_script 'id; umask; echo $HOME'
    contains '0022 /root' "${lines[*]}"
}

@test "HOME is the image's, / for a stranger, or what env says" {
    configure '.process.user = {uid: 4444, gid: 0}'
    run_script 'echo $HOME'
    equals / "$output"
    configure '.process.env += ["HOME=/elsewhere"]'
    run_script 'echo $HOME'
    equals /elsewhere "$output"
}

@test "the environment is exactly what is given" {
    configure '.process.env = ["A=1", "B=x y", "A=2", "PATH=/bin", "EMPTY="]'
    configure '.process.args = ["/bin/env"]'
    run oci run --bundle "$bundle" "$id" </dev/null
    equals 'A=2 B=x y EMPTY= HOME=/root PATH=/bin' "$(sort <<<"$output" | tr '\n' ' ' | sed 's/ $//')"
}

@test "a missing working directory is made, a file in its place is an error" {
    configure '.process.cwd = "/new/directory"'
    run_script pwd
    equals /new/directory "$output"
    [ -d "$bundle/rootfs/new/directory" ]
    configure '.process.cwd = "/etc/passwd/x"'
    run_script pwd
    failed_with 1 /etc/passwd/x
}

@test "rlimits" {
    configure '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 100, hard: 200},
        {type: "RLIMIT_CORE", soft: 0, hard: 0}, {type: "RLIMIT_CPU", soft: 50, hard: 60}]'
    run_script 'ulimit -Sn; ulimit -Hn; ulimit -c; ulimit -St; ulimit -Ht'
    equals '100 200 0 50 60' "${lines[*]}"
    configure '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 300, hard: 200}]'
    run_script true
    failed_with 1 rlimits
}

@test "noNewPrivileges, oomScoreAdj, personality" {
    configure '.process.noNewPrivileges = true | .process.oomScoreAdj = 123
        | .linux.personality = {domain: "LINUX32"}'
    run_script 'grep NoNewPrivs /proc/self/status; cat /proc/self/oom_score_adj; uname -m'
    equals $'NoNewPrivs:\t1 123 i686' "${lines[*]}"
    configure '.process.noNewPrivileges = false | del(.linux.personality) | del(.process.oomScoreAdj)'
    run_script 'grep NoNewPrivs /proc/self/status; cat /proc/self/oom_score_adj; uname -m'
    equals "$(printf 'NoNewPrivs:\t0') $(cat /proc/self/oom_score_adj) $(uname -m)" "${lines[*]}"
}

@test "scheduler and ioPriority" {
    configure '.process.scheduler = {policy: "SCHED_BATCH", nice: 7}
        | .process.ioPriority = {class: "IOPRIO_CLASS_BE", priority: 6}'
    start_container
    contains SCHED_BATCH "$(chrt -p "$(container_pid)")"
    equals 7 "$(ps -o ni= -p "$(container_pid)" | tr -d ' ')"
    equals 'best-effort: prio 6' "$(ionice -p "$(container_pid)")"
    # exec is the container's process too.
    equals 7 "$(oci exec "$id" cut -d ' ' -f 19 /proc/self/stat)"
}

@test "processors that the runtime is kept to aren't the container's limit" {
    [ "$(nproc)" -gt 1 ] || skip "the host has one processor"
    configure '.process.args = ["/bin/sleep", "1000"]'
    taskset -c 0 "$HULL_OCI" --root "$state" run --detach --bundle "$bundle" "$id" \
        </dev/null >/dev/null 2>&1 3>&-
    local all
    all=$(grep Cpus_allowed_list /proc/self/status)
    equals "$all" "$(grep Cpus_allowed_list "/proc/$(container_pid)/status")"
    equals "$all" "$(taskset -c 0 "$HULL_OCI" --root "$state" exec "$id" \
        grep Cpus_allowed_list /proc/self/status)"
}

@test "the session is its own, and signals are as a program expects them" {
    run_script 'cut -d " " -f 1,5,6 /proc/$$/stat; grep -E "Sig(Blk|Ign)" /proc/$$/status' --detach
    configure '.process.args = ["/bin/cat", "/proc/self/stat", "/proc/self/status"]'
    trap '' USR1
    run oci run --bundle "$bundle" "$id-2" </dev/null
    trap - USR1
    equals '1 1 1' "$(head -n 1 <<<"$output" | awk '{ print $1, $5, $6 }')"
    equals 0000000000000000 "$(status_line SigBlk)"
    equals 0000000000000000 "$(status_line SigIgn)"
}

@test "arguments that can't be executed: runc's words" {
    local words
    words='exec: "/missing": stat /missing: no such file or directory'
    configure '.process.args = ["/missing"]'
    run oci run --bundle "$bundle" "$id" </dev/null
    failed_with 1 "$words"
    run oci create --bundle "$bundle" "$id" </dev/null 3>&-
    failed_with 1 "$words"
    configure '.process.args = ["missing"]'
    run oci run --bundle "$bundle" "$id" </dev/null
    failed_with 1 'exec: "missing": executable file not found in $PATH'
    configure '.process.args = ["/etc/passwd"]'
    run oci run --bundle "$bundle" "$id" </dev/null
    failed_with 1 'exec: "/etc/passwd": stat /etc/passwd: permission denied'
    configure '.process.args = ["/etc"]'
    run oci run --bundle "$bundle" "$id" </dev/null
    failed_with 1 'is a directory'
    printf 'not a program' >"$bundle/rootfs/garbage"
    chmod +x "$bundle/rootfs/garbage"
    configure '.process.args = ["/garbage"]'
    run oci run --bundle "$bundle" "$id" </dev/null
    failed_with 1 'exec format error'
    printf '#!/no/interpreter\n' >"$bundle/rootfs/garbage"
    run oci run --bundle "$bundle" "$id" </dev/null
    failed_with 1 'no such file or directory'
    equals '' "$(oci list -q)"
}

@test "args[0] is looked up in the process's own PATH" {
    mkdir "$bundle/rootfs/mine"
    printf '#!/bin/sh\necho mine\n' >"$bundle/rootfs/mine/sh"
    chmod +x "$bundle/rootfs/mine/sh"
    configure '.process.args = ["sh", "-c", "echo other"] | .process.env = ["PATH=/mine:/bin"]'
    run oci run --bundle "$bundle" "$id" </dev/null
    equals mine "$output"
}

@test "a terminal in the foreground: its size, its newlines, its devices" {
    configure '.process.terminal = true | .process.consoleSize = {height: 12, width: 34}'
    run_script 'stty size; tty; echo one; ls -l /dev/console | cut -c 1'
    equals '12 34 /dev/pts/0 one c' "${lines[*]}"
    use_script 'stty size; echo one; exit 5'
    # Our own terminal's size counts where there is one.
    run script -qec "stty rows 41 cols 87; $HULL_OCI --root $state run --bundle $bundle $id" \
        /dev/null </dev/null
    equals 5 "$status"
    contains $'41 87\r\none' "$output"
}

@test "a terminal in the foreground takes input and signals of the keyboard" {
    configure '.process.terminal = true'
    use_script 'trap "echo interrupted; exit 3" INT; echo ready; while :; do sleep 0.01; done'
    keyboard() {
        wait_until 5 grep -q ready "$BATS_TEST_TMPDIR/screen"
        printf '\003'
        wait_until 5 grep -q interrupted "$BATS_TEST_TMPDIR/screen"
    }
    local result=0
    touch screen
    keyboard | script -qefc "$HULL_OCI --root $state run --bundle $bundle $id" /dev/null >screen || result=$?
    equals 3 "$result"
    contains interrupted "$(cat screen)"
}

@test "a terminal for a console socket" {
    configure '.process.terminal = true'
    use_script 'stty size; read line; echo "got $line"; stty size'
    run oci create --bundle "$bundle" "$id" </dev/null 3>&-
    failed_with 1 console-socket
    in_background "$HULL_BUILD/tests/helpers/console_receiver" "$BATS_TEST_TMPDIR/socket" 22 33 'typed
'
    wait_until 5 test -S socket
    oci create --console-socket "$BATS_TEST_TMPDIR/socket" --bundle "$bundle" "$id" </dev/null 3>&-
    oci start "$id"
    wait_until 5 grep -q 'got typed' "$BATS_TEST_TMPDIR/background"
    wait_until 5 has_status stopped
    contains '22 33' "$(cat background)"
    oci delete "$id"
    configure '.process.terminal = false'
    run oci run --detach --console-socket "$BATS_TEST_TMPDIR/socket" --bundle "$bundle" "$id" </dev/null 3>&-
    failed_with 1 terminal
}

@test "LISTEN_FDS and --preserve-fds, and no other descriptor" {
    echo content >file
    use_script 'echo $LISTEN_FDS $LISTEN_PID; cat <&3; ls /proc/self/fd'
    LISTEN_FDS=1 run oci run --preserve-fds 1 --bundle "$bundle" "$id" </dev/null 3<file 4<file 5<file
    equals '1 1 content 0 1 2 3 4 5' "${lines[*]}"
    run_script 'ls /proc/self/fd'
    equals '0 1 2 3' "${lines[*]}"
    # Meant for another process than us.
    use_script 'echo "[$LISTEN_FDS]"'
    LISTEN_PID=1 LISTEN_FDS=1 run oci run --bundle "$bundle" "$id" </dev/null 3<file
    equals '[]' "$output"
}

@test "AppArmor and SELinux labels where the host has none are refused" {
    [ ! -d /sys/kernel/security/apparmor ] || skip "the host has AppArmor"
    configure '.process.apparmorProfile = "profile"'
    run_script true
    equals 1 "$status"
    [[ "${output,,}" == *apparmor* ]]
}

@test "the session keyring is the container's own" {
    grep -q . /proc/keys || skip "the kernel has no keyrings"
    configure '.linux.maskedPaths = []'
    run_script 'cat /proc/keys'
    succeeded
    contains "_ses.$id" "$output"
    # The kernel collects the key of the first container a little later.
    wait_until 10 eval "! grep -q '_ses.$id' /proc/keys"
    run_script 'cat /proc/keys' --no-new-keyring
    [[ "$output" != *"_ses.$id"* ]]
}
