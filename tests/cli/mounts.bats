# Mounts, devices, the root file system, paths that are protected, kernel parameters.

load container

# Adds a mount: add_mount DESTINATION TYPE SOURCE OPTION...
add_mount() {
    local destination=$1 type=$2 source=$3
    shift 3
    configure '.mounts += [{destination: $destination, type: $type, source: $source, options: $options}]' \
        --arg destination "$destination" --arg type "$type" --arg source "$source" \
        --argjson options "$(jq -cn '$ARGS.positional' --args "$@")"
}

# What findmnt would say of a mount in the container: "options" of mountinfo's field 6.
show_options() { echo "awk '\$5 == \"$1\" { print \$6 }' /proc/self/mountinfo"; }

@test "bind: a directory, a file, with a source relative to the bundle" {
    mkdir "$bundle/data"
    echo content >"$bundle/data/file"
    add_mount /mnt bind data bind
    add_mount /etc/one.conf none "$bundle/data/file" bind ro
    run_script 'cat /mnt/file /etc/one.conf; echo new >/mnt/new; echo x >/etc/one.conf'
    equals 1 "$status"
    contains 'content content' "${lines[*]}"
    contains 'Read-only file system' "$output"
    equals new "$(cat "$bundle/data/new")"
    equals content "$(cat "$bundle/data/file")"
}

@test "bind: each option that is an attribute of the mount" {
    local option
    mkdir "$bundle/data"
    for option in ro nosuid nodev noexec noatime nodiratime nosymfollow; do
        add_mount "/mnt/$option" bind data bind "$option"
    done
    add_mount /mnt/many bind data bind nosuid nodev noexec ro rw exec
    run_script "awk '\$5 ~ \"^/mnt/\" { print \$5, \$6 }' /proc/self/mountinfo"
    succeeded
    for option in ro nosuid nodev noexec noatime nodiratime nosymfollow; do
        grep -E "^/mnt/$option (.*,)?$option(,|\$)" <<<"$output"
    done
    grep -E '^/mnt/many rw,nosuid,nodev,' <<<"$output"
    [[ "$(grep /mnt/many <<<"$output")" != *noexec* ]]
}

@test "bind: recursive attributes reach mounts below, plain ones don't" {
    mkdir -p "$bundle/data/below"
    add_mount /tree tmpfs tmpfs mode=755
    add_mount /tree/below tmpfs tmpfs mode=755
    # The source is a tree of the bundle's own mount namespace.
    cat >tree <<'END'
mount -t tmpfs tmpfs data && mkdir data/below && mount -t tmpfs tmpfs data/below && exec "$@"
END
    add_mount /plain bind data rbind ro nosuid
    add_mount /recursive bind data rbind rro rnosuid rnoexec
    use_script "awk '\$5 ~ \"^/(plain|recursive)\" { print \$5, \$6 }' /proc/self/mountinfo"
    cd "$bundle"
    run unshare --mount bash "$BATS_TEST_TMPDIR/tree" "$HULL_OCI" --root "$state" run "$id" </dev/null
    succeeded
    grep -E '^/plain ro,nosuid' <<<"$output"
    grep -E '^/plain/below rw,rel' <<<"$output"
    grep -E '^/recursive ro,nosuid,noexec' <<<"$output"
    grep -E '^/recursive/below ro,nosuid,noexec' <<<"$output"
}

@test "bind: a later remount changes it" {
    mkdir "$bundle/data"
    add_mount /mnt bind data bind
    add_mount /mnt none none remount bind ro
    run_script "$(show_options /mnt)"
    [[ "$output" == ro,* ]]
}

@test "bind: an id-mapped mount by its own mappings" {
    mkdir "$bundle/data"
    touch "$bundle/data/file"
    chown 3000:3001 "$bundle/data/file"
    chown 3000:3000 "$bundle/data"
    configure '.mounts += [{destination: "/mnt", type: "bind", source: "data", options: ["bind"],
        uidMappings: [{containerID: 3000, hostID: 0, size: 10}],
        gidMappings: [{containerID: 3000, hostID: 0, size: 10}]}]'
    run_script 'stat -c %u:%g /mnt/file; touch /mnt/made'
    succeeded
    equals 0:1 "$output"
    equals 3000:3000 "$(stat -c %u:%g "$bundle/data/made")"
}

