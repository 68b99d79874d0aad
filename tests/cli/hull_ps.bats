# What is there: ps, inspect, port, top, stats, df, info; wait, rename, update, container prune.
load hull

quiet() { hull run -d --network none "$@" >/dev/null; }
names() { hull ps --format '{{.Names}}' "$@" | sort | tr '\n' ' '; }

@test "ps lists what runs, and with -a, -n and -l what doesn't" {
    run_hull ps
    equals 'CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES' "$output"
    quiet --name up busybox sleep 100
    hull run --network none --name ended busybox sh -c 'exit 4' || [ $? = 4 ]
    hull create --network none --name new busybox true
    equals 'up ' "$(names)"
    equals 'ended new up ' "$(names -a)"
    equals 'new ' "$(names -l)"
    equals 'ended new ' "$(names -n 2)"
    run_hull ps -a
    [[ "${output}" == *'"sleep 100"'*' Up '*' up'* ]]
    [[ "${output}" == *'Exited (4) '*' ago'*ended* ]]
    [[ "${output}" == *'"true"'*Created*new* ]]
    equals "$(containers id | sort)" "$(hull ps -aq --no-trunc | sort)"
    equals "$(containers 'substr(id, 1, 12)' | sort)" "$(hull ps -aq | sort)"
    hull pause up
    equals 'up Up paused' "$(hull ps --format '{{.Names}} {{slice .Status 0 2}} {{.State}}')"
    contains '(Paused)' "$(hull ps)"
    equals 'up ' "$(hull container ls --format '{{.Names}} ')"
    equals true "$(hull ps -a --format json | jq -s 'length == 3 and all(.ID and .Names and .Image == "busybox")')"
}

@test "ps cuts what doesn't fit the terminal" {
    quiet --name a-name-that-takes-a-lot-of-room-in-a-narrow-terminal busybox \
        sh -c 'sleep 100; echo a rather long command'
    COLUMNS=80 python3 "$BATS_TEST_DIRNAME/terminal.py" "$HULL" --root "$root" --run-root "$run_root" ps >out
    equals 2 "$(wc -l <out)"
    [ "$(wc -L <out)" -le 81 ]
    contains '…' "$(cat out)"
    contains narrow-terminal "$(hull ps)"
}

@test "filters of ps" {
    quiet --name web -l tier=front -l x busybox sleep 100
    quiet --name database -l tier=back -v data:/srv busybox sleep 100
    hull run --network none --name failed -l tier=front busybox sh -c 'exit 3' || true
    equals 'web ' "$(names -f label=tier=front)"
    equals 'failed web ' "$(names -a -f label=tier=front)"
    equals 'web ' "$(names -a -f label=tier=front -f label=x)"
    equals 'database ' "$(names -f name=^data)"
    equals 'database web ' "$(names -f name=web -f name=base)"
    equals 'failed ' "$(names -a -f exited=3)"
    equals '' "$(names -a -f exited=0)"
    equals 'failed ' "$(names -f status=exited)"
    equals 'database web ' "$(names -f status=running -f status=paused)"
    equals 'database ' "$(names -f volume=data)"
    equals 'database ' "$(names -f volume=/srv)"
    equals 'web ' "$(names -f before=database)"
    equals 'failed ' "$(names -a -f since=database)"
    equals 'database failed web ' "$(names -a -f ancestor=busybox)"
    equals '' "$(names -a -f ancestor=nothing-like-it)"
    equals 'web ' "$(names -f "id=$(hull inspect -f '{{slice .Id 0 9}}' web)")"
    equals '' "$(names -f id=no-id)"
    equals 'database web ' "$(names -f health=none)"
    run_hull ps -f color=blue
    refused 1 "invalid filter 'color=blue'"
    run_hull ps -f status=blue
    refused 1 'there is no such status'
    run_hull ps -f before=nobody
    refused 1 'no such container: nobody'
}

@test "health is shown and filtered by" {
    quiet --name sick --health-cmd 'exit 1' --health-interval 100ms --health-retries 1 busybox sleep 100
    wait_until 10 eval '[ -n "$(names -f health=unhealthy)" ]'
    contains '(unhealthy)' "$(hull ps)"
    equals '' "$(names -f health=healthy)"
}

