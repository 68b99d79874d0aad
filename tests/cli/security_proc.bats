# What is mounted, masked or written below /proc and /sys is what it claims to be, not a decoy of
# the image's or of somebody's who can write to the root file system: the runc advisories of 2025
# (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881), and CVE-2019-19921 before them.

load attack

setup_file() {
    make_image
}

setup() {
    begin_attack
    racer=
}

teardown() {
    [ -z "$racer" ] || kill "$racer" || true
    end_attack
}

refuse() { # FILTER TEXT
    configure "$(script 'echo ran') | $1"
    run hull run --bundle "$bundle" "$id" </dev/null
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"$2"* ]]
    [[ "$output" != *ran* ]]
}

# A filter that leaves one defence only.
unprotected='.linux.maskedPaths = [] | .linux.readonlyPaths = []'

@test "nothing but a few information files may be covered inside /proc" {
    mkdir "$image/data"
    local at
    for at in /proc/sys /proc/1 /proc/self/attr /proc/sys/../sys/kernel /proc/acpi; do
        refuse ".mounts += [{destination: \"$at\", type: \"tmpfs\", source: \"tmpfs\"}]" 'inside /proc'
    done
    for at in /proc/sysrq-trigger /proc/cpuinfo/../version /proc/self/status; do
        refuse ".mounts += [{destination: \"$at\", type: \"bind\", source: \"/etc/hostname\",
            options: [\"bind\"]}]" "$at"
    done
    configure "$(script 'cat /proc/uptime') | .mounts += [{destination: \"/proc/uptime\",
        type: \"bind\", source: \"/etc/hostname\", options: [\"bind\"]}]"
    run hull run --bundle "$bundle" "$id" </dev/null
    [ "$output" = "$(cat /etc/hostname)" ]
}

@test "nor by way of the image's links, with or without a type" {
    local link mount
    for link in /proc/sys /proc /sys/../proc/1/../sys/kernel; do
        ln -sfn "$link" "$image/data"
        for mount in 'type: "bind", source: "/var", options: ["rbind"]' \
            'source: "/var", options: ["rbind"]' 'type: "tmpfs", source: "tmpfs"'; do
            refuse ".mounts += [{destination: \"/data\", $mount}] | $unprotected" /proc
        done
    done
}

@test "procfs and sysfs are mounted on directories only, not where links lead" {
    mkdir -p "$image/decoy"
    local name
    for name in proc sys; do
        rmdir "$image/$name"
        ln -s /decoy "$image/$name"
        refuse "$unprotected" "$name"
        rm "$image/$name"
        mkdir "$image/$name"
    done
}

@test "masked paths are masked by the host's /dev/null, whatever the image's is" {
    rm -rf "$image/dev"
    mkdir "$image/dev"
    echo decoy >"$image/secret"
    run run_container 'for path in /proc/keys /secret; do
            stat -c "%F %t:%T" $path; wc -c <$path; done' '.linux.maskedPaths += ["/secret"] |
        .mounts |= map(select(.destination != "/dev")) |
        '"$(with_hook 'mv dev/null dev/away && ln -s /proc/version dev/null')"
    echo "$output"
    [ "$(sort -u <<<"$output")" = "$(printf '0\ncharacter special file 1:3')" ]
}

@test "a path below /proc to protect is not looked for anywhere else" {
    # Without a procfs the image's own /proc is all there is: its links are not followed.
    mkdir -p "$image/decoy"
    echo decoy >"$image/decoy/kcore"
    ln -s /decoy/kcore "$image/proc/kcore"
    refuse 'del(.mounts[] | select(.destination == "/proc")) | .linux.maskedPaths = ["/proc/kcore"] |
        .linux.readonlyPaths = []' /proc/kcore
    # A link of the kernel's that leads out.
    refuse '.linux.maskedPaths = ["/proc/self/root/etc/passwd"]' /proc/self/root
    refuse '.linux.readonlyPaths = ["/proc/../etc"]' '/proc/../etc'
}

# A hook runs when everything is mounted and nothing is protected yet, on the host: who shares the
# root file system with the container may be as quick. HOOK is a shell script in $image.
with_hook() { # SCRIPT
    jq -n -r --arg hook "cd $image && $1" '".hooks.createRuntime = \([
        {path: "/bin/sh", args: ["sh", "-c", $hook]}])"'
}