@test "bind: idmap takes the container's mappings, ridmap is recursive" {
    mkdir "$bundle/data"
    touch "$bundle/data/file"
    chown 5:6 "$bundle/data/file"
    chmod 755 "$bundle" "$BATS_TEST_TMPDIR"
    configure '.linux.namespaces += [{type: "user"}]
        | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}]
        | .linux.gidMappings = [{containerID: 0, hostID: 100000, size: 65536}]'
    chown -R 100000:100000 "$bundle/rootfs"
    add_mount /plain bind data bind
    add_mount /mapped bind data bind idmap
    add_mount /recursive bind data rbind ridmap
    run_script 'stat -c %u:%g /plain/file /mapped/file /recursive/file; touch /mapped/made'
    equals '65534:65534 5:6 5:6' "${lines[*]}"
    equals 0:0 "$(stat -c %u:%g "$bundle/data/made")"
}

@test "bind: idmap takes the mappings of a user namespace that another container made" {
    local first
    mkdir "$bundle/data"
    touch "$bundle/data/file"
    chown 5:6 "$bundle/data/file"
    configure '.linux.namespaces += [{type: "user"}]
        | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}]
        | .linux.gidMappings = [{containerID: 0, hostID: 100000, size: 65536}]'
    chown -R 100000:100000 "$bundle/rootfs"
    start_container
    first=$(container_pid)
    id=$id-second
    add_mount /mapped bind data bind idmap
    configure 'del(.linux.uidMappings, .linux.gidMappings)
        | (.linux.namespaces[] | select(.type == "user")).path = "/proc/\($pid)/ns/user"' --arg pid "$first"
    run_script 'stat -c %u:%g /mapped/file'
    succeeded
    equals 5:6 "$output"
}

@test "contradictions and unknown sources are refused, with the mount's name" {
    add_mount /mnt bind missing bind
    run_script true
    failed_with 1 missing
    configure '.mounts[-1] = {destination: "/mnt", type: "tmpfs", source: "tmpfs", options: ["idmap"]}'
    run_script true
    failed_with 1 "map ids"
    configure '.mounts[-1] = {destination: "/mnt", type: "bind", source: "/", options: ["rbind", "tmpcopyup"]}'
    run_script true
    failed_with 1 tmpcopyup
    configure '.mounts[-1] = {destination: "/mnt", type: "nonsensefs", source: "x"}'
    run_script true
    failed_with 1 nonsensefs
    equals '' "$(oci list -q)"
}

@test "propagation: what is mounted later arrives or doesn't" {
    local kind
    mkdir -p "$bundle/data"
    cat >propagate <<'END'
set -e
mount -t tmpfs tmpfs data
mount --make-shared data
"$@"
mkdir -p data/later
mount -t tmpfs tmpfs data/later
touch data/later/seen
END
    for kind in private slave shared unbindable; do
        add_mount "/mnt/$kind" bind data bind "$kind"
    done
    use_script 'touch /ready; while [ ! -e /data-mounted ]; do sleep 0.01; done
                ls -d /mnt/*/later/seen; awk "\$5 ~ \"^/mnt/\" { print \$5, \$7 }" /proc/self/mountinfo'
    echo 'touch rootfs/data-mounted; for i in $(seq 500); do [ -s out.done ] && break; sleep 0.01; done' >>propagate
    cd "$bundle"
    unshare --mount --propagation private bash "$BATS_TEST_TMPDIR/propagate" \
        bash -c "{ '$HULL_OCI' --root '$state' run '$id' >out 2>&1 </dev/null 3>&-; echo ended >out.done; } &
                 until [ -e rootfs/ready ]; do sleep 0.01; done" 3>&-
    contains '/mnt/shared/later/seen' "$(cat out)"
    contains '/mnt/slave/later/seen' "$(cat out)"
    [[ "$(cat out)" != */mnt/private/later/seen* ]]
    [[ "$(cat out)" != */mnt/unbindable/later/seen* ]]
    grep -E '^/mnt/shared shared:' out
    grep -E '^/mnt/slave master:' out
}

