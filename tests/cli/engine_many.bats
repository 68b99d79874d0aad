# Fifty commands at once.
load hull

# Runs `hull WORD...` fifty times at once, each with its number for a %; the statuses go to
# `statuses`, outputs to out-NUMBER.
fifty() {
    local number pids=() begun=$EPOCHREALTIME
    for number in $(seq 50); do
        hull "${@//%/$number}" </dev/null >"out-$number" 2>"errors-$number" &
        pids[number]=$!
    done
    statuses=()
    for number in $(seq 50); do
        wait "${pids[number]}" && statuses[number]=0 || statuses[number]=$?
    done
    awk -v a="$begun" -v b="$EPOCHREALTIME" -v what="$*" 'BEGIN { printf "# fifty times hull %s: %.1f s\n", what, b - a }' >&3
}

all_succeeded() {
    local number
    for number in $(seq 50); do
        [ "${statuses[number]}" = 0 ] || {
            echo "$number: ${statuses[number]}: $(cat "errors-$number")" >&2
            return 1
        }
    done
}

@test "fifty in the foreground, as the first commands of all" {
    fifty run --rm busybox echo hello-%
    all_succeeded
    local number
    for number in $(seq 50); do
        equals "hello-$number" "$(cat "out-$number")"
    done
    equals '' "$(containers id)"
    nothing_left
    hull system check
}

@test "fifty detached, each with an address of its own; removed all at once" {
    hull run --rm busybox true
    fifty run -d --name n% busybox sleep 1000
    all_succeeded
    equals 50 "$(hull ps -q | wc -l)"
    equals 50 "$(sqlite3 "$root/hull.db" 'SELECT count(DISTINCT ip4) FROM network_endpoint')"
    hull system check
    fifty rm -f n%
    all_succeeded
    wait_until 10 nothing_left
    hull system check
}

@test "of fifty with one name exactly one wins" {
    hull run --rm busybox true
    fifty run -d --name only busybox sleep 1000
    local number won=0
    for number in $(seq 50); do
        if [ "${statuses[number]}" = 0 ]; then
            won=$((won + 1))
        else
            contains "the name 'only' is in use" "$(cat "errors-$number")"
        fi
    done
    equals 1 "$won"
    equals 1 "$(containers 'count(*)')"
    hull system check
    # The losers' directories, leases and uses of volumes went with them.
    equals 1 "$(find "$root/containers" -mindepth 1 -maxdepth 1 ! -name skeleton | wc -l)"
    hull rm -f only
}

@test "fifty with one new volume all find it filled" {
    hull run --rm busybox true
    fifty run --rm -v shared:/etc busybox grep -c root /etc/passwd
    all_succeeded
    equals 50 "$(cat out-* | grep -c '^1$')"
    hull system check
}

# Debian's registry in the test's own network, with an image of three layers: start_registry; its log
# of requests is `requests`.
start_registry() {
    local layer
    cat >registry.yml <<END
version: 0.1
log: {level: info, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: $BATS_TEST_TMPDIR/registry}}
http: {addr: '127.0.0.1:5000', secret: test}
END
    nsenter --net="/run/netns/$net" docker-registry serve registry.yml >>requests 2>&1 3>&- &
    started+=($!)
    wait_until 20 nsenter --net="/run/netns/$net" curl -s -o /dev/null http://127.0.0.1:5000/v2/
    hull run --name made busybox true
    for layer in 1 2; do
        head -c 3000000 /dev/urandom >layer
        hull cp -q layer "made:/layer-$layer"
        hull commit made "made:$layer"
        hull rm made
        hull create --name made "made:$layer"
    done
    hull rm made
    hull tag made:2 127.0.0.1:5000/made
    hull push -q 127.0.0.1:5000/made
    hull rmi -f $(hull images -q --no-trunc | sort -u)
    equals '' "$(hull images -q)"
    hull image prune --all --force
}

@test "fifty of an image that isn't there: one pulls it, each layer comes once" {
    command -v docker-registry >/dev/null || skip "no docker-registry"
    start_registry
    : >requests
    fifty run --rm 127.0.0.1:5000/made sh -c 'cat /layer-1 /layer-2 | wc -c'
    all_succeeded
    equals 50 "$(cat out-* | grep -cx 6000000)"
    grep -o 'GET /v2/made/blobs/sha256:[0-9a-f]*' requests | sort | uniq -c >downloads
    cat downloads
    # Three layers and the configuration.
    equals '4 1' "$(wc -l <downloads) $(awk '{print $1}' downloads | sort -u)"
    hull system check
    nothing_left
}
