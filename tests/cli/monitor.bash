# What the tests of hull-monitor share: load monitor
#
# Each test has a container ($id) with a bundle as in container.bash, a run directory ($run_directory),
# a state directory ($kept) with its log, and its events in $events. `client` does what hull does.
load container

# Beside the runtime under test: with or without sanitizers, as that is.
: "${HULL_MONITOR:=$(dirname "$HULL_OCI")/../../monitor/hull-monitor}"
HULL_MONITOR=$(realpath "$HULL_MONITOR")
: "${HULL_MONITOR_CLIENT:=$HULL_BUILD/tests/helpers/monitor_client}"

setup() {
    setup_container
    run_directory=$BATS_TEST_TMPDIR/run/$id
    kept=$BATS_TEST_TMPDIR/kept/$id
    events=$BATS_TEST_TMPDIR/events
    directories=("$run_directory")
    mkdir -p "$run_directory" "$kept"
}

# Ends monitors as an administrator would, and what they may have left if they were broken.
teardown() {
    local directory
    for directory in "${directories[@]}"; do
        [ ! -e "$directory/control" ] || client stop 9 0 2>/dev/null || true
        wait_until 10 eval '! "$HULL_MONITOR_CLIENT" alive "$directory"' || true
        "$HULL_MONITOR_CLIENT" recover "$directory" >/dev/null 2>&1 || true
    done
    for left in $(oci list -q 2>/dev/null); do
        oci delete --force "$left" || true
    done
    while [ "${#started[@]}" -gt 0 ]; do
        kill -KILL "${started[-1]}" 2>/dev/null || true
        wait "${started[-1]}" 2>/dev/null || true
        unset 'started[-1]'
    done
}

# monitor.json: manage [FILTER [JQ-OPTION...]]
manage() {
    local filter=${1:-.}
    shift || true
    jq -n --arg id "$id" --arg kept "$kept" --arg events "$events" --arg runtime "$HULL_OCI" \
        --arg state "$state" --arg bundle "$bundle" "$@" '{id: $id, name: "web", image: "busybox",
            labels: {tier: "front"}, stateDirectory: $kept, events: $events, runtime: $runtime,
            runtimeRoot: $state, bundle: $bundle, stopTimeout: 5000,
            log: {path: "\($kept)/log"}} | '"$filter" >"$BATS_TEST_TMPDIR/settings"
    client write "$BATS_TEST_TMPDIR/settings"
}

# client VERB ARGUMENT...: of this test's container
client() {
    local verb=$1
    shift
    timeout --foreground 60 "$HULL_MONITOR_CLIENT" "$verb" "$run_directory" "$@" 3>&-
}

# Runs the container in the foreground, without standard input: run_monitored [WORD...]
# As with bats' run --separate-stderr, which warns of 127, one of docker's exit codes.
run_monitored() {
    status=0
    client run "$HULL_MONITOR" "$@" </dev/null >"$BATS_TEST_TMPDIR/output" \
        2>"$BATS_TEST_TMPDIR/errors" || status=$?
    output=$(cat "$BATS_TEST_TMPDIR/output") stderr=$(cat "$BATS_TEST_TMPDIR/errors")
}

# Starts it detached.
start_monitored() { client start "$HULL_MONITOR" >/dev/null; }

# A field of the status: field .exitCode
field() { client status "$kept" | jq -r "$1"; }
has_field() { [ "$(field "$1")" = "$2" ]; }
is_over() { ! client alive; }

# What the log's records say, without their other fields.
logged() { jq -rj .log "$kept/log"; }

# The container's events, one word each with what matters: "die 0".
happened() { jq -r '[.Action, .Actor.Attributes.exitCode // .Actor.Attributes.signal // empty] | join(" ")' "$events"; }
has_happened() { happened 2>/dev/null | grep -qx "$1"; }
