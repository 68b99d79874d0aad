# Whatever is killed at whatever instant (a command, a monitor, hull-oci, the cleaning up), a repair
# makes all as it should be, and what a restart policy keeps running runs.
#
# A random walk: each round has a command do something to one of a few containers and kills one of
# the processes at work. HULL_SEED repeats it, as far as time can be repeated. Rounds in which nobody
# was killed, because there was none of that kind or it had ended before, don't count.
load hull

: "${KILL_PROCESS:=$HULL_BUILD/tests/helpers/kill_process}"

# Not in subshells, where the sequence would begin anew. Sets `chosen`.
random() { chosen=$((RANDOM % $1)); }
choose() { # WORD...
    random $#
    shift "$chosen"
    chosen=$1
}

# The pids of this test's processes of a kind.
processes() { # monitor | runtime | cleanup
    case $1 in
    monitor) pgrep -f "^hull-monitor $run_root/containers/" ;;
    runtime) pgrep -f "hull-oci .*--root $run_root/oci " ;;
    cleanup) pgrep -f "/hull .*--run-root $run_root container cleanup " ;;
    esac || true
}
# Nor is a monitor that hasn't said yet what it does, or has said that it is done.
is_quiet() {
    local pid told
    [ -z "$(processes runtime)$(processes cleanup)" ] || return 1
    told=$(cat "$run_root"/containers/*/status 2>/dev/null | jq -r .monitor.pid)
    for pid in $(processes monitor); do
        grep -qx "$pid" <<<"$told" || return 1
    done
}

# What this round does, as words of hull's command line.
choose_command() {
    local name other verb
    # Names that no id begins with: the beginning of an id is one, too.
    choose one two three
    name=$chosen
    choose one two three
    other=$chosen
    # What has no container to work on does little; and little but the end of a program is cleaned up.
    random 4
    case $victim.$chosen in
    cleanup.[0-2]) random 3 ;;
    *.[0-1]) random 8 ;;
    *) random 20 ;;
    esac
    case $chosen in
    0 | 1) words=(run --rm busybox true) ;;
    2) words=(run --rm -v /anonymous -v "data-$name:/data" busybox true) ;;
    3 | 4) words=(run -d --name "$name" -v "data-$name:/etc" --stop-timeout 0 busybox sleep 1000) ;;
    5) words=(run -d --rm --name "$name" -v /anonymous busybox sleep 0.1) ;;
    6) words=(run -d --name "$name" --restart always -p 80 busybox sleep 1000) ;;
    7) words=(run -d --name "$name" --network net --ipc shareable busybox sh -c 'sleep 0.2; exit 3') ;;
    8) words=(create --name "$name" -v /anonymous busybox true) ;;
    9) words=(start "$name") ;;
    10) words=(stop -t 0 "$name") ;;
    11) words=(restart -t 0 "$name") ;;
    12) words=(rm -f -v "$name") ;;
    13) words=(kill "$name") ;;
    14) choose pause unpause && words=("$chosen" "$name") ;;
    15) choose connect disconnect && words=(network "$chosen" net "$name") ;;
    16) choose create rm && words=(network "$chosen" "net-$name") ;;
    17) words=(exec "$name" true) ;;
    18) words=(rename "$name" "$other") ;;
    19) words=(volume rm "data-$name") ;;
    esac
}

pause_for() { sleep "$(printf '0.%03d' "$1")"; }

# Kills one process of that kind, some milliseconds after there is one: the monitor of any
# container, the first runtime or cleaning up that the command leads to.
kill_one() { # KIND DELAY
    case $1 in
    monitor)
        # shellcheck disable=SC2046
        choose $(processes monitor)
        pause_for "$2"
        kill -KILL "$chosen" 2>/dev/null
        ;;
    runtime) "$KILL_PROCESS" "$command" 400 "$2"00 hull-oci "--root $run_root/oci " >/dev/null ;;
    cleanup) "$KILL_PROCESS" "$command" 400 "$2"00 "--run-root $run_root container cleanup " >/dev/null ;;
    esac
}

kill_round() {
    local words command delay
    choose_command
    random 60
    delay=$chosen
    what="hull ${words[*]}: $victim killed after $delay ms"
    nsenter --net="/run/netns/$net" "$HULL" --root "$root" --run-root "$run_root" "${words[@]}" \
        </dev/null >out 2>&1 3>&- &
    command=$!
    case $victim in
    command)
        pause_for "$delay"
        kill -KILL "$command" 2>/dev/null || true
        ;;
    *)
        if kill_one "$victim" "$delay"; then killed=$((killed + 1)); fi
        ;;
    esac
    # Nobody waits for ever for what was killed.
    wait_until 40 [ ! -d "/proc/$command" ] || return 1
    wait "$command" || [ "$victim:$?" != command:137 ] || killed=$((killed + 1))
    # The first ends what waits to be begun; what works on for who was killed may leave some more.
    hull system check --quick --repair || return 1
    wait_until 20 is_quiet || return 1
    # Stopped containers, and so most of what there is to work on, go with the one.
    if [ $((RANDOM % 4)) = 0 ]; then
        hull system prune --force >/dev/null || return 1
    else
        hull system check --quick --repair || return 1
    fi
    hull system check --quick || return 1
    is_state keeper running || return 1
}

explain() {
    echo "$what" >&2
    cat out >&2
    hull system check --quick >&2 || true
    ls -A "$root/containers" "$run_root/containers" "$run_root/oci" >&2
    sqlite3 "$root/hull.db" 'SELECT id, name FROM engine_container' >&2
    cat "$run_root"/containers/*/*.log 2>/dev/null | tail -20 >&2
    return 1
}

walk() { # VICTIM ROUNDS
    local victim=$1 wanted=$2 round=0 chosen what='' killed=0
    RANDOM=${HULL_SEED:-1}
    [ -z "${HULL_LONG:-}" ] || wanted=$((wanted * 13))
    hull network create net
    hull run -d --name keeper --network net --restart always -v kept:/kept busybox sh -c 'echo x >>/kept/starts; exec sleep 1000'
    while [ "$killed" -lt "$wanted" ] && [ "$round" -lt $((wanted * 6)) ]; do
        round=$((round + 1))
        kill_round || {
            echo "round $round of seed ${HULL_SEED:-1}" >&2
            explain
            return 1
        }
    done
    echo "# $victim: $killed killed in $round rounds" >&3
    # A sample on a busy machine may have some less.
    [ -n "${HULL_LONG:-}" ] || wanted=1
    [ "$killed" -ge "$wanted" ]
    # All of it can be removed, and then nothing is left; and all works.
    local names
    names=$(containers name)
    # shellcheck disable=SC2086
    hull rm -f -v $names
    wait_until 10 nothing_left
    hull network rm net
    hull volume prune --all --force
    equals '' "$(ls "$root/volumes")"
    equals ok "$(hull run --rm busybox echo ok)"
    hull system check
}

@test "commands, killed at any instant" { walk command 6; }

@test "monitors, killed at any instant" { walk monitor 4; }

@test "runtimes, killed at any instant" { walk runtime 3; }

@test "the cleaning up, killed at any instant" { walk cleanup 3; }

@test "the first command of all, killed at any instant" {
    local rounds=3 round delay command chosen
    RANDOM=${HULL_SEED:-1}
    [ -z "${HULL_LONG:-}" ] || rounds=40
    for round in $(seq "$rounds"); do
        random 250
        delay=$chosen
        nsenter --net="/run/netns/$net" "$HULL" --root "$root" --run-root "$run_root" \
            run --rm busybox true </dev/null >out 2>&1 3>&- &
        command=$!
        pause_for "$delay"
        kill -KILL "$command" 2>/dev/null || true
        wait "$command" || true
        [ ! -d "$root" ] || hull system check --repair || {
            echo "round $round: killed after $delay ms" >&2
            return 1
        }
        wait_until 20 is_quiet
        [ ! -d "$root" ] || hull system check --repair || {
            echo "round $round: killed after $delay ms" >&2
            return 1
        }
        equals ok "$(hull run --rm busybox echo ok)"
        hull system check
        # shellcheck disable=SC2046
        [ -z "$(containers name)" ] || hull rm -f -v $(containers name)
        wait_until 10 nothing_left
        rm -r "$root"
    done
}
