# Seccomp: actions, architectures, and the listener of an agent.

load container

# A filter: use_filter DEFAULT SYSCALLS-AS-JQ
use_filter() { configure ".linux.seccomp = {defaultAction: \"$1\", architectures: [\"SCMP_ARCH_X86_64\"], syscalls: $2}"; }

for_both_privileges() {
    local more
    for more in true false; do
        configure '.process.noNewPrivileges = $more' --argjson more "$more"
        "$@" || return
    done
}

@test "SCMP_ACT_ERRNO, with and without no_new_privs" {
    use_filter SCMP_ACT_ALLOW '[{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28},
        {names: ["rmdir"], action: "SCMP_ACT_ERRNO"}]'
    errno() {
        run_script 'mkdir /x; rmdir /tmp; grep -E "Seccomp:|NoNewPrivs" /proc/self/status; echo after'
        succeeded
        contains 'No space left' "$output"
        contains 'Operation not permitted' "$output"
        contains $'Seccomp:\t2' "$output"
    }
    for_both_privileges errno
}

@test "SCMP_ACT_KILL_PROCESS, SCMP_ACT_TRAP, SCMP_ACT_LOG" {
    use_filter SCMP_ACT_ALLOW '[{names: ["mkdir"], action: "SCMP_ACT_KILL_PROCESS"},
        {names: ["rmdir"], action: "SCMP_ACT_TRAP"}, {names: ["chmod"], action: "SCMP_ACT_LOG"}]'
    run_script 'mkdir /x; echo $?; rmdir /tmp; echo $?; chmod 700 /tmp; echo $?'
    # 128 and SIGSYS
    equals '159 159 0' "$(grep -x '[0-9]*' <<<"$output" | xargs)"
    [ ! -e "$bundle/rootfs/x" ]
}

@test "arguments of calls are compared" {
    # kill(2) of signal 0 only.
    use_filter SCMP_ACT_ALLOW '[{names: ["kill"], action: "SCMP_ACT_ERRNO", errnoRet: 28,
        args: [{index: 1, value: 0, op: "SCMP_CMP_EQ"}]}]'
    run_script 'kill -0 $$; echo $?; kill -WINCH $$; echo $?'
    equals '1 0' "$(grep -x '[0-9]*' <<<"$output" | xargs)"
}

@test "a list of what is allowed keeps all else from being called" {
    use_filter SCMP_ACT_ERRNO '[{names: ["execve", "exit_group", "write", "brk", "mmap", "munmap",
        "mprotect", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "prlimit64", "getrandom",
        "readlinkat", "readlink", "newfstatat", "prctl", "getuid", "uname", "fstat"], action: "SCMP_ACT_ALLOW"}]'
    configure '.process.args = ["/bin/echo", "allowed"]'
    run oci run --bundle "$bundle" "$id" </dev/null
    succeeded
    equals allowed "$output"
    configure '.process.args = ["/bin/mkdir", "/x"]'
    run oci run --bundle "$bundle" "$id" </dev/null
    failed_with 1 'not permitted'
}

@test "the filter also holds for exec, and for create and start" {
    use_filter SCMP_ACT_ALLOW '[{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28}]'
    both() {
        configure '.process.args = ["/bin/sh", "-c", "mkdir /x 2>/error; exec sleep 1000"]'
        oci create --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1 3>&-
        oci start "$id"
        wait_until 5 test -s "$bundle/rootfs/error"
        contains 'No space' "$(cat "$bundle/rootfs/error")"
        run oci exec "$id" mkdir /y
        failed_with 1 'No space'
        equals "$(cut -d: -f2 <<<"$(grep CapEff: "/proc/$(container_pid)/status")")" \
            "$(cut -d: -f2 <<<"$(oci exec "$id" grep CapEff: /proc/self/status)")"
        oci delete --force "$id"
        rm "$bundle/rootfs/error"
    }
    for_both_privileges both
}

start_agent() {
    rm -f socket agent-state
    "$HULL_BUILD/tests/helpers/seccomp_agent" "$BATS_TEST_TMPDIR/socket" \
        "$BATS_TEST_TMPDIR/agent-state" 95 3>&- &
    started+=($!)
    wait_until 5 test -S socket
}

use_agent() {
    use_filter SCMP_ACT_ALLOW '[{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_NOTIFY"}]'
    configure '.linux.seccomp += {listenerPath: $path, listenerMetadata: "some metadata"} | .annotations = {key: "value"}' \
        --arg path "$BATS_TEST_TMPDIR/socket"
}

@test "an agent answers, with run" {
    use_agent
    notify() {
        start_agent
        run_script 'mkdir /x; echo after'
        succeeded
        contains 'Operation not supported' "$output"
        contains after "$output"
    }
    for_both_privileges notify
    equals 'some metadata' "$(jq -r .metadata agent-state)"
    equals '["seccompFd"]' "$(jq -c .fds agent-state)"
    equals "$id creating value" "$(jq -r '.state | "\(.id) \(.status) \(.annotations.key)"' agent-state)"
    equals "$(jq .pid agent-state)" "$(jq .state.pid agent-state)"
    equals "$(jq -r .ociVersion "$bundle/config.json")" "$(jq -r .ociVersion agent-state)"
}

@test "an agent answers, with create and start, and another in exec" {
    use_agent
    notify() {
        start_agent
        configure '.process.args = ["/bin/sh", "-c", "mkdir /x 2>/error; exec sleep 1000"]'
        oci create --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1 3>&-
        oci start "$id"
        wait_until 5 test -s "$bundle/rootfs/error"
        contains 'not supported' "$(cat "$bundle/rootfs/error")"
        equals "$(container_pid)" "$(jq .pid agent-state)"
        start_agent
        run oci exec "$id" mkdir /y
        failed_with 1 'not supported'
        # The process is exec's, the state the container's.
        equals "$(container_pid) $id running" "$(jq -r '.state | "\(.pid) \(.id) \(.status)"' agent-state)"
        [ "$(jq .pid agent-state)" != "$(container_pid)" ]
        oci delete --force "$id"
        rm "$bundle/rootfs/error"
    }
    for_both_privileges notify
}

@test "without the agent nothing starts" {
    use_agent
    run_script 'touch /started'
    failed_with 1 "$BATS_TEST_TMPDIR/socket"
    [ ! -e "$bundle/rootfs/started" ]
    equals '' "$(oci list -q)"
}

@test "what the specification rules out is refused" {
    use_filter SCMP_ACT_ALLOW '[{names: ["mkdir"], action: "SCMP_ACT_NONSENSE"}]'
    run_script true
    failed_with 1 SCMP_ACT_NONSENSE
    use_filter SCMP_ACT_ALLOW '[{names: ["mkdir"], action: "SCMP_ACT_NOTIFY"}]'
    run_script true
    failed_with 1 listenerPath
    # Calls that this libseccomp doesn't know are nobody's to make.
    use_filter SCMP_ACT_ALLOW '[{names: ["some_future_call", "mkdir"], action: "SCMP_ACT_ERRNO"}]'
    run_script 'mkdir /x'
    contains 'not permitted' "$output"
}
