# bats file_tags=testbed
# hull run --isolation vm: docs/vm-run.md. One machine serves most of the cases: a start takes its
# time in a virtual host.
bats_require_minimum_version 1.5.0
load helpers

: "${HULL:=/usr/local/bin/hull}"
hull() { "$HULL" "$@"; }

setup_file() {
    modprobe kvm_amd
    modprobe tun
    mkdir "$BATS_FILE_TMPDIR/directory"
    cd "$BATS_FILE_TMPDIR" || return
    echo original >directory/file
    echo single >single
    hull network create net >/dev/null
    hull run -d --isolation vm --name web --network net --network-alias alias -p 8080:80 \
        -v data:/data -v "$PWD/directory:/ro:ro" -v "$PWD/directory:/rw" -v "$PWD/single:/single:ro" \
        --memory 128m --health-cmd 'test -e /healthy' --health-interval 2s busybox \
        sh -c 'trap "echo stopping; exit 5" TERM; echo ready; while :; do sleep 0.2; done' >/dev/null
    # As in all containers here the names are looked up by hull-dns: one beside the machine.
    hull run -d --name beside --network net busybox \
        sh -c 'mkdir /w; echo beside >/w/index.html; httpd -f -p 80 -h /w' >/dev/null
}

teardown_file() {
    hull rm -f web beside >/dev/null
    hull network rm net
    hull volume rm data
}

has_status() { [ "$(hull inspect -f '{{.State.Status}}' "$1")" = "$2" ]; }
# Nothing of machines is left but those named so.
nothing_left() {
    [ "$(find /run/hull/vm -name '*.container' | wc -l)" = "$1" ]
    [ "$(pgrep -c -x hull-vmm || true)" = "$((2 * $1))" ]
    [ "$(find /sys/fs/cgroup/hull -mindepth 1 -maxdepth 1 -type d | wc -l)" = "$(hull ps -q | wc -l)" ]
}

@test "a machine's program is a container's: streams, status, user, environment, directory, name" {
    run --separate-stderr hull run --rm -i --isolation vm --user 1000:100 -e A=b -w /tmp --hostname box \
        --cpus 1 --memory 256m --tmpfs /t --ulimit nofile=100 --init busybox sh -c '
        id; pwd; hostname; echo $A; ulimit -n; nproc; cat; echo error >&2
        [ "$(awk "/MemTotal/ { print \$2 }" /proc/meminfo)" -lt 262144 ] && echo small; uname -r; exit 7' <<<input
    equals '' "$(grep -v '^error$' <<<"$stderr")"
    equals 7 "$status"
    equals "uid=1000 gid=100 groups=100 /tmp box b 100 1 input small $(uname -r)" \
        "$(tr '\n' ' ' <<<"$output" | sed 's/(users)//g; s/ $//')"
    equals error "$stderr"
    run -127 hull run --rm --isolation vm busybox /nosuch
    contains 'no such file or directory' "$output"
    run hull ps -aq
    equals 2 "${#lines[@]}"
    nothing_left 1
}

@test "machines and containers are in one network, with published ports and names" {
    hull exec web sh -c 'mkdir /w; echo web >/w/index.html; httpd -p 80 -h /w'
    equals web "$(curl -s --max-time 20 127.0.0.1:8080)"
    equals web "$(curl -s --max-time 20 "$(hull inspect -f '{{.NetworkSettings.Networks.net.IPAddress}}' web)")"
    equals web "$(hull exec beside wget -qO- http://web)"
    equals web "$(hull exec beside wget -qO- http://alias)"
    equals beside "$(hull exec web wget -qO- http://beside)"
    hull exec web ping -c 1 -W 10 beside
    hull run --rm --isolation vm --network none busybox sh -c '[ "$(ls /sys/class/net)" = lo ]'
}

@test "volumes and binds, of directories and of files, written to or not" {
    hull exec web sh -c 'cat /ro/file /single; ! echo x >/ro/file; ! echo x >/single; ! touch /ro/new
        echo changed >/rw/file && echo data >/data/file && mkdir /rw/made && chown 1000 /rw/made'
    equals changed "$(cat "$BATS_FILE_TMPDIR/directory/file")"
    equals single "$(cat "$BATS_FILE_TMPDIR/single")"
    equals 1000 "$(stat -c %u "$BATS_FILE_TMPDIR/directory/made")"
    equals data "$(hull run --rm -v data:/data busybox cat /data/file)"
}