@test "/proc renamed away, with or without a decoy in its place, is noticed" {
    local decoy
    for decoy in 'true' 'mkdir -p proc/sys && touch proc/kcore' 'ln -s decoy proc' \
        'cp -r etc proc' 'ln -s proc.away proc'; do
        refuse "$(with_hook "mv proc proc.away && $decoy")" 'in the place of /proc'
        rm -rf "$image/proc"
        mv "$image/proc.away" "$image/proc"
    done
    refuse "$(with_hook 'mv sys sys.away && mkdir sys') | .linux.maskedPaths = [\"/sys/firmware\"] |
        .linux.readonlyPaths = []" 'in the place of /sys'
}

@test "somebody who exchanges /proc and a decoy all the time gets nothing unmasked" {
    mkdir -p "$image/proc.other/sys"
    touch "$image/proc.other/kcore" "$image/proc.other/sysrq-trigger"
    configure "$(script 'for proc in /proc /proc.other; do
        test -z "$(cat $proc/keys 2>/dev/null)" || echo unmasked
        touch $proc/sys/kernel/hostname 2>/dev/null && echo writable; done; echo ran')"
    "$attack/swap" "$image" proc proc.other >racer 3>&- &
    racer=$!
    wait_until 5 grep -q ready racer
    local deadline=$((SECONDS + ${HULL_LONG:+10}${HULL_LONG:-3})) ran=0
    until [ "$SECONDS" -ge "$deadline" ]; do
        run hull run --bundle "$bundle" "$id" </dev/null
        echo "$output"
        [[ "$output" != *unmasked* && "$output" != *writable* ]]
        [[ "$output" != *ran* ]] || ran=$((ran + 1))
    done
    echo "ran $ran times"
}

@test "sysctls are written to the container's own procfs, decoy or not" {
    # A decoy of the whole procfs, which a write by path would hit.
    mkdir -p "$image/decoy/sys/net/ipv4"
    echo decoy >"$image/decoy/sys/net/ipv4/ip_default_ttl"
    local before
    before=$(cat /proc/sys/net/ipv4/ip_default_ttl)
    configure "$(script 'cat /proc.away/sys/net/ipv4/ip_default_ttl') |
        .linux.sysctl = {\"net.ipv4.ip_default_ttl\": \"77\"} | .linux.maskedPaths = [] |
        .linux.readonlyPaths = [] | $(with_hook 'mv proc proc.away && cp -r decoy proc')"
    run hull run --bundle "$bundle" "$id" </dev/null
    echo "$output"
    [ "$output" = 77 ]
    [ "$(cat "$image/proc/sys/net/ipv4/ip_default_ttl")" = decoy ]
    [ "$(cat /proc/sys/net/ipv4/ip_default_ttl)" = "$before" ]
}

@test "sysctls don't follow links and names out of /proc/sys" {
    local key
    for key in net/../../self/comm net/../../1/comm net/../../thread-self/comm net//../../1/comm; do
        refuse ".linux.sysctl = {\"$key\": \"x\"}" sysctl
    done
    # A tmpfs for a procfs: what is written must be a procfs all the same.
    rmdir "$image/proc"
    mkdir -p "$image/proc/sys/net/ipv4"
    echo decoy >"$image/proc/sys/net/ipv4/ip_default_ttl"
    run run_container true 'del(.mounts[] | select(.destination == "/proc")) |
        .linux.sysctl = {"net.ipv4.ip_default_ttl": "77"} | .linux.maskedPaths = [] |
        .linux.readonlyPaths = []'
    [ "$(cat "$image/proc/sys/net/ipv4/ip_default_ttl")" = decoy ]
}
