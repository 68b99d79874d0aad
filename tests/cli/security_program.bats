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
        ${BATS_TEST_TMPDIR#/}/canary /stop; echo end" "${1:-.}"
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
    refute grep '^got' output
}

@test "CAP_SYS_PTRACE in the container reaches neither the program nor the host's files" {
    start_grab '.process.capabilities |= map_values(. + ["CAP_SYS_PTRACE"])'
    offer_processes
    finish_grab
    refute grep '^got' output
}
