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