@test "rootfsPropagation" {
    local kind
    for kind in private slave shared unbindable; do
        configure '.linux.rootfsPropagation = $kind' --arg kind "$kind"
        run_script "awk '\$5 == \"/\" { print \$7 }' /proc/self/mountinfo"
        succeeded
        case $kind in
        shared) contains shared: "$output" ;;
        unbindable) equals unbindable "$output" ;;
        private) equals - "$output" ;;
        slave) [[ "$output" != shared* ]] ;;
        esac
    done
}

@test "tmpfs: size, mode, and the mode of what it covers" {
    mkdir -m 1751 "$bundle/rootfs/covered"
    add_mount /sized tmpfs tmpfs size=64k mode=0700 uid=5 gid=6
    add_mount /covered tmpfs tmpfs
    add_mount /made/here tmpfs tmpfs
    run_script 'stat -c %a:%u:%g /sized; stat -c %a /covered /made/here; df -k /sized | tail -n 1 | awk "{ print \$2 }"
                head -c 100000 /dev/zero >/sized/file && echo too much'
    equals '700:5:6 1751 1777 64' "${lines[*]:0:4}"
    [[ "$output" != *"too much"* ]]
}

@test "tmpfs: tmpcopyup brings the files along" {
    mkdir -p "$bundle/rootfs/covered/deep"
    echo content >"$bundle/rootfs/covered/deep/file"
    ln -s deep/file "$bundle/rootfs/covered/link"
    chmod 640 "$bundle/rootfs/covered/deep/file"
    chown 0:8 "$bundle/rootfs/covered/deep/file"
    add_mount /covered tmpfs tmpfs tmpcopyup ro
    run_script "cat /covered/link; stat -c %a:%u:%g /covered/deep/file; $(show_options /covered)"
    equals 'content 640:0:8' "${lines[0]} ${lines[1]}"
    [[ "${lines[2]}" == ro* ]]
    run_script 'echo other >/covered/deep/file'
    [ "$status" != 0 ]
    equals content "$(cat "$bundle/rootfs/covered/deep/file")"
}

@test "overlay, also with more layers than fsconfig takes in a string" {
    local i lower=
    mkdir -p "$bundle/upper" "$bundle/work"
    for i in $(seq 12); do
        mkdir -p "$bundle/layers-with-a-long-name/$i"
        echo "$i" >"$bundle/layers-with-a-long-name/$i/file-$i"
        lower=$bundle/layers-with-a-long-name/$i${lower:+:$lower}
    done
    [ "${#lower}" -gt 256 ]
    add_mount /mnt overlay overlay "lowerdir=$lower" "upperdir=$bundle/upper" "workdir=$bundle/work" nosuid
    run_script "ls /mnt | wc -l; echo new >/mnt/file-1; $(show_options /mnt)"
    succeeded
    equals 12 "${lines[0]}"
    contains nosuid "${lines[1]}"
    equals new "$(cat "$bundle/upper/file-1")"
}

@test "cgroup: the container sees its own, with and without a cgroup namespace" {
    add_mount /sys/fs/cgroup cgroup cgroup nosuid noexec nodev relatime ro
    configure '.linux.namespaces |= (map(select(.type != "cgroup")) + [{type: "cgroup"}])'
    run_script 'cat /proc/self/cgroup; find /sys/fs/cgroup -name cgroup.procs -exec grep -lx 1 {} + | head -n 1
                touch /sys/fs/cgroup/x 2>&1; mkdir /sys/fs/cgroup/*/y 2>/dev/null && echo made'
    contains 0::/ "$output"
    contains cgroup.procs "$output"
    [[ "$output" != *made* && "$output" == *"Read-only"* ]]
    configure '.linux.namespaces |= map(select(.type != "cgroup"))'
    run_script 'cat /proc/self/cgroup; find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs -exec grep -lx 1 {} + | head -n 1
                mkdir /sys/fs/cgroup/*/y 2>/dev/null && echo made'
    contains "$id" "$output"
    contains cgroup.procs "$output"
    [[ "$output" != *made* ]]
}

