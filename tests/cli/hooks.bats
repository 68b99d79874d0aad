# Hooks: when and where they run, what they get, and what their failure means.

load container

# Each hook appends its name and the state it got: add_hook KIND SCRIPT
add_hook() {
    configure '.hooks[$kind] += [{path: "/bin/sh", args: ["sh", "-c", $script], env: ["PATH=/usr/bin:/bin:/sbin"]}]' \
        --arg kind "$1" --arg script "$2"
}

@test "the six kinds in their order, with the state of that moment" {
    local kind log=$BATS_TEST_TMPDIR/log
    for kind in poststop poststart createContainer createRuntime prestart; do
        add_hook "$kind" "{ echo $kind; cat; echo; } | tr '\n' ' ' >>$log; echo >>$log"
    done
    # In the container's root, as the container's program.
    add_hook startContainer '{ echo startContainer; cat; echo; } | tr "\n" " " >>/log'
    configure '.annotations = {key: "value"} | .process.args = ["/bin/sh", "-c", "echo program >>/log"]'
    oci create --bundle "$bundle" "$id" </dev/null 3>&-
    equals 'prestart createRuntime createContainer' "$(awk '{ print $1 }' log | xargs)"
    local pid
    pid=$(container_pid)
    oci start "$id"
    wait_until 5 has_status stopped
    oci delete "$id"
    equals 'prestart createRuntime createContainer poststart poststop' "$(awk '{ print $1 }' log | xargs)"
    equals 'startContainer program' "$(awk '{ print $1 }' "$bundle/rootfs/log" | tr -d '\n' | sed 's/program/ program/' || true)" ||
        contains startContainer "$(cat "$bundle/rootfs/log")"
    equals 'creating creating creating running stopped' \
        "$(sed 's/^[^{]*//' log | jq -r .status | xargs)"
    equals created "$(sed 's/^[^{]*//; s/}[^}]*$/}/' "$bundle/rootfs/log" | jq -r .status)"
    equals "$pid $pid $pid $pid null" "$(sed 's/^[^{]*//' log | jq -r .pid | xargs)"
    equals "$id" "$(sed 's/^[^{]*//' log | jq -r .id | sort -u)"
    equals "$(realpath "$bundle")" "$(sed 's/^[^{]*//' log | jq -r .bundle | sort -u)"
    equals value "$(sed 's/^[^{]*//' log | jq -r .annotations.key | sort -u)"
}

@test "where they run: namespaces, root, working directory" {
    local log=$BATS_TEST_TMPDIR/log kind
    for kind in prestart createRuntime createContainer poststart poststop; do
        add_hook "$kind" "echo $kind \$(readlink /proc/self/ns/mnt) \$(readlink /proc/self/ns/uts) >>$log"
    done
    add_hook createContainer "pwd -P >$BATS_TEST_TMPDIR/cwd; ls bin/busybox"
    add_hook startContainer 'ls -d /bin/busybox && touch /touched'
    run_script 'readlink /proc/self/ns/mnt; readlink /proc/self/ns/uts; ls /touched'
    succeeded
    local inside outside
    inside="$(grep -m 1 mnt: <<<"$output") $(grep -m 1 uts: <<<"$output")"
    outside="$(readlink /proc/self/ns/mnt) $(readlink /proc/self/ns/uts)"
    equals "prestart $outside
createRuntime $outside
createContainer $inside
poststart $outside
poststop $outside" "$(cat log)"
}

@test "several hooks of a kind run in turn, with their own arguments and environment" {
    configure '.hooks.createRuntime = [
        {path: "/bin/sh", args: ["zero", "-c", "echo $0 $A >>$L; env | wc -l >>$L"], env: ["A=1", ("L=" + $log)]},
        {path: "/bin/sh", args: ["second", "-c", "echo $0 >>$L"], env: [("L=" + $log)]}]' --arg log "$BATS_TEST_TMPDIR/log"
    run_script true
    succeeded
    equals 'zero 1 3 second' "$(sed 's/^[45]$/3/' log | xargs)"
}

@test "a hook that hangs is killed at its timeout" {
    configure '.hooks.createRuntime = [{path: "/bin/sleep", args: ["sleep", "994"], timeout: 1}]'
    local begun=$SECONDS
    run_script true
    failed_with 1 "createRuntime hook 0"
    contains "1 s" "$output"
    [ $((SECONDS - begun)) -lt 20 ]
    equals '' "$(oci list -q)"
    run pgrep -f 'sleep 994'
    [ "$status" != 0 ]
}

@test "a failing hook before the start undoes all, and its words are told" {
    local kind
    for kind in prestart createRuntime createContainer startContainer; do
        configure 'del(.hooks)'
        add_hook "$kind" 'echo its reason >&2; exit 3'
        add_hook poststop "echo $kind >>$BATS_TEST_TMPDIR/poststop"
        run_script 'touch /started'
        failed_with 1 "$kind hook 0: /bin/sh: exit status 3: its reason"
        equals '' "$(oci list -q)"
        [ ! -e "$bundle/rootfs/started" ]
    done
    equals '' "$(find /sys/fs/cgroup -maxdepth 3 -name "$id")"
    # poststop hooks run for what had been created (runtime.md, "Lifecycle", 12 and 13).
    contains createRuntime "$(cat poststop)"
}

@test "a failing poststart hook stops the container" {
    add_hook poststart 'exit 4'
    configure '.process.args = ["/bin/sleep", "1000"]'
    run oci run --detach --bundle "$bundle" "$id" </dev/null
    failed_with 1 "poststart hook 0"
    oci delete --force "$id"
}

@test "failing poststop hooks are warnings, and all run" {
    add_hook poststop 'echo complains >&2; exit 1'
    add_hook poststop "touch $BATS_TEST_TMPDIR/second"
    use_script 'exit 0'
    run oci --log "$BATS_TEST_TMPDIR/log" --log-format json run --bundle "$bundle" "$id" </dev/null
    succeeded
    [ -e second ]
    contains complains "$(jq -r 'select(.level == "warning").msg' log)"
    equals '' "$(oci list -q)"
}

@test "a program that isn't there, and one that doesn't read its state" {
    configure '.hooks.prestart = [{path: "/missing/hook"}]'
    run_script true
    failed_with 1 /missing/hook
    configure '.hooks.prestart = [{path: "/bin/true"}] | .annotations = {big: $big}' \
        --arg big "$(head -c 100000 /dev/zero | tr '\0' x)"
    run_script true
    succeeded
    configure '.hooks.prestart = [{path: "relative"}]'
    run_script true
    failed_with 1 hooks.prestart
}

@test "a hook that ends without reading its state does no harm" {
    configure '.hooks.poststop = [{path: "/bin/true"}] | .annotations = {big: $big}' \
        --arg big "$(head -c 100000 /dev/zero | tr '\0' x)"
    run_script 'exit 5'
    equals 5 "$status"
    run_script 'exit 5' --keep
    run oci delete "$id"
    succeeded
}

@test "startContainer hooks are confined as the program is" {
    configure '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO"}]}'
    add_hook startContainer 'mkdir /made; id -u >/user'
    configure '.process.user = {uid: 1000, gid: 1000}'
    chmod 777 "$bundle/rootfs"
    run_script true
    succeeded
    [ ! -e "$bundle/rootfs/made" ]
    equals 1000 "$(cat "$bundle/rootfs/user")"
}
