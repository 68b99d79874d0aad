# hull's unit under a systemd that is the first process: run by tests/testbed/service, in a virtual
# host where hull is installed.
bats_require_minimum_version 1.5.0
load ../cli/helpers

state() { jq -r ".$2" "/run/hull/containers/$(hull inspect --format '{{.Id}}' "$1")/status"; }
is_running() { [ "$(hull inspect --format '{{.State.Status}}' "$1")" = running ]; }
starts() { hull run --rm -v "$1:/data" busybox wc -l /data/starts | cut -d ' ' -f 1; }

# What a machine that goes down leaves: no process, nothing in /run, and statuses of another boot.
lose_power() {
    local id pid other=11111111-2222-3333-4444-555555555555
    for id in $(hull ps -q --no-trunc); do
        for pid in $(jq -r '.monitor.pid, .pid' "/run/hull/containers/$id/status"); do
            kill -KILL "$pid"
            wait_until 10 [ ! -d "/proc/$pid" ]
        done
        hull-oci --root /run/hull/oci delete --force "$id" || true
    done
    pgrep hull- | xargs -r kill -KILL # those of networks
    for id in /var/lib/hull/containers/*/status; do
        jq ".bootId = \"$other\"" "$id" >status && cp status "$id"
    done
    sqlite_update "UPDATE network_container SET boot = '$other'"
    awk 'index($2, "/run/hull/") == 1 {print $2}' /proc/self/mounts | sort -r | while read -r mounted; do
        umount --lazy "$mounted"
    done
    rm -rf /run/hull
    nft list tables | awk '/hull/ {print $2, $3}' | while read -r table; do
        # shellcheck disable=SC2086
        nft delete table $table
    done
    ip -o link show type bridge | awk -F ': ' '{print $2}' | while read -r link; do ip link delete "$link"; done
}
explain() {
    journalctl --no-pager -u hull.service | tail -n 20
    hull ps --all
    hull inspect --format '{{json .State}}' always
    return 1
}
sqlite_update() { sqlite3 /var/lib/hull/hull.db "$1"; }

@test "the unit is installed, verified by systemd, and enabled" {
    run hull system service status
    [ "$status" = 1 ]
    hull system service install
    equals enabled "$(systemctl is-enabled hull.service)"
    hull system service status
    equals '' "$(systemd-analyze verify --man=no hull.service 2>&1 | grep -F hull.service: || true)"
    systemctl start hull.service
    equals active "$(systemctl is-active hull.service)"
}

@test "after a reboot the unit starts what shall restart, and nothing else" {
    cd "$BATS_TEST_TMPDIR"
    hull run -d --name always --restart always -p 8080:80 -v always:/data busybox \
        sh -c 'echo x >>/data/starts; echo ok >/data/index.html; exec busybox httpd -f -p 80 -h /data'
    hull run -d --name no -v no:/data busybox sh -c 'echo x >>/data/starts; exec sleep 1000'
    hull run -d --name stopped --restart unless-stopped busybox sleep 1000
    hull stop -t 0 stopped
    systemctl stop hull.service
    # The unit's end is nobody else's.
    is_running always
    is_running no
    lose_power
    systemctl start hull.service
    wait_until 30 is_running always || explain
    equals exited "$(hull inspect --format '{{.State.Status}}' no)"
    equals exited "$(hull inspect --format '{{.State.Status}}' stopped)"
    wait_until 30 busybox wget -q -O page http://127.0.0.1:8080/
    equals ok "$(cat page)"
    equals '2 1' "$(starts always) $(starts no)"
    hull system check
}

@test "stopping and starting the unit again leaves running containers alone" {
    local pid
    pid=$(state always pid)
    systemctl restart hull.service
    systemctl stop hull.service
    equals "$pid" "$(state always pid)"
    is_running always
    # Its processes aren't the unit's.
    run ! grep -q hull.service "/proc/$pid/cgroup"
    hull rm -f always no stopped
    hull system service remove
    run systemctl is-enabled hull.service
    [ "$status" != 0 ]
    hull system check
}