@test "masked and read-only paths" {
    echo secret >"$bundle/rootfs/secret"
    mkdir "$bundle/rootfs/hidden" "$bundle/rootfs/fixed"
    touch "$bundle/rootfs/hidden/file"
    configure '.linux.maskedPaths += ["/secret", "/hidden", "/not/there"]
        | .linux.readonlyPaths += ["/fixed", "/not/there"]'
    run_script 'cat /secret; ls /hidden; touch /hidden/x; touch /fixed/x; cat /proc/kcore; echo 1 >/proc/sys/kernel/panic'
    [[ "$output" != *secret$'\n'* ]]
    equals 3 "$(grep -c 'Read-only\|nonexistent' <<<"$output")"
    equals secret "$(cat "$bundle/rootfs/secret")"
}

@test "a read-only root, with mounts that aren't" {
    configure '.root.readonly = true'
    add_mount /tmp tmpfs tmpfs mode=1777
    run_script 'touch /tmp/x && echo fine; touch /x'
    equals 1 "$status"
    contains fine "$output"
    contains 'Read-only' "$output"
    [ ! -e "$bundle/rootfs/x" ]
}

@test "a read-only /dev has its devices all the same" {
    configure '(.mounts[] | select(.destination == "/dev")).options += ["ro"] | .process.terminal = true'
    run_script 'echo x >/dev/null; [ -c /dev/console ] && tty; touch /dev/x'
    equals 1 "$status"
    contains /dev/pts/0 "$output"
    contains 'Read-only' "$output"
}

@test "default devices and links" {
    run_script 'cd /dev; for d in null zero full random urandom tty; do [ -c $d ] || echo no $d; done
                stat -c "%a %t:%T" null tty; for l in fd stdin stdout stderr ptmx; do readlink $l; done; head -c 4 zero | wc -c
                echo x >full'
    equals '666 1:3 666 5:0 /proc/self/fd /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 pts/ptmx 4' "${lines[*]:0:8}"
    contains 'No space left' "$output"
}

@test "devices of the configuration: character, block, fifo" {
    configure '.linux.devices = [{path: "/dev/made/char", type: "c", major: 1, minor: 5, fileMode: 420, uid: 3, gid: 4},
        {path: "/dev/block", type: "b", major: 7, minor: 99}, {path: "/dev/pipe", type: "p"}]
        | .linux.resources.devices += [{allow: true, type: "c", major: 1, minor: 5, access: "rwm"}]'
    run_script 'stat -c "%A %u:%g %t:%T" /dev/made/char /dev/block /dev/pipe; head -c 3 /dev/made/char | wc -c'
    succeeded
    equals 'crw-r--r-- 3:4 1:5' "${lines[0]}"
    contains 'brw-rw-rw- 0:0 7:63' "${lines[1]}"
    contains 'prw-rw-rw-' "${lines[2]}"
    equals 3 "${lines[3]}"
}

@test "sysctl, by dots and by slashes" {
    configure '.linux.sysctl = {"net.ipv4.ip_forward": "1", "net/ipv4/ip_default_ttl": "77", "kernel.msgmax": "9999"}'
    run_script 'cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/msgmax'
    equals '1 77 9999' "${lines[*]}"
    configure '.linux.sysctl = {"kernel.nonsense": "1"}'
    run_script true
    failed_with 1 kernel.nonsense
    configure '.linux.sysctl = {"vm.swappiness": "1"}'
    run_script true
    equals 1 "$status"
}

@test "targets: made where missing, links followed inside the root only" {
    mkdir "$bundle/data"
    touch "$bundle/data/file"
    ln -s /inside "$bundle/rootfs/link"
    add_mount /link/deep/target bind data bind
    run_script 'ls /inside/deep/target'
    equals file "$output"
    [ ! -e /inside ]
    rmdir "$bundle/rootfs/proc"
    ln -s /tmp "$bundle/rootfs/proc"
    run_script true
    failed_with 1 "ordinary directory"
}

@test "remount changes the file system's own options, too" {
    add_mount /data tmpfs tmpfs size=1m
    add_mount /data tmpfs tmpfs remount size=2m noexec
    run_script 'grep " /data " /proc/mounts'
    contains size=2048k "$output"
    contains noexec "$output"
}
