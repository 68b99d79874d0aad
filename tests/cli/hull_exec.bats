# Further programs in a running container.
load hull

start_web() { hull run -d --network none --name web "$@" busybox sleep 1000 >/dev/null; }
# On a terminal: on_terminal [--type TEXT|--wait TEXT]... VERB...
on_terminal() {
    local steps=()
    while [[ $1 == --* ]]; do
        steps+=("$1" "$2")
        shift 2
    done
    python3 "$BATS_TEST_DIRNAME/terminal.py" --seconds 20 "${steps[@]}" \
        "$HULL" --root "$root" --run-root "$run_root" "$@" 3>&-
}
is_running() { hull top web -e -o pid,args | grep -qF "$1"; }

@test "exec: streams and exit status" {
    start_web
    run_hull exec web sh -c 'echo out; echo err >&2; exit 5'
    equals 5 "$status"
    equals out "$output"
    equals err "$stderr"
    run_hull exec web sh -c 'kill -9 $$'
    equals 137 "$status"
    equals 'piped' "$(echo piped | hull exec -i web cat)"
    # Without -i there is no input.
    equals '' "$(echo piped | hull exec web cat)"
    equals 20000000 "$(head -c 20000000 /dev/zero | hull exec -i web cat | wc -c)"
    # Who doesn't read its input isn't waited for.
    equals done "$(head -c 5000000 /dev/zero | hull exec -i web echo done)"
}

@test "exec: 126, 127, and 1 for what isn't the program's fault" {
    run_hull exec web true
    refused 1 'no such container: web'
    hull create --name new --network none busybox true
    run_hull exec new true
    refused 1 'container new is not running'
    start_web
    run_hull exec web no-such-program
    refused 127 no-such-program
    run_hull exec web /etc
    refused 126 /etc
    run_hull exec -u nobody-like-that web true
    refused 1 "user 'nobody-like-that'"
    run_hull exec -w relative web true
    refused 1 'not an absolute path'
    hull pause web
    run_hull exec web true
    refused 1 'is paused'
    hull unpause web
    hull exec web true
    hull kill web
    run_hull exec web true
    refused 1 'is not running'
    run_hull exec web
    equals 125 "$status"
    equals '' "$(ls "$run_root/exec")"
}

@test "exec: user, groups, directory, variables" {
    start_web -e FROM=container -w /tmp --group-add 77
    equals 'root /root container /tmp' "$(hull exec web sh -c 'echo $(id -un) $HOME $FROM $PWD')"
    hull exec web sh -c 'echo "app:x:500:600::/home/app:/bin/sh" >>/etc/passwd; echo "more:x:700:app" >>/etc/group'
    equals '500 600 /home/app' "$(hull exec -u app web sh -c 'echo $(id -u) $(id -g) $HOME')"
    equals '600 77 700' "$(hull exec -u app web id -G | tr ' ' '\n' | sort -n | tr '\n' ' ' | sed 's/ $//' |
        awk '{print $2, $1, $3}')"
    equals '42:43' "$(hull exec -u 42:43 web sh -c 'echo $(id -u):$(id -g)')"
    equals /etc "$(hull exec -w /etc web pwd)"
    printf '# comment\nA=file\nB=file\n\n' >variables
    equals 'flag file here' "$(HERE=here hull exec --env-file variables -e A=flag -e HERE web sh -c 'echo $A $B $HERE')"
    equals other "$(hull exec -e FROM=other web sh -c 'echo $FROM')"
    run_hull exec -e =x web true
    refused 1 "--env '=x'"
    # No more than the container has, unless asked for.
    equals 00000000a80425fb "$(hull exec web sed -n 's/^CapEff:\t//p' /proc/self/status)"
    [ "$(hull exec --privileged web sed -n 's/^CapEff:\t//p' /proc/self/status)" != 00000000a80425fb ]
    equals 2 "$(hull exec web sed -n 's/^Seccomp:\t//p' /proc/self/status)"
}

@test "exec -t gives a terminal of its own" {
    start_web
    COLUMNS=91 run on_terminal --wait '# ' --type 'stty size; tty; echo $TERM\n' --wait xterm --type 'exit 6\n' \
        exec -it web sh
    equals 6 "$status"
    contains '24 91' "$output"
    contains /dev/pts/ "$output"
    run_hull exec -it web sh
    refused 1 'standard input is no terminal'
    # -t alone: output through a terminal.
    contains $'a\r' "$(hull exec -t web echo a)"
    # ^C goes to the program, which may survive it.
    run on_terminal --wait ready --type '\x03' exec -it web sh -c 'trap "echo caught; exit 8" INT; echo ready; while :; do sleep 0.1; done'
    equals 8 "$status"
    contains caught "$output"
}

