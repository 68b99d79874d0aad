# The settings that hull makes of the flags of `create`, beside those that docker's client sends to
# an engine for the same flags. The engine is create_recorder.py, which only keeps what it is sent.
bats_require_minimum_version 1.5.0
load helpers

setup_file() {
    command -v docker >/dev/null && docker create --help >/dev/null 2>&1 || return 0
    export DOCKER_HOST=unix://$BATS_FILE_TMPDIR/socket DOCKER_CONFIG=$BATS_FILE_TMPDIR
    recorded=$BATS_FILE_TMPDIR/recorded
    python3 "$HULL_SOURCE/tests/cli/create_recorder.py" "$BATS_FILE_TMPDIR/socket" "$recorded" \
        >"$BATS_FILE_TMPDIR/ready" 2>&1 3>&- &
    recorder=$!
    export recorder recorded
    wait_until 20 grep -q ready "$BATS_FILE_TMPDIR/ready"
}

teardown_file() {
    [ -z "${recorder:-}" ] || kill "$recorder"
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    settings=$HULL_BUILD/tests/helpers/create_settings
}

# What counts: no empty members, no defaults that docker's client spells out, no order of what has
# none.
normalise='
    def prune: walk(if type == "object" then with_entries(select(.value |
        . != null and . != "" and . != [] and . != {} and . != 0 and . != false)) else . end);
    prune
    | if .HostConfig.MemorySwappiness == -1 then del(.HostConfig.MemorySwappiness) else . end
    | del(.HostConfig.ConsoleSize, .HostConfig.ContainerIDFile)
    | if .HostConfig.RestartPolicy.Name == "no" then del(.HostConfig.RestartPolicy) else . end
    | if .Env then .Env |= sort else . end
    | if .HostConfig.Binds then .HostConfig.Binds |= sort else . end
    | if .HostConfig.Ulimits then .HostConfig.Ulimits |= sort_by(.Name) else . end
    | prune'

# Both make the same of these flags: same FLAG… IMAGE …
same() {
    [ -n "${recorder:-}" ] || skip "no docker client (package docker-cli or docker.io)"
    : >"$recorded"
    "$settings" "$@" >ours || { echo "hull refuses: $*" >&2; return 1; }
    docker create "$@" >/dev/null 2>theirs-error || {
        printf 'docker refuses: %s: ' "$*" >&2
        cat theirs-error >&2
        return 1
    }
    jq -S "$normalise" "$recorded" >theirs.json
    jq -S "$normalise" ours >ours.json
    diff -u theirs.json ours.json >difference || {
        printf 'they differ for: %s\n' "$*" >&2
        cat difference >&2
        return 1
    }
}

# Both refuse these flags: both_refuse FLAG… IMAGE …
both_refuse() {
    [ -n "${recorder:-}" ] || skip "no docker client (package docker-cli or docker.io)"
    ! docker create "$@" >/dev/null 2>&1 || { echo "docker takes: $*" >&2; return 1; }
    refused "$@"
}

# hull refuses these flags, with one line that names the flag.
refused() {
    run -1 "$settings" "$@"
    [ "${#lines[@]}" -eq 1 ]
    [[ $output == --* || $output == "create: flag"* || $output == *contradict* ]] || {
        printf '%s: %s\n' "$*" "$output" >&2
        return 1
    }
}

@test "the program, its user, directory and names" {
    same busybox
    same busybox sh -c 'echo "$HOME"' -x
    same --entrypoint /bin/sh busybox -c true
    same --entrypoint '' busybox x
    same -h web --domainname example.org -u 1000:100 -w /srv busybox
    same --hostname web --user name:group --workdir=/srv --group-add 5 --group-add audio busybox
    same --stop-signal SIGINT --stop-timeout 3 busybox
    same --name web --platform linux/amd64 --pull never busybox
    same --init busybox
    same --rm --read-only --privileged busybox
}

@test "streams and terminals" {
    same -t busybox
    same -i busybox
    same -it busybox
    same -a stdout busybox
    same -a STDIN -a stderr -i busybox
    both_refuse -a elsewhere busybox
}

@test "variables and files of them" {
    export GIVEN=here
    printf '\xef\xbb\xbf# comment\n\n  A=1\nB=two words\nGIVEN\nUNKNOWN\nC=\r\n' >file
    same -e A -e B=1 -e GIVEN -e C= -e D=a=b busybox
    same --env-file file -e A=2 busybox
    both_refuse -e =x busybox
    both_refuse --env-file absent busybox
    echo 'A B=1' >bad
    both_refuse --env-file bad busybox
    echo '=1' >bad
    both_refuse --env-file bad busybox
}

@test "labels and files of them" {
    printf '# comment\na=1\nb\n' >file
    same -l a -l b=c -l b=d=e busybox
    same --label-file file --label a=2 busybox
    both_refuse --label-file absent busybox
    same --annotation a=b --annotation c=d=e busybox
}

