# Nothing is mounted or made outside a container's root, whatever links its image and its volumes
# have, and however they change meanwhile.

load attack

setup_file() {
    make_image
}

setup() {
    begin_attack
    # What the links point to. It is on the host only; nothing may appear in it, or be mounted on
    # what is there already.
    canary=$BATS_TEST_TMPDIR/canary
    volume=$BATS_TEST_TMPDIR/volume
    mkdir -p "$canary"/{,directory/,deeper/}{tmpfs,bound,deep} "$volume"
    touch "$canary"/{,directory/,deeper/}deep/file
    echo canary >"$canary/file"
    before=$(list_canary)
    racer=
}

teardown() {
    [ -z "$racer" ] || kill "$racer" || true
    end_attack
    check_canary
}

list_canary() {
    find "$canary" -printf '%p %y %s %m\n' | sort
    grep -F "$canary" /proc/self/mountinfo || true
}

check_canary() {
    list_canary | diff - <(printf '%s\n' "$before")
}

# A jq filter that adds mounts below DESTINATION: a tmpfs, a directory, a file and a device.
mounts_at() { # DESTINATION
    jq -n -r --arg at "$1" --arg volume "$volume" '".mounts += \([
        {destination: "\($at)/tmpfs", type: "tmpfs", source: "tmpfs"},
        {destination: "\($at)/bound", type: "bind", source: $volume, options: ["rbind", "rw"]},
        {destination: "\($at)/deep/file", type: "bind", source: "/etc/hostname", options: ["bind"]}])
        | .linux.devices = \([{path: "\($at)/device", type: "c", major: 1, minor: 3}])"'
}

# Starts the racer: exchanges NAME and NAME.other in DIRECTORY.
start_racer() { # DIRECTORY NAME
    "$attack/swap" "$1" "$2" "$2.other" >racer 3>&- &
    racer=$!
    wait_until 5 grep -q ready racer
}

# Makes containers for a while; being refused is no crime.
make_containers() { # SECONDS
    local deadline=$((SECONDS + $1)) made=0
    until [ "$SECONDS" -ge "$deadline" ]; do
        if hull run --bundle "$bundle" "$id" </dev/null >output 2>&1; then
            made=$((made + 1))
        fi
        check_canary
    done
    echo "made $made"
    [ "$made" -gt 0 ]
}

seconds=${HULL_LONG:+30}
seconds=${seconds:-2}

@test "destinations below the image's links stay in the root" {
    local up=../../../../../../../../../.. link
    for link in "$canary" "$up$canary" "/$up$canary/directory" "$canary/directory/.." \
        "$canary/missing" "./../x/../$up$canary" /second; do
        ln -sfn "$link" "$image/target"
        ln -sfn "$up$canary" "$image/second"
        run run_container 'grep -c " /.*/\(tmpfs\|bound\|file\) " /proc/self/mountinfo' \
            "$(mounts_at /target)"
        echo "$link: $output"
        [ "$status" -eq 0 ]
        [ "$output" = 3 ]
        check_canary
    done
}

@test "destinations that are links themselves stay in the root" {
    local link
    for link in "$canary/directory" "../../../../../../../..$canary/directory" "$canary/missing"; do
        ln -sfn "$link" "$image/target"
        run run_container 'grep -c " - tmpfs canary " /proc/self/mountinfo' '.mounts +=
            [{destination: "/target", type: "tmpfs", source: "canary"}]'
        echo "$link: $output"
        [ "$output" = 1 ]
        check_canary
    done
    ln -sfn "$canary/file" "$image/target"
    run run_container 'cat /target' '.mounts +=
        [{destination: "/target", type: "bind", source: "/etc/hostname", options: ["bind"]}]'
    echo "$output"
    [ "$output" = "$(cat /etc/hostname)" ]
}

@test "links that go round in circles are an error, and leave nothing" {
    ln -s second "$image/first"
    ln -s first "$image/second"
    local at
    for at in /first /first/below /proc/self/root/first; do
        configure --arg at "$at" '.mounts += [{destination: $at, type: "tmpfs", source: "tmpfs"}]'
        run hull run --bundle "$bundle" "$id" </dev/null
        echo "$output"
        [ "$status" -eq 1 ]
        [[ "$output" == *"$at"* ]]
        [ "$(hull list -q)" = "" ]
    done
}

@test "a directory doesn't cover a file, nor a file a directory" {
    configure --arg volume "$volume" '.mounts += [{destination: "/etc/passwd", type: "bind",
        source: $volume, options: ["bind"]}]'
    run hull run --bundle "$bundle" "$id" </dev/null
    [ "$status" -eq 1 ]
    configure '.mounts += [{destination: "/etc", type: "bind", source: "/etc/hostname",
        options: ["bind"]}]'
    run hull run --bundle "$bundle" "$id" </dev/null
    [ "$status" -eq 1 ]
}

@test "a racer in the image doesn't get a mount out of the root" {
    local link
    for link in "../../../../../../../../../..$canary" "$canary" /; do
        mkdir -p "$image/race/target"
        ln -sfn "$link" "$image/race/target.other"
        configure "$(script true) | $(mounts_at /race/target)"
        start_racer "$image/race" target
        make_containers "$seconds"
        kill "$racer"
        wait "$racer"
        racer=
    done
}

@test "a racer in a shared volume doesn't get a mount out of it" {
    mkdir "$volume/target"
    ln -s "../../../../../../../../../..$canary" "$volume/target.other"
    configure --arg volume "$volume" "$(script true) | .mounts += [{destination: \"/shared\",
        type: \"bind\", source: \$volume, options: [\"rbind\", \"rw\"]}] |
        $(mounts_at /shared/target/deeper)"
    start_racer "$volume" target
    make_containers "$seconds"
}

@test "device paths through links stay in the root, and links don't pass for devices" {
    rm -rf "$image/dev"
    ln -s "../../../../../../../../..$canary" "$image/dev"
    run run_container 'ls -l /dev/null' 'del(.mounts[] | select(.destination | startswith("/dev")))'
    echo "$output"
    [ "$status" -eq 0 ]
    check_canary
    rm "$image/dev"
    mkdir "$image/dev"
    ln -s "$canary/file" "$image/dev/null"
    ln -s "$canary/missing" "$image/dev/zero"
    echo decoy >"$image/dev/random"
    # What the program opens is the device all the same.
    run run_container 'echo x >/dev/null && head -c 4 /dev/zero | wc -c &&
        stat -L -c %t:%T /dev/null /dev/zero /dev/random | tr "\n" " "' \
        'del(.mounts[] | select(.destination | startswith("/dev")))'
    echo "$output"
    [ "${lines[0]}" = 4 ]
    [ "${lines[1]}" = "1:3 1:5 1:8 " ]
}

@test "/dev/ptmx is the container's own, whatever the image has there" {
    rm -rf "$image/dev"
    mkdir "$image/dev"
    ln -s "$canary/file" "$image/dev/ptmx"
    run run_container 'readlink /dev/ptmx' 'del(.mounts[] | select(.destination == "/dev"))'
    echo "$output"
    [ "$output" = pts/ptmx ]
}