@test "a running machine is inspected and changed: exec, top, stats, logs, health, pause, cp" {
    equals 'uid=8(mail) gid=8(mail) groups=8(mail)' "$(hull exec -u mail web id)"
    equals input "$(hull exec -i web cat <<<input)"
    run -3 hull exec -e B=c -w /tmp web sh -c 'pwd; echo $B; exit 3'
    equals "/tmp c" "${lines[*]}"
    run -127 hull exec web nosuch
    run script -qec "'$HULL' exec -it web sh -c 'tty; stty size'" /dev/null </dev/null
    contains /dev/pts/ "$output"
    hull exec web sh -c 'head -c 3000000 /dev/zero' | cmp -n 3000000 - /dev/zero
    hull exec -d web sleep 1000
    wait_until 10 sh -c "'$HULL' top web | grep -q 'sleep 1000'"
    contains web "$(hull stats --no-stream web)"
    contains ready "$(hull logs web)"
    hull exec web touch /healthy
    wait_until 30 sh -c "[ \"\$('$HULL' inspect -f '{{.State.Health.Status}}' web)\" = healthy ]"
    hull pause web
    run ! hull exec web true
    hull unpause web
    # Its clock is the host's, whatever time it had stood still.
    now=$(hull exec web date +%s)
    [ "$(($(date +%s) - now))" -le 5 ]
    mkdir -p tree/inside
    echo one >tree/inside/file
    hull cp tree web:/tree
    hull cp tree web:/tree
    equals "one one" "$(hull exec web cat /tree/inside/file /tree/tree/inside/file | xargs)"
    hull cp web:/tree/inside/. back
    equals one "$(cat back/file)"
    hull cp web:/tree/inside/file - | tar -xO | grep -qx one
    tar -c tree | hull cp - web:/tmp
    hull exec web test -f /tmp/tree/inside/file
    run -1 hull cp web:/absent .
    contains 'web:/absent' "$output"
    run -1 hull diff web
    contains 'virtual machine' "$output"
    run -1 hull network connect bridge web
    contains 'virtual machine' "$output"
    run -1 hull update --memory 256m web
    contains 'virtual machine' "$output"
}

@test "a stopped machine starts again with its files; its program hears the signal" {
    hull exec web sh -c 'echo kept >/kept'
    hull stop -t 60 web
    equals 5 "$(hull inspect -f '{{.State.ExitCode}}' web)"
    contains stopping "$(hull logs web)"
    nothing_left 0
    hull start web
    equals kept "$(hull exec web cat /kept)"
}

@test "a machine that boots is removed at once" {
    hull create --isolation vm --name early busybox true >/dev/null
    hull start early 2>/dev/null 3>&- &
    wait_until 20 test -S "/run/hull/containers/$(hull inspect -f '{{.Id}}' early)/jail/run/vsock"
    SECONDS=0
    hull rm -f early
    [ "$SECONDS" -le 10 ]
    wait
    nothing_left 1
}

@test "whatever is killed, nothing is left, and synced files survive" {
    local keeper monitor
    hull exec web sh -c 'echo synced >/synced; sync'
    keeper=$(hull inspect -f '{{.State.Pid}}' web)
    kill -KILL "$keeper"
    wait_until 20 has_status web exited
    equals 137 "$(hull inspect -f '{{.State.ExitCode}}' web)"
    nothing_left 0
    hull start web
    equals synced "$(hull exec web cat /synced)"
    monitor=$(pgrep -n -x hull-vmm)
    kill -KILL "$monitor"
    wait_until 20 has_status web exited
    equals 125 "$(hull inspect -f '{{.State.ExitCode}}' web)"
    nothing_left 0
    # A guest's kernel that panics says why.
    run -125 hull run --rm --privileged --isolation vm busybox sh -c 'echo c >/proc/sysrq-trigger'
    contains 'the virtual machine has ended' "$output"
    contains panic "$output"
    nothing_left 0
    hull system check
}
