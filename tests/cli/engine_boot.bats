# The machine goes down and comes up: what is known then, what starts again, and who starts it.
load hull

# Of a pid, or what a status has where there is none: 0, none.
end_process() {
    [ "$1" -gt 0 ] 2>/dev/null || return 0
    kill -KILL "$1" 2>/dev/null || true
    wait_until 10 [ ! -d "/proc/$1" ]
}

# As after a power cut: nothing runs, RUN_ROOT is empty, and the statuses in ROOT are of another
# boot. The network namespace is new, as the kernel is.
lose_power() {
    local name id process
    for name in $(containers name); do
        end_process "$(state "$name" monitor.pid)"
    done
    for name in $(containers name); do
        id=$(sqlite3 "$root/hull.db" "SELECT id FROM engine_container WHERE name = '$name'")
        process=$(state "$name" pid)
        end_process "$process"
        "$HULL_OCI" --root "$run_root/oci" delete --force "$id" 2>/dev/null || true
        jq '.bootId = "11111111-2222-3333-4444-555555555555"' "$root/containers/$id/status" >status || continue
        mv status "$root/containers/$id/status"
    done
    for process in $(ip netns pids "$net"); do # those of networks
        kill -KILL "$process"
    done
    sqlite3 "$root/hull.db" "UPDATE network_container SET boot = '11111111-2222-3333-4444-555555555555'"
    local mounted
    for mounted in $(awk -v below="$run_root/" 'index($2, below) == 1 {print $2}' /proc/self/mounts | sort -r); do
        umount --lazy "$mounted"
    done
    rm -rf "$run_root"
    ip netns delete "$net"
    ip netns add "$net"
    ip -n "$net" link set lo up
}

@test "after a reboot states are corrected, and what shall restart does, with its network" {
    hull run -d --name always --restart always -p 18081:80 -v data:/data busybox sh -c 'echo x >>/data/starts; exec sleep 1000'
    hull run -d --name stopped --restart unless-stopped busybox sleep 1000
    hull run -d --name unless --restart unless-stopped busybox sleep 1000
    hull run -d --name failing --restart on-failure busybox sleep 1000
    hull run -d --name no busybox sleep 1000
    hull run -d --rm --name temporary busybox sleep 1000
    hull create --name new --restart always busybox sleep 1000
    hull run --name done busybox sh -c 'exit 4' || equals 4 $?
    hull stop -t 0 stopped
    wait_until 5 eval '[ "$(hull run --rm -v data:/data busybox wc -l /data/starts)" = "1 /data/starts" ]'
    lose_power
    # Without the service each command sees what is.
    run hull ps --all --format '{{.Names}} {{.State}}'
    contains 'always exited' "$output"
    equals 255 "$(hull inspect --format '{{.State.ExitCode}}' no)"
    equals 4 "$(hull inspect --format '{{.State.ExitCode}}' done)"
    # It ended when it had begun, at the earliest; and some time ago, for who reads that.
    [[ "$(hull inspect --format '{{.State.FinishedAt}}' no)" > "$(hull inspect --format '{{.State.StartedAt}}' no | cut -c1-19)" ]]
    [[ "$(hull ps --all --filter name=no --format '{{.Status}}')" =~ ^Exited\ \(255\)\ .+\ ago$ ]]

    hull system start
    local name
    for name in always unless failing; do
        is_state "$name" running
    done
    run hull ps --all --format '{{.Names}} {{.State}}'
    contains 'stopped exited' "$output"
    contains 'no exited' "$output"
    contains 'new created' "$output"
    [[ "$output" != *temporary* ]]
    equals '2 /data/starts' "$(hull run --rm -v data:/data busybox wc -l /data/starts)"
    contains ':18081->80/tcp' "$(hull ps --filter name=always --format '{{.Ports}}')"
    hull system check
    # Once more changes nothing.
    local pid
    pid=$(state always pid)
    hull system start
    equals "$pid" "$(state always pid)"
}

fake_systemctl() {
    mkdir -p bin
    cat >bin/systemctl <<'END'
#!/bin/sh
echo "$*" >>"$SYSTEMCTL_LOG"
case "$*" in
*is-enabled*) [ -e "$SYSTEMCTL_LOG.enabled" ] ;;
*enable*) touch "$SYSTEMCTL_LOG.enabled" ;;
*disable*) rm -f "$SYSTEMCTL_LOG.enabled" ;;
esac
END
    chmod +x bin/systemctl
    export SYSTEMCTL_LOG=$PWD/told PATH=$PWD/bin:$PATH
}

@test "the service's unit is installed, executes what starts containers, and is removed" {
    fake_systemctl
    local units="$PWD/units" unit="$PWD/units/hull.service"
    run_hull system service status --directory "$units"
    equals 1 "$status"
    contains "isn't installed" "$output"
    run_hull system service install --directory "$units"
    succeeded
    equals $'daemon-reload\nenable '"$unit" "$(cat told)"
    run_hull system service status --directory "$units"
    succeeded
    contains 'is installed and enabled' "$output"
    ! command -v systemd-analyze >/dev/null || systemd-analyze verify --man=no "$unit" 2>&1 | { ! grep -F hull.service: >&2; }

    # What systemd would execute.
    hull run -d --name always --restart always busybox sleep 1000
    lose_power
    local words
    words=$(sed -n 's/^ExecStart=//p' "$unit")
    eval "nsenter --net=/run/netns/$net $words" 3>&-
    is_state always running

    # Again is no error, and brings it up to date.
    echo '# old' >>"$unit"
    hull system service install --directory "$units"
    ! grep -q '# old' "$unit"
    run_hull system service remove --directory "$units"
    succeeded
    [ ! -e "$unit" ]
    contains 'disable hull.service' "$(cat told)"
    run_hull system service remove --directory "$units"
    refused 1 "isn't installed"
    run_hull system service restart
    refused 1 'none of install, remove, status'
}

@test "the service of a user, odd paths, and units of others" {
    fake_systemctl
    export XDG_CONFIG_HOME=$PWD/config
    hull system service install --user >said
    grep -q '^WantedBy=default.target' config/systemd/user/hull.service
    grep -q enable-linger said
    equals $'--user daemon-reload\n--user enable '"$PWD/config/systemd/user/hull.service" "$(cat told)"
    root="$PWD/a \"50%\" \$HOME" hull system service install --directory units
    contains '"'"$PWD"'/a \"50%%\" $$HOME"' "$(cat units/hull.service)"
    mkdir other
    echo '[Unit]' >other/hull.service
    run_hull system service install --directory other
    refused 1 "not hull's"
    run_hull system service remove --directory other
    refused 1 "not hull's"
    equals '[Unit]' "$(cat other/hull.service)"
    # No systemd at all.
    mkdir empty
    ln -s "$(command -v timeout)" "$(command -v nsenter)" "$(command -v cat)" empty/
    PATH=$PWD/empty run_hull system service install --directory third
    refused 1 'no systemctl'
}
