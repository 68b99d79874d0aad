# The runtime's own program can't be reached, and so not be overwritten, from inside a container
# (CVE-2019-5736).

load attack

setup_file() {
    make_image grab
}

setup() {
    begin_attack
    hash=$(host_hash)
    echo canary >"$BATS_TEST_TMPDIR/canary"
}

teardown() {
    touch "$image/stop"
    end_attack
    [ "$(host_hash)" = "$hash" ]
}

# Starts grab in container $id, beside a process that lives on.
start_grab() { # [FILTER]
    start_container "/attack/grab $(stat -L -c '%d %i' "$HULL_OCI") \
        ${BATS_TEST_TMPDIR#/}/canary /stop $state; echo end" "${1:-.}"
    wait_until 5 grep -q ready output
}

# Comes by often enough that grab catches processes at work.
offer_processes() {
    local round
    for round in $(seq "${HULL_LONG:+10}${HULL_LONG:-2}0"); do
        hull exec "$id" true </dev/null
    done
}

finish_grab() {
    touch "$image/stop"
    wait_until 10 grep -q '^end' output
    sort output | uniq -c | sort -rn | head -n 20
    # The attacker was at the right place at the right time.
    [ "$(sed -n 's/^seen //p' output)" -gt 10 ]
}

@test "processes that enter a container give nothing of the host away" {
    start_grab
    offer_processes
    finish_grab
    refute grep -m 5 '^got' output
}

@test "CAP_SYS_PTRACE in the container reaches neither the program nor the host's files" {
    start_grab '.process.capabilities |= map_values(. + ["CAP_SYS_PTRACE"])'
    offer_processes
    finish_grab
    refute grep -m 5 '^got' output
}

@test "containers that share a pid namespace get nothing from each other's start" {
    start_grab
    local pid
    pid=$(hull state "$id" | jq .pid)
    configure --arg pid "/proc/$pid/ns/pid" "$(script 'exec sleep 60') |
        (.linux.namespaces[] | select(.type == \"pid\")).path = \$pid"
    local round
    for round in 1 2 3 4 5 6; do
        hull create --bundle "$bundle" "$id-$round" </dev/null >/dev/null 2>&1
        hull start "$id-$round"
        hull delete --force "$id-$round"
    done
    finish_grab
    refute grep -m 5 '^got' output
}

@test "nor does one in the host's pid namespace" {
    start_grab 'del(.linux.namespaces[] | select(.type == "pid"))'
    configure "$(script 'exec sleep 60') | del(.linux.namespaces[] | select(.type == \"pid\"))"
    local round
    for round in 1 2 3 4 5 6; do
        hull create --bundle "$bundle" "$id-$round" </dev/null >/dev/null 2>&1
        hull exec "$id-$round" true </dev/null
        hull delete --force "$id-$round"
    done
    finish_grab
    refute grep -m 5 '^got' output
}

# What the program needs to run inside: its libraries, where it looks for them.
copy_libraries() {
    local library
    ldd "$HULL_OCI" | grep -o '/[^ )]*' | while read -r library; do
        mkdir -p "$image${library%/*}"
        cp -L "$library" "$image$library"
    done
}

@test "an image can't have the runtime's program run inside" {
    copy_libraries
    printf '#!/proc/self/exe\n' >"$image/script"
    chmod 755 "$image/script"
    ln -s /proc/self/exe "$image/link"
    start_container 'exec sleep 60'
    local program
    for program in /link /script /proc/self/exe /proc/thread-self/exe; do
        configure --arg program "$program" '.process.args = [$program, "--version"]'
        run hull run --bundle "$bundle" "$id-run" </dev/null
        echo "$output"
        [ "$status" -eq 1 ]
        [[ "$output" == *"exec"* && "$output" != *"hull-oci version"* && "$output" != *verb* ]]
        run hull exec "$id" "$program" --version </dev/null
        echo "$output"
        [ "$status" -ne 0 ]
        [[ "$output" == *"exec"* && "$output" != *"hull-oci version"* && "$output" != *verb* ]]
    done
}