@test "inspect: containers, images, networks and volumes, each by its kind" {
    quiet --name thing busybox sleep 100
    hull volume create vessel
    equals "running /thing" "$(hull inspect -f '{{.State.Status}} {{.Name}}' thing)"
    equals busybox:latest "$(hull inspect busybox | jq -r '.[0].RepoTags[0]')"
    equals vessel "$(hull inspect -f '{{.Name}}' vessel)"
    equals bridge "$(hull inspect -f '{{.Driver}}' bridge)"
    equals thing "$(hull inspect --type container thing | jq -r '.[0].Name[1:]')"
    run_hull inspect --type volume thing
    refused 1 'no such volume: thing'
    equals '[]' "$output"
    run_hull inspect thing nothing
    refused 1 'no such object: nothing'
    equals 1 "$(jq length <<<"$output")"
    run_hull container inspect busybox
    refused 1 'no such container: busybox'
    equals true "$(hull inspect -s thing | jq '.[0].SizeRootFs > 1000000 and .[0].SizeRw != null')"
    run_hull inspect -f '{{.Nothing}}' thing
    refused 1 'Nothing'
}

@test "wait prints exit codes, of those that have ended too" {
    hull run --network none --name ended busybox sh -c 'exit 4' || true
    quiet --name later busybox sh -c 'trap "exit 9" TERM; while :; do sleep 0.1; done'
    hull wait later ended >codes 3>&- &
    started+=($!)
    hull stop later
    wait_until 10 eval '[ "$(wc -l <codes)" = 2 ]'
    equals $'9\n4' "$(cat codes)"
    run_hull wait nobody ended
    refused 1 'no such container: nobody'
    equals 4 "$output"
}

@test "rename" {
    quiet --name old busybox sleep 100
    quiet --name other busybox sleep 100
    hull rename old new
    equals 'new other ' "$(names)"
    run_hull rename new other
    refused 1 "'other'"
    run_hull rename nobody x
    refused 1 'no such container'
    equals rename "$(hull events --since 1h --until 0s --filter event=rename --format '{{.Action}}')"
}

@test "update changes limits and the restart policy" {
    quiet --name web -m 64m --memory-swap 128m busybox sleep 100
    equals web "$(hull update -m 32m --pids-limit 50 --restart on-failure:2 web)"
    equals '33554432 50 on-failure 2' "$(hull inspect -f \
        '{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}' web)"
    contains '/ 32MiB' "$(hull stats --no-stream web)"
    run_hull update web
    refused 1 'nothing to change'
    run_hull update --cpus many web
    refused 1 "--cpus 'many'"
}

@test "top shows the container's processes alone, with ps's options" {
    quiet --name web busybox sh -c 'sleep 1001 & sleep 1002'
    run_hull top web
    contains 'sleep 1002' "$output"
    [[ "$output" != *bats* ]]
    equals PID "$(hull top web -o pid | head -1 | tr -d ' ')"
    hull kill web
    run_hull top web
    refused 1 'not running'
}

@test "stats: what a container uses" {
    quiet --name busy --cpus 0.5 -m 64m busybox sh -c 'while :; do :; done'
    quiet --name idle busybox sleep 100
    hull create --network none --name new busybox true
    run_hull stats --no-stream --format '{{.Name}} {{.PIDs}} {{.MemUsage}} {{.CPUPerc}}'
    contains 'idle 1 ' "$output"
    [[ "$output" != *new* ]]
    local share
    share=$(sed -n 's/^busy 1 .* \/ 64MiB \([0-9]*\)\..*/\1/p' <<<"$output")
    [ "$share" -ge 10 ] && [ "$share" -le 80 ]
    contains 'new' "$(hull stats -a --no-stream)"
    contains '--' "$(hull stats --no-stream new)"
    run_hull stats --no-stream nobody
    refused 1 'no such container'
    # On a terminal it is drawn again and again.
    python3 "$BATS_TEST_DIRNAME/terminal.py" --seconds 4 "$HULL" --root "$root" --run-root "$run_root" stats idle >screen ||
        [ $? = 130 ]
    [ "$(grep -c $'\e\[H' screen)" -ge 2 ]
}

@test "container prune removes what has ended, as filters say" {
    quiet --name up busybox sleep 100
    hull run --network none --name one -l keep busybox sh -c 'head -c 10000 /dev/zero >/x'
    hull run --network none --name two busybox true
    hull create --network none --name three busybox true
    run_hull container prune <<<n
    equals 'one three two up ' "$(names -a)"
    run_hull container prune -f --filter until=1h
    equals 'one three two up ' "$(names -a)"
    run_hull container prune -f --filter label!=keep
    equals 'one up ' "$(names -a)"
    contains 'Deleted Containers:' "$output"
    run_hull container prune -f
    equals 'up ' "$(names -a)"
    contains 'Total reclaimed space: 10kB' "$output"
}