@test "health checks" {
    same --health-cmd 'curl x' --health-interval 1m30s --health-timeout 100ms \
        --health-retries 3 --health-start-period 1h --health-start-interval 1.5s busybox
    same --health-interval 5s busybox
    same --no-healthcheck busybox
    both_refuse --no-healthcheck --health-cmd x busybox
    both_refuse --health-interval 5 busybox
    both_refuse --health-interval -5s busybox
    both_refuse --health-retries -1 busybox
}

@test "restarts" {
    same --restart always busybox
    same --restart unless-stopped busybox
    same --restart on-failure busybox
    same --restart on-failure:3 busybox
    same --restart no busybox
    both_refuse --restart on-failure:x busybox
}

@test "limits" {
    same -m 512m --memory-swap 1g --memory-reservation 100000k --memory-swappiness 60 busybox
    same -m 1.5gb --memory-swap -1 --shm-size 64MiB busybox
    same --cpus 1.5 busybox
    same --cpus .25 busybox
    same -c 512 --cpu-period 100000 --cpu-quota 50000 --cpuset-cpus 0-3,5 --cpuset-mems 0 busybox
    same --cpu-rt-period 1000 --cpu-rt-runtime 900 busybox
    same --pids-limit 100 --oom-kill-disable --oom-score-adj -500 busybox
    same --pids-limit -1 busybox
    same --blkio-weight 300 --blkio-weight-device /dev/sda:200 busybox
    same --device-read-bps /dev/sda:1mb --device-write-bps /dev/sda:2k --device-read-iops \
        /dev/sda:100 --device-write-iops /dev/sdb:7 busybox
    same --ulimit nofile=1024:2048 --ulimit core=0 --ulimit rss=-1 busybox
    both_refuse -m 4x busybox
    both_refuse -m -5 busybox
    both_refuse --cpus x busybox
    both_refuse --blkio-weight-device sda:200 busybox
    both_refuse --blkio-weight-device /dev/sda:5 busybox
    both_refuse --device-read-bps /dev/sda busybox
    both_refuse --ulimit nofile busybox
    both_refuse --ulimit nothing=3 busybox
    both_refuse --ulimit nofile=5:3 busybox
    both_refuse --pids-limit x busybox
}

@test "devices, rules for them and GPUs" {
    same --device /dev/fuse --device /dev/zero:/dev/nought --device /dev/a:/dev/b:r \
        --device /dev/kvm:rw busybox
    same --device vendor.com/class=name --device vendor.com/class=other busybox
    same --device-cgroup-rule 'c 10:* rwm' --device-cgroup-rule 'b 8:1 r' busybox
    same --gpus all busybox
    same --gpus 2 busybox
    same --gpus '"device=0,1",driver=nvidia' busybox
    same --gpus capabilities=compute busybox
    both_refuse --device-cgroup-rule 'x 10:* rwm' busybox
    both_refuse --device /dev/a:/dev/b:xyz busybox
    both_refuse --gpus x=y busybox
}

@test "volumes" {
    same -v data:/srv -v /a:/b:ro,z -v /c -v ./x:/y -v /a:/d:rshared,nocopy busybox
    same --tmpfs /x:size=1m,mode=700 --tmpfs /y busybox
    same --volumes-from other --volumes-from more:ro --volume-driver local busybox
    both_refuse -v '' busybox
    # The engine's checks of docker.
    refused -v relative busybox
    refused -v /a:b busybox
    refused -v /a:/b:xx busybox
    refused -v a:/b:c:d busybox
    refused -v 'no name:/b' busybox
    refused -v /a:/ busybox
    refused --tmpfs x busybox
}

@test "mounts" {
    same --mount type=bind,src=/a,dst=/b,ro,bind-propagation=rshared,bind-recursive=disabled busybox
    same --mount type=bind,source=./x,target=/b,consistency=cached busybox
    same --mount type=bind,src=/a,dst=/b,readonly=false,bind-nonrecursive=true busybox
    same --mount type=bind,src=/a,dst=/b,ro,bind-recursive=writable busybox
    same --mount type=bind,src=/a,dst=/b,ro,bind-recursive=readonly,bind-propagation=rprivate busybox
    same --mount dst=/b busybox
    same --mount src=vol,dst=/b,volume-nocopy,volume-label=a=b,volume-label=c,volume-driver=x \
        --mount src=vol,dst=/c,volume-opt=o=p,volume-opt=q=r=s,volume-subpath=s busybox
    same --mount type=tmpfs,dst=/b,tmpfs-size=10m,tmpfs-mode=1770 busybox
    same --mount '"type=bind","src=/a,b",dst=/c' busybox
    both_refuse --mount type=tmpfs,dst=/b,tmpfs-mode=0888 busybox
    both_refuse --mount type=bind,src=/a,dst=/b,volume-nocopy busybox
    both_refuse --mount type=volume,dst=/b,tmpfs-size=1m busybox
    both_refuse --mount type=bind,src=/a busybox
    both_refuse --mount type=bind,src=/a,dst=/b,unknown=1 busybox
    both_refuse --mount type=bind,src=/a,dst=/b,ro=maybe busybox
    refused --mount type=bind,dst=/b busybox
    refused --mount type=bind,src=/a,dst=b busybox
    refused --mount type=tmpfs,src=a,dst=/b busybox
    refused --mount type=volume,src=/a,dst=/b busybox
    refused --mount type=elsewhere,src=a,dst=/b busybox
}