@test "exec: detach keys leave it running, with its terminal" {
    start_web
    run on_terminal --wait ready --type '\x10\x11' exec -it web sh -c 'echo ready; i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo x; sleep 0.1; done'
    equals 0 "$status"
    is_running 'echo ready'
    run on_terminal --wait ready --type 'ab' exec -it --detach-keys a,b web sh -c 'echo ready; sleep 99'
    equals 0 "$status"
    is_running 'sleep 99'
    # Its end is told as that of others.
    end_program 'sleep 99'
    wait_until 10 has_died 143
    run on_terminal --wait ready --type '\x10\x11' exec -it web sh -c 'trap "" HUP; stty size; echo ready; i=0; while [ $i -lt 10 ]; do i=$((i+1)); echo x; sleep 0.1; done; exit 6'
    equals 0 "$status"
    wait_until 10 has_died 6
    # Of a hull that is killed the terminal hangs up.
    on_terminal --wait ready exec -it web sh -c 'echo ready; exec sleep 98' >seen 2>&1 3>&- &
    started+=($!)
    wait_until 10 is_running 'sleep 98'
    kill -KILL "$(pgrep -o -f -- "^$HULL.*$run_root exec -it web sh -c echo ready; exec sleep 98")"
    wait_until 10 eval '! is_running "sleep 98"'
    run_hull exec --detach-keys nonsense -t web true
    refused 1 "invalid detach keys 'nonsense'"
}

@test "exec -d returns at once, and what it can't start is an error" {
    start_web
    run_hull exec -d web sh -c 'echo lost; sleep 77'
    succeeded
    equals '' "$output"
    is_running 'sleep 77'
    hull exec -d -t web sleep 78
    is_running 'sleep 78'
    run_hull exec -d web no-such-program
    refused 127 no-such-program
    run_hull exec -d nobody true
    refused 1 'no such container: nobody'
    # Nothing of the caller's is kept open.
    equals done "$(hull exec -d web sleep 79 && echo done)"
}

deaths() {
    hull events --since 1h --until 0s --filter event=exec_die \
        --format '{{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}} {{.Actor.Attributes.color}}'
}
have_died() { [ "$(deaths | wc -l)" = "$1" ]; }
end_program() { hull top web -e -o pid,args | awk -v what="$1" 'index($0, what) {print $1}' | xargs kill; }
has_died() { deaths | grep -q "^web $1 "; }

@test "exec -d: an event tells the exit status, when it comes and however" {
    start_web --label color=red
    hull exec -d web sh -c 'exit 7'
    wait_until 10 have_died 1
    equals 'web 7 red' "$(deaths)"
    # With a terminal, and something left behind that writes to it.
    hull exec -d -t web sh -c 'trap "" HUP; (while sleep 0.1; do echo x; done) & tty >/tty; exit 8'
    wait_until 10 have_died 2
    contains /dev/pts/ "$(hull exec web cat /tty)"
    # By a signal to who keeps it, and by the container's end.
    hull exec -d web sh -c 'trap "exit 9" TERM; echo ready >/ready; while :; do sleep 0.1; done'
    wait_until 10 hull exec web test -e /ready
    kill -TERM "$(pgrep -f -- "^$HULL.*$run_root exec -d web sh -c trap .exit 9")"
    wait_until 10 has_died 9
    [[ "$(deaths)" == *'web 9 red'* ]]
    hull exec -d web sleep 80
    hull kill web
    wait_until 10 has_died 137
}

@test "a signal to hull exec reaches the program; one that is killed leaves nothing that the next doesn't clean" {
    start_web
    hull exec web sh -c 'trap "echo ended; exit" TERM; echo ready; while :; do sleep 0.1; done' >out 3>&- &
    started+=($!)
    wait_until 5 grep -q ready out
    kill -TERM "$(pgrep -f -- "^$HULL.*$run_root exec web")"
    wait_until 5 grep -q ended out
    mkdir -p "$run_root/exec/999999999"
    touch "$run_root/exec/999999999/console"
    hull exec web true
    equals '' "$(ls "$run_root/exec")"
}

@test "what an ended exec leaves in the container can't read the caller's terminal" {
    start_web
    run on_terminal exec web sh -c 'ls -l /proc/self/fd | grep -c pts'
    contains 0 "$output"
}

@test "events tell of exec" {
    start_web
    hull exec web sh -c 'exit 3' || true
    equals $'exec_create: sh -c exit 3\nexec_start: sh -c exit 3\nexec_die 3' "$(hull events --since 1h --until 0s \
        --filter event=exec_create --filter event=exec_start --filter event=exec_die \
        --format '{{.Action}}{{with .Actor.Attributes.exitCode}} {{.}}{{end}}')"
}
