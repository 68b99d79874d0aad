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
    touch "$run_root/oci/$other.container"
    finds "oci/$other.container belongs to no container"
    repaired
    mkdir -p "$root/containers/.$other" "$root/containers/.skeleton.1234/etc"
    finds ".$other is half made"
    finds '.skeleton.1234 is half made'
    repaired
    [ -d "$root/containers/skeleton" ]
    nothing_left
}

@test "what a start has made that was killed before there was a monitor" {
    hull create --name begun --ipc shareable busybox true
    local place
    place=$run_root/containers/$(id_of begun)
    mkdir -p "$place/shm"
    mount -t tmpfs hull-test "$place/shm"
    finds "container begun doesn't run, and has a /dev/shm"
    repaired
    [ ! -e "$place/shm" ]
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

# hull beside a hull-oci that is killed when it is to remove a container, as often as the file `kills`
# has lines.
use_mortal_runtime() {
    local build=$BATS_TEST_TMPDIR/build
    mkdir -p "$build/src/cli" "$build/src/monitor" "$build/src/oci/verb" "$build/src/network"
    cp "$HULL" "$build/src/cli/"
    cp "$HULL_BUILD/src/monitor/hull-monitor" "$build/src/monitor/"
    find "$HULL_BUILD/src/network" -maxdepth 1 -type f -executable -exec cp {} "$build/src/network/" \;
    cat >"$build/src/oci/verb/hull-oci" <<END
#!/bin/sh
case " \$* " in
*" delete "*)
    if [ -s "$BATS_TEST_TMPDIR/kills" ]; then
        sed -i 1d "$BATS_TEST_TMPDIR/kills"
        kill -KILL \$\$
    fi
    ;;
esac
exec "$HULL_BUILD/src/oci/verb/hull-oci" "\$@"
END
    chmod +x "$build/src/oci/verb/hull-oci"
    HULL=$build/src/cli/hull
}
kill_deletions() { seq "$1" >"$BATS_TEST_TMPDIR/kills"; }

@test "a runtime that is killed while it removes a container" {
    use_mortal_runtime
    # Once is nothing that anybody would see.
    kill_deletions 1
    run_hull run --rm busybox sh -c 'exit 7'
    equals '7 ' "$status $stderr"
    checked
    kill_deletions 2
    hull run -d --name always --restart always busybox sh -c 'echo x >>/starts; sleep 0.2'
    wait_until 10 eval '[ "$(state always restartCount)" -ge 2 ]'
    hull rm -f always
    checked
    # Until the monitor gives up: then its cleaning up does it, or the next start.
    kill_deletions 3
    run_hull run --rm busybox true
    checked
    nothing_left
    kill_deletions 4
    run_hull run --name left busybox true
    finds 'hull-oci knows it'
    repaired
    kill_deletions 8
    hull start -a left || true
    echo -n >"$BATS_TEST_TMPDIR/kills"
    hull start -a left
    checked
    # … or a repair.
    kill_deletions 1000
    run_hull run --rm --name gone busybox true
    wait_until 10 eval '! hull container ls -q | grep -q .'
    echo -n >"$BATS_TEST_TMPDIR/kills"
    repaired
    nothing_left || hull rm left
}