@test "networks and addresses" {
    same --network host busybox
    same --network none busybox
    same --network container:web busybox
    same --net own --net-alias a busybox
    same --network own --network-alias a --network-alias b --ip 10.1.2.3 --ip6 fd00::2 busybox
    same --network name=own,alias=a,alias=b,ip=1.2.3.4,ip6=fd00::2,mac-address=92:d0:c6:0a:29:33 \
        busybox
    same --network name=own,driver-opt=a=b,link-local-ip=169.254.1.1,gw-priority=3 busybox
    same --network own --link x:y busybox
    same --link x busybox
    same --mac-address 92:d0:c6:0a:29:33 busybox
    same --network own --mac-address 92:d0:c6:0a:29:33 --link-local-ip 169.254.2.2 busybox
    same --add-host a:1.2.3.4 --add-host b=fd00::1 --add-host c:host-gateway \
        --add-host 'd:[fd00::2]' busybox
    same --dns 1.1.1.1 --dns fd00::53 --dns-search . --dns-search a.b --dns-option ndots:2 busybox
    both_refuse --network-alias x busybox
    both_refuse --network host --network-alias x busybox
    both_refuse --add-host a busybox
    both_refuse --add-host a:x busybox
    both_refuse --dns x busybox
    both_refuse --dns-search '' busybox
    both_refuse --mac-address x busybox
    refused --ip x busybox
    refused --ip6 1.2.3.4 busybox
}

@test "several networks have an endpoint each" {
    [ -n "${recorder:-}" ] || skip "no docker client (package docker-cli or docker.io)"
    "$settings" --network a --network b --network-alias x busybox |
        jq -c '[.HostConfig.NetworkMode, .NetworkingConfig.EndpointsConfig]' >found
    [ "$(cat found)" = '["a",{"a":{"Aliases":["x"]},"b":{}}]' ]
    refused --network a --network host busybox
}

@test "ports" {
    same -p 80 busybox
    same -p 8080:80 -p 127.0.0.1::81/udp -p 1.2.3.4:5:6/sctp busybox
    same -p 8000-8002:90-92 -p 80-82 busybox
    same -p 8000-8002:91 busybox
    same -p '[::1]:80:80' -p ::1:81:81 busybox
    same -p published=1,target=2,protocol=udp -p target=3,mode=host busybox
    same --expose 7000-7002/udp --expose 80 -P busybox
    both_refuse -p x busybox
    both_refuse -p 80/xcp busybox
    both_refuse -p 70000 busybox
    both_refuse -p 80-82:90-95 busybox
    both_refuse -p a:80:80 busybox
    both_refuse --expose 8:9 busybox
    both_refuse --expose x busybox
}

@test "namespaces and security" {
    same --pid host --userns host --uts host --ipc host --cgroupns host busybox
    same --pid container:x --ipc container:x --cgroupns private busybox
    same --cap-add NET_ADMIN --cap-add ALL --cap-drop MKNOD busybox
    same --cap-add cap_sys_time --cap-add sys_time --cap-drop sys_time busybox
    same --cap-add sys_time --cap-add ALL --cap-drop sys_time busybox
    same --cap-add sys_time --cap-drop all --cap-drop SYS_TIME busybox
    same --security-opt no-new-privileges --security-opt seccomp=unconfined \
        --security-opt apparmor=x --security-opt label=disable --security-opt label=type:x \
        --security-opt no-new-privileges=false busybox
    echo '{"defaultAction" : "SCMP_ACT_ALLOW"}' >profile
    same --security-opt seccomp=profile busybox
    same --sysctl net.ipv4.ip_forward=1 --sysctl kernel.msgmax=3 --storage-opt size=1G busybox
    same --cgroup-parent /a/b busybox
    same --log-driver json-file --log-opt max-size=1m --log-opt max-file=3 busybox
    same --log-driver none busybox
    both_refuse --security-opt xx busybox
    both_refuse --security-opt seccomp=absent busybox
    echo '{' >profile
    both_refuse --security-opt seccomp=profile busybox
    refused --isolation sandbox busybox
    run -1 "$settings" --isolation sandbox busybox
    [ "$output" = "--isolation 'sandbox': the levels are container and vm" ]
    run -1 "$settings" --kernel minimal busybox
    contains "only --isolation vm has one" "$output"
}

@test "an unknown flag suggests the nearest" {
    run -1 "$settings" --publsh 80 busybox
    [ "$output" = "create: unknown flag '--publsh' (did you mean '--publish'?)" ]
}