@test "system df and info" {
    quiet --name up -v data:/data busybox sh -c 'head -c 300000 /dev/zero >/x; head -c 2000 /dev/zero >/data/y; sleep 100'
    wait_until 5 eval 'hull exec up test -e /data/y'
    equals 'Containers 1 1 300kB' "$(hull system df --format '{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}}' | grep Containers)"
    equals 'Local Volumes 1 1 2kB' "$(hull system df --format '{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}}' | grep Volumes)"
    run_hull system df -v
    contains 'Containers space usage:' "$output"
    [[ "$output" == *data*1*2kB* ]]
    equals '1 1 0 1' "$(hull info -f '{{.Containers}} {{.ContainersRunning}} {{.ContainersStopped}} {{.Images}}')"
    contains 'Storage Driver: overlay2' "$(hull system info)"
}

@test "port, and published ports in ps" {
    hull run -d --name web -p 18080:80 -p 127.0.0.1:18443:443/tcp -p 15353:53/udp --expose 9000 busybox sleep 100 >/dev/null
    run_hull port web
    contains '80/tcp -> 0.0.0.0:18080' "$output"
    contains '443/tcp -> 127.0.0.1:18443' "$output"
    contains '53/udp -> 0.0.0.0:15353' "$output"
    contains '0.0.0.0:18080' "$(hull port web 80)"
    contains '0.0.0.0:15353' "$(hull port web 53/udp)"
    run_hull port web 53
    refused 1 "no public port '53'"
    contains '0.0.0.0:18080->80/tcp' "$(hull ps)"
    contains '127.0.0.1:18443->443/tcp' "$(hull ps)"
    equals 'web ' "$(names -f publish=18080)"
    equals 'web ' "$(names -f publish=15000-16000/udp)"
    equals '' "$(names -f publish=15353)"
    equals 'web ' "$(names -f expose=80)"
    equals 'web ' "$(names -f expose=9000/tcp)"
    equals '' "$(names -f expose=9001)"
    equals 'web ' "$(names -f network=bridge)"
    equals '' "$(names -f network=other)"
    equals bridge "$(hull ps --format '{{.Networks}}')"
}

@test "system prune removes what nothing uses" {
    hull network create used
    hull network create unused
    quiet --name up -v data:/data busybox sleep 100
    hull create --name keeps --network used -l keep busybox true
    hull run --name anonymous --network none -v /anonymous busybox true
    hull rm anonymous
    hull volume create named
    equals 3 "$(hull volume ls -q | wc -l)"
    hull commit up >/dev/null
    equals 2 "$(hull images -q | wc -l)"
    run_hull system prune <<<n
    contains 'all networks not used' "$output"
    equals 3 "$(hull volume ls -q | wc -l)"
    run_hull system prune -f --volumes --filter until=1h
    refused 1 until
    run_hull system prune -f --filter label!=keep
    contains 'deleted: sha256:' "$output"
    equals 1 "$(hull images -q | wc -l)"
    equals 'keeps up ' "$(names -a)"
    equals 'bridge host none used' "$(hull network ls --format '{{.Name}}' | sort | tr '\n' ' ' | sed 's/ $//')"
    equals 3 "$(hull volume ls -q | wc -l)"
    run_hull system prune -f --volumes
    equals 'up ' "$(names -a)"
    equals $'data\nnamed' "$(hull volume ls -q | sort)"
    contains 'Deleted Networks:' "$output"
    contains 'Total reclaimed space:' "$output"
    hull system check
    hull rm -f up
    hull system prune -af
    equals '' "$(hull images -q)"
    hull system check
}

@test "system prune clears what killed commands left" {
    quiet --name up busybox sleep 100
    # A container's directory without its row, and one whose monitor was killed.
    local left id
    left=$(printf 'ab%.0s' $(seq 32))
    mkdir -p "$root/containers/$left/upper" "$run_root/containers/$left"
    id=$(hull inspect -f '{{.Id}}' up)
    kill -KILL "$(jq .monitor.pid "$run_root/containers/$id/status")"
    hull system prune -f
    [ ! -e "$root/containers/$left" ]
    equals '' "$(names -a)"
    wait_until 5 nothing_left
}
