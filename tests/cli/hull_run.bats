# Containers as a user runs them.
load hull

@test "runs a program in the foreground, with its streams and its exit status" {
    run_hull run --rm busybox sh -c 'echo out; echo err >&2; exit 3'
    equals 3 "$status"
    equals out "$output"
    equals err "$stderr"
    run hull run --rm -i busybox sh -c 'read line; echo "got $line"' <<<hello
    succeeded
    equals 'got hello' "$output"
    nothing_left
}

@test "says 125, 126 or 127 where the program couldn't run, and leaves nothing of --rm" {
    run_hull run --rm busybox no-such-program
    equals 127 "$status"
    contains 'no-such-program' "$stderr"
    run_hull run --rm busybox /etc/passwd
    equals 126 "$status"
    run_hull run --rm -u no-such-user busybox true
    equals 125 "$status"
    contains "user 'no-such-user'" "$stderr"
    run_hull run --rm -v "$PWD/missing/file:/x:ro" --mount type=bind,src="$PWD/not-there",dst=/y busybox true
    equals 125 "$status"
    contains "can't bind" "$stderr"
    # Either there are project quotas here, or that there are none is said.
    run_hull run --rm --storage-opt size=1m busybox sh -c '! head -c 3000000 /dev/zero >/file 2>/dev/null'
    [ "$status" = 0 ] || refused 125 "can't limit a directory"
    run_hull run --rm --memory 1 busybox true
    equals 125 "$status"
    contains "--memory: 1 bytes" "$stderr"
    run_hull run --rm --pull never no-such-image-of-mine:1 true
    [ "$status" -ne 0 ]
    wait_until 5 nothing_left
}

@test "runs detached; stop, start, restart, kill, rm" {
    run_hull run -d --name web --stop-timeout 1 busybox sh -c 'trap "exit 7" TERM; while :; do sleep 0.1; done'
    succeeded
    equals "$(containers id)" "$output"
    is_state web running
    run_hull rm web
    refused 1 'is running'
    run_hull stop web
    succeeded
    equals web "$output"
    is_state web exited
    equals 7 "$(state web exitCode)"
    run_hull kill web
    refused 1 'not running'
    hull start web
    is_state web running
    local pid
    pid=$(state web pid)
    hull restart web
    [ "$(state web pid)" != "$pid" ]
    hull kill web
    wait_until 5 is_state web exited
    equals 137 "$(state web exitCode)"
    hull rm web
    nothing_left
    equals '' "$(containers id)"
}

@test "names are unique, ids may be cut" {
    hull create --name one busybox true
    run_hull create --name one busybox true
    refused 1 "the name 'one' is in use"
    run_hull create --name '../x' busybox true
    refused 1 "can't be a container's name"
    hull create busybox true
    local id
    id=$(sqlite3 -cmd ".timeout 20000" "$root/hull.db" "SELECT id FROM engine_container WHERE name != 'one'")
    run_hull start "${id:0:9}"
    succeeded
    run_hull start nobody
    refused 1 'no such container: nobody'
    equals 2 "$(containers 'count(*)')"
}

@test "an unknown flag, or a wrong value, makes nothing" {
    run_hull run --memori 3 busybox
    refused 125 "did you mean '--memory'"
    run_hull run --cpus 1000 busybox true
    refused 125 '--cpus: this machine has'
    run_hull run --cpuset-cpus 0,8191 busybox true
    refused 125 "--cpuset-cpus: '0,8191': this machine's are 0-"
    run_hull create --log-opt max-size=x busybox true
    refused 1 "--log-opt max-size: 'x'"
    run_hull run --pull never Busybox true
    refused 125 "invalid image name 'Busybox': the repository must be in lower case"
    run_hull run --restart sometimes busybox
    equals 125 "$status"
    run_hull run --rm --restart always busybox
    equals 125 "$status"
    equals '' "$(containers id)"
    nothing_left
}

@test "pause and unpause" {
    hull run -d --name pp busybox sh -c 'while :; do sleep 0.1; done'
    hull pause pp
    is_state pp paused
    run_hull pause pp
    equals 1 "$status"
    run_hull start pp
    refused 1 'is paused'
    hull unpause pp
    is_state pp running
    hull rm -f pp
}

@test "cidfile, a file that is there isn't overwritten" {
    hull run --rm --cidfile id busybox true
    equals 64 "$(wc -c <id)"
    run_hull run --rm --cidfile id busybox true
    refused 125 'is there already'
    run_hull run --rm --pull never --cidfile other no-such-image true
    [ ! -e other ]
    nothing_left
}

@test "the restart policy brings it back, and a stop by the user ends it" {
    hull run -d --name again --restart on-failure:2 busybox sh -c 'echo x; exit 1'
    wait_until 10 is_state again exited
    equals 2 "$(state again restartCount)"
    hull rm again
    hull run -d --name always --restart always busybox sleep 1000
    kill -KILL "$(state always pid)"
    wait_until 10 eval '[ "$(state always restartCount)" = 1 ] && is_state always running'
    hull stop -t 0 always
    is_state always exited
    hull rm always
}

