# What `hull system check` looks at, each fault made by hand, found, and put right by --repair.
load hull

checked() { # what a sound state says
    run_hull system check
    [ "$status" = 0 ] && [ -z "$output" ] || {
        printf '%s\n%s\n' "$output" "$stderr" >&2
        return 1
    }
}
finds() { # PART
    run_hull system check --quick
    equals 1 "$status" && contains "$1" "$output"
}
repaired() {
    run_hull system check --repair
    [ "$status" = 0 ] || {
        printf '%s\n%s\n' "$output" "$stderr" >&2
        return 1
    }
    checked
}
sql() { sqlite3 -cmd ".timeout 20000" "$root/hull.db" "$@"; }
id_of() { sql "SELECT id FROM engine_container WHERE name = '$1'"; }

@test "running, stopped, paused, created, restarting containers and none are sound" {
    checked
    hull run --rm busybox true
    checked
    hull run -d --name up -v data:/data --ipc shareable busybox sleep 1000
    hull run -d --name held busybox sleep 1000
    hull pause held
    hull run --name over busybox true
    hull create --name new busybox true
    hull run -d --name host --network host busybox sleep 1000
    hull run -d --name none --network none busybox sleep 1000
    hull run -d --name joined --network container:up busybox sleep 1000
    hull run -d --name again --restart always busybox false
    wait_until 10 is_state again restarting
    checked
    repaired
    is_state up running
    is_state held paused
    hull rm -f again joined none host new over held up
    checked
    nothing_left
}

@test "a directory, a run directory and a runtime's state without a container" {
    hull run --rm busybox true
    local other
    other=$(printf '%064d' 1 | tr 0 a)
    mkdir -p "$root/containers/$other/upper"
    finds "$other belongs to no container"
    repaired
    mkdir -p "$run_root/containers/$other"
    touch "$run_root/containers/$other/config.json"
    finds "$other belongs to no container"
    repaired
    mkdir -p "$root/containers/.$other" "$root/containers/.skeleton.1234/etc"
    finds ".$other is half made"
    finds '.skeleton.1234 is half made'
    repaired
    [ -d "$root/containers/skeleton" ]
    nothing_left
}

@test "a row without its directory is found, and rm removes it with all that goes by its id" {
    hull create --name lost -v data:/data busybox true
    rm -r "$root/containers/$(id_of lost)"
    finds "container lost: its directory isn't there"
    run_hull system check --repair
    equals 1 "$status"
    hull rm lost
    equals '' "$(containers id)"
    checked
}

@test "leases, uses of volumes and parts of directories" {
    hull create --name one -v data:/data busybox true
    local one other
    one=$(id_of one)
    other=$(printf '%064d' 2 | tr 0 b)
    sql "INSERT INTO volume_use (volume, container) VALUES ('data', '$other')"
    finds "used by container $other, which isn't there"
    repaired
    cp -a "$root/images/leases/keep.$one" "$root/images/leases/keep.$other"
    finds 'is held for container'
    repaired
    rm "$root/images/leases/keep.$one"
    finds "container one doesn't hold its image"
    hull rm one
    hull create --name two busybox true
    rmdir "$root/containers/$(id_of two)/work"
    finds "/work isn't there"
    hull rm two
    checked
}

@test "a killed monitor, and --rm whose cleanup was killed" {
    hull run -d --name mon busybox sleep 1000
    hull run -d --rm --name gone busybox sleep 1000
    hull run -d --name kept --restart unless-stopped busybox sleep 1000
    local name
    for name in mon gone kept; do
        kill -KILL "$(state $name monitor.pid)"
    done
    wait_until 5 eval '! [ -e /proc/$(state mon monitor.pid) ]'
    finds 'container mon has lost its monitor'
    contains 'container gone has lost its monitor' "$output"
    repaired
    is_state mon exited
    equals 137 "$(state mon exitCode)"
    is_state kept running
    equals $'kept\nmon' "$(containers name | sort)"
}

@test "networks: namespaces, interfaces, records and rules" {
    hull run -d --name web -p 127.0.0.1:18080:80 busybox sleep 1000
    checked
    local web other
    web=$(id_of web)
    other=$(printf '%064d' 3 | tr 0 c)
    touch "$run_root/network/ns/$other"
    finds "$other belongs to no container"
    repaired
    # Interfaces and rules that somebody else has removed.
    local table interface
    interface=$(sql "SELECT host_interface FROM network_endpoint WHERE container = '$web'")
    table=$(ip netns exec "$net" nft list tables | awk '/hull/ {print $3}')
    ip netns exec "$net" nft delete table inet "$table"
    finds "table $table lacks the rules of network bridge"
    repaired
    ip -n "$net" link add hvstray0 type veth peer name hvstray1
    ip -n "$net" link set hvstray0 master "$(ip -n "$net" -o link show "$interface" | sed 's/.*master \([^ ]*\).*/\1/')"
    finds 'interface hvstray0 belongs to no container'
    repaired
    ! ip -n "$net" link show hvstray0 2>/dev/null
    ip -n "$net" link delete "$interface"
    finds "interface $interface of container"
    hull restart -t 0 web
    hull rm -f web
    checked
    # A record of one that doesn't run.
    hull create --name idle busybox true
    sql "INSERT INTO network_container (id, name, mode, state, other, boot, changed, maker, maker_start, helper,
        helper_start, settings) SELECT '$(id_of idle)', 'idle', 2, 1, '', '$(cat /proc/sys/kernel/random/boot_id)',
        0, 0, 0, 0, 0, '{}'"
    finds 'has a network, and doesn'
    repaired
    # One that was killed while it attached.
    sql "INSERT INTO network_container (id, name, mode, state, other, boot, changed, maker, maker_start, helper,
        helper_start, settings) SELECT '$(id_of idle)', 'idle', 2, 0, '', '$(cat /proc/sys/kernel/random/boot_id)',
        0, 999999, 1, 0, 0, '{}'"
    finds 'is half made'
    repaired
}

# Leaves the container `half` waiting to begin, and its command, $pid, stopped; fails if it was too
# quick for us.
hold_half() {
    nsenter --net="/run/netns/$net" "$HULL" --root "$root" --run-root "$run_root" \
        run --name half busybox sleep 1000 </dev/null >out 2>&1 3>&- &
    pid=$!
    started+=("$pid")
    until [ -n "$(find "$run_root/containers" -name status)" ]; do [ -d "/proc/$pid" ]; done
    kill -STOP "$pid"
    sleep 0.1
    [ "$(state half)" = created ] && return
    kill -KILL "$pid"
    hull rm -f half
    return 1
}

@test "who started it was killed before it began: that doesn't keep others waiting" {
    local pid attempt held=
    hull run --rm busybox true
    for attempt in $(seq 10); do
        if hold_half; then held=1 && break; fi
    done
    [ -n "$held" ] || skip "it was too quick $attempt times"
    hull system check # it is being started
    kill -KILL "$pid"
    finds 'container half waits to begin'
    if [ $((${HULL_SEED:-1} % 2)) = 0 ]; then repaired; fi
    SECONDS=0
    hull start half
    [ "$SECONDS" -lt 10 ]
    is_state half running
    checked
    hull rm -f half
}
