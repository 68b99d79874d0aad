# What containers have printed, and what has happened to them.
load hull

print() { # NAME SCRIPT [FLAG...]
    local name=$1 script=$2
    shift 2
    hull run -d --network none --name "$name" "$@" busybox sh -c "$script" >/dev/null
}
# Whether `hull VERB` of this test watches a file by now.
watches() {
    local pid
    for pid in $(pgrep -f -- "$run_root $1"); do
        ls -l "/proc/$pid/fd" 2>/dev/null | grep -q inotify && return
    done
    return 1
}
log_of() { echo "$root/containers/$(hull inspect -f '{{.Id}}' "$1")/json.log"; }

@test "logs: both streams, times, tail" {
    print web 'echo two >&2; sleep 0.2; echo one; echo three; printf unfinished'
    hull wait web
    run_hull logs web
    equals $'one\nthree\nunfinished' "$output"
    equals two "$stderr"
    equals $'three\nunfinished' "$(hull logs -n 2 web)"
    equals '' "$(hull logs --tail 0 web)"
    equals 3 "$(hull logs --tail all web 2>/dev/null | grep -c .)"
    [[ "$(hull logs -t web 2>/dev/null | head -1)" =~ ^20[0-9-]+T[0-9:]+\.[0-9]{9}Z\ one$ ]]
    run_hull logs nobody
    refused 1 'no such container: nobody'
    run_hull logs --since yesterdayish web
    refused 1 "'yesterdayish' is no time"
}

@test "logs --since and --until" {
    print web 'echo one; sleep 1; echo two'
    hull wait web
    local first
    first=$(jq -r .time "$(log_of web)" | head -1)
    equals $'one\ntwo' "$(hull logs --since "$first" web)"
    equals one "$(hull logs --until "$first" web)"
    equals two "$(hull logs --since "$(jq -r .time "$(log_of web)" | tail -1)" web)"
    equals $'one\ntwo' "$(hull logs --since 1h web)"
    equals '' "$(hull logs --until 1h web)"
    equals $'one\ntwo' "$(hull logs --since "$(date -d '1 hour ago' +%s)" web)"
}

@test "logs --details shows what --log-opt asks for" {
    print web 'echo one' --log-opt labels=tier --log-opt env=MODE -l tier=front -l other=x -e MODE=fast
    hull wait web
    contains 'tier=front' "$(hull logs --details web)"
    contains 'MODE=fast' "$(hull logs --details web)"
    [[ "$(hull logs --details web)" != *other* ]]
    equals one "$(hull logs web)"
}

@test "logs -f goes on until the container ends, and through its rotation" {
    print web 'trap "i=0; while [ \$i -lt 3000 ]; do i=\$((i+1)); echo line \$i; done; exit" TERM; echo begin; while :; do sleep 0.05; done' \
        --log-opt max-size=20k --log-opt max-file=30
    hull logs -f web >followed 3>&- &
    started+=($!)
    wait_until 5 grep -q begin followed
    hull stop --timeout 60 web
    wait_until 10 eval '! kill -0 ${started[0]} 2>/dev/null'
    equals "$(echo begin; seq -f 'line %.0f' 3000)" "$(cat followed)"
    [ "$(ls "$(dirname "$(log_of web)")" | grep -c json.log)" -ge 5 ]
    equals "$(echo begin; seq -f 'line %.0f' 3000)" "$(hull logs web)"
    equals "$(seq -f 'line %.0f' 1501 3000)" "$(hull logs -n 1500 web)"
}

@test "logs reads what was compressed" {
    print web 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done' \
        --log-opt max-size=50k --log-opt max-file=20 --log-opt compress=true
    hull wait web
    ls "$(dirname "$(log_of web)")" | grep -q 'json.log.*gz'
    equals "$(seq -f 'line %.0f' 3000)" "$(hull logs web)"
    equals "$(seq -f 'line %.0f' 301 3000)" "$(hull logs -n 2700 web)"
    equals "$(seq -f 'line %.0f' 2991 3000)" "$(hull logs -n 10 web)"
}

@test "logs -f of a container that has ended, and one whose monitor was killed, ends" {
    print ended 'echo out'
    hull wait ended
    equals out "$(hull logs -f ended)"
    print lost 'echo out; sleep 1000'
    hull logs -f lost >followed 3>&- &
    started+=($!)
    wait_until 5 grep -q out followed
    local id
    id=$(hull inspect -f '{{.Id}}' lost)
    kill -KILL "$(jq .monitor.pid "$run_root/containers/$id/status")"
    wait_until 10 eval '! kill -0 ${started[0]} 2>/dev/null'
}

@test "logs -f where no inotify instance is left" {
    print web 'echo begin; while [ ! -e /go ]; do sleep 0.05; done; echo end'
    unshare --user --map-root-user sh -c 'echo 0 >/proc/sys/user/max_inotify_instances && exec "$@"' - \
        "$HULL" --root "$root" --run-root "$run_root" logs -f web >followed 3>&- &
    started+=($!)
    wait_until 10 grep -q begin followed
    hull exec web touch /go
    wait_until 10 eval '! kill -0 ${started[0]} 2>/dev/null'
    equals $'begin\nend' "$(cat followed)"
}

@test "a log that is truncated or garbage is read as far as it is one" {
    print web 'echo one; echo two; echo three'
    hull wait web
    local log
    log=$(log_of web)
    { head -1 "$log"; echo 'no record'; head -c 4000 /dev/urandom | tr '\n' x; echo; printf '{"log":5}\n{}\n[]\n'
      head -c 3000000 /dev/zero; echo; tail -1 "$log"; sed -n 2p "$log" | head -c 20; } >new
    cp new "$log"
    run_hull logs web
    succeeded
    equals $'one\nthree' "$output"
    contains 'is damaged' "$stderr"
    equals 1 "$(wc -l <<<"$stderr")"
    : >"$log"
    equals '' "$(hull logs web)"
    rm "$log"
    equals '' "$(hull logs web)"
    head -c 5000 /dev/urandom >"$log.1.gz"
    run_hull logs -n 5 web
    succeeded
    ln -s /etc/passwd "$log"
    run_hull logs web
    equals 1 "$status"
    print none 'echo x' --log-driver none
    run_hull logs none
    refused 1 'log driver none'
}

@test "events: what has happened, and what happens" {
    print web 'sleep 100'
    hull kill web
    hull wait web
    local all
    all=$(hull events --since 1h --until 0s --filter container=web --format '{{.Action}}' | tr '\n' ' ')
    equals 'create start kill die ' "$all"
    equals 'die 137' "$(hull events --since 1h --until 0s --filter event=die --format '{{.Action}} {{.Actor.Attributes.exitCode}}')"
    [[ "$(hull events --since 1h --until 0s --filter event=start)" =~ ^20[^\ ]+\ container\ start\ [0-9a-f]{64}\ \(image=busybox,\ name=web\)$ ]]
    equals '' "$(hull events --since 1h --until 0s --filter type=network --filter event=die)"
    equals start "$(hull events --since 1h --until 0s --filter event=start --format json | jq -r .status)"
    run_hull events --filter colour=x
    refused 1 "invalid filter 'colour=x'"
    # From now on, across a rotation.
    hull events --format '{{.Action}} {{.Actor.Attributes.name}}' >seen 3>&- &
    started+=($!)
    wait_until 5 watches events
    hull rename web next
    wait_until 5 grep -q 'rename' seen
    mv "$run_root/events" "$run_root/events.1"
    hull rename next last
    wait_until 5 eval '[ "$(wc -l <seen)" = 2 ]'
    equals 'rename last' "$(tail -1 seen)"
}