@test "volumes: named, unnamed, of the image, from another container" {
    hull run --rm -v data:/data -v "$PWD:/here:ro" --tmpfs /t busybox sh -c \
        'echo kept >/data/file; touch /here/x 2>/dev/null || echo read-only; touch /t/ok && echo tmpfs' >out
    equals $'read-only\ntmpfs' "$(cat out)"
    equals kept "$(hull run --rm --mount type=volume,src=data,dst=/d busybox cat /d/file)"
    equals kept "$(cat "$root/volumes/data/_data/file")"
    # Of an empty volume the image's files are the first content.
    equals passwd "$(hull run --rm -v conf:/etc busybox ls /etc | grep '^passwd$')"
    [ -e "$root/volumes/conf/_data/passwd" ]
    hull run -d --name source -v /anonymous -v data:/data busybox sh -c 'echo a >/anonymous/a; sleep 1000'
    wait_until 5 eval '[ "$(hull run --rm --volumes-from source busybox cat /anonymous/a)" = a ]'
    equals 3 "$(ls "$root/volumes" | wc -l)"
    hull rm -f -v source
    equals 2 "$(ls "$root/volumes" | wc -l)"
}

@test "what is written stays in the container, and other containers don't see it" {
    hull run --name aa busybox sh -c 'echo mine >/file; rm /bin/ls'
    run_hull run --rm busybox cat /file
    [ "$status" -ne 0 ]
    run_hull run --rm busybox ls /
    succeeded
    hull create --name bb busybox cat /file
    run_hull start -a bb
    [ "$status" -ne 0 ]
    equals mine "$(cat "$root/containers/$(sqlite3 -cmd ".timeout 20000" "$root/hull.db" "SELECT id FROM engine_container WHERE name='aa'")/upper/file")"
}

@test "namespaces of other containers" {
    hull run -d --name base --ipc shareable busybox sh -c 'echo shared >/dev/shm/file; sleep 1000'
    wait_until 5 eval '[ "$(hull run --rm --ipc container:base busybox cat /dev/shm/file)" = shared ]'
    run hull run --rm --pid container:base busybox ps
    contains 'sleep 1000' "$output"
    hull run --rm --network container:base busybox true
    hull rm -f base
    run_hull run --rm --pid container:base busybox true
    refused 125 'no such container: base'
}

@test "a terminal" {
    run script -qec "nsenter --net=/run/netns/$net $HULL --root $root --run-root $run_root run --rm -it busybox sh -c 'tty; stty size'" /dev/null </dev/null
    contains /dev/pts/0 "$output"
    run_hull run --rm -it busybox true
    refused 125 'standard input is no terminal'
}

@test "a link names another container's address" {
    hull run -d --name server busybox sleep 1000
    equals "$(hull inspect --format '{{.NetworkSettings.IPAddress}}' server)" \
        "$(hull run --rm --link server:db busybox awk '$2 == "db" {print $1}' /etc/hosts)"
    hull stop -t 0 server
    run_hull run --rm --link server busybox true
    refused 125 "container server doesn't run"
    hull rm server
}

@test "a user namespace of its own: other ids on the host, the image's on the disk" {
    hull run --name mapped --userns private -v data:/data busybox sh -c \
        'touch /file /data/file && chown 33:34 /file && ls -ln /bin/busybox /file; echo "127.0.0.2 x" >>/etc/hosts; ls -ln /etc/hosts; cat /proc/self/uid_map' >out
    equals '0 0 33 34 0 0' "$(awk '$1 ~ /^-/ {printf "%s%s %s", (n++ ? " " : ""), $3, $4}' out)"
    local first
    first=$(awk 'NF == 3 {print $2}' out)
    [ "$first" -ge 1073741824 ]
    equals 33:34 "$(stat -c %u:%g "$root/containers/$(containers id)/upper/file")"
    equals 0:0 "$(stat -c %u:%g "$root/volumes/data/_data/file")"
    # Its processes are nobody on the host, and no two containers' are the same.
    hull run -d --name one --userns private busybox sleep 1000
    hull run -d --name two --userns auto busybox sleep 1000
    [ "$(stat -c %u "/proc/$(state one pid)")" -ge 1073741824 ]
    [ "$(stat -c %u "/proc/$(state one pid)")" != "$(stat -c %u "/proc/$(state two pid)")" ]
    hull exec one sh -c 'echo hi >/new; id -u'
    equals '0 0' "$(hull cp one:/new - | tar --numeric-owner -tvf - | awk '{print $2}' | tr / ' ')"
    hull rm -f one two mapped
    run_hull run --rm --userns elsewhere busybox true
    refused 125 'host private auto'
}

@test "a program may open its standard streams again, whoever it is and in whatever user namespace" {
    local user mode
    for user in 0 1000; do
        for mode in host private; do
            run_hull run --rm --network none -u "$user" --userns "$mode" busybox \
                sh -c 'echo out >/dev/stdout; echo err >/dev/stderr'
            equals 'out err 0' "$output $stderr $status"
        done
    done
    hull run -d --network none --name mapped --userns private busybox sleep 1000
    for user in 0 1000; do
        run_hull exec -u "$user" mapped sh -c 'echo out >/dev/stdout; echo err >/dev/stderr'
        equals 'out err 0' "$output $stderr $status"
        equals in "$(echo in | hull exec -i -u "$user" mapped sh -c 'cat /dev/stdin')"
    done
}

@test "what a virtual machine can't have is refused in a line" {
    local flags
    while read -r flags; do
        # shellcheck disable=SC2086 # words
        run hull create --isolation vm $flags busybox
        [ "$status" -ne 0 ]
        contains "virtual machine" "$output"
        [ "${#lines[@]}" = 1 ]
        [ -z "$(hull ps -aq)" ]
    done <<'END'
--network host
--network container:other
--pid host
--ipc shareable
--uts host
--userns private
--cgroupns host
--device /dev/null
--memory 32m
END
}
