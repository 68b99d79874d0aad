# Volumes and the containers that use them: what is in use stays; what a volume's options name is
# mounted, filled from the image, and unmounted.

load hull

not_mounted() { ! grep -qF "$root/volumes/" /proc/self/mountinfo; }

@test "a volume that a container uses isn't removed, though that has ended" {
    hull volume create data >/dev/null
    local id
    id=$(hull create --name user -v data:/srv -v /anonymous busybox true)
    run_hull volume rm -f data
    refused 1 "volume 'data' is used by container ${id:0:12} (remove that first)"
    equals "" "$(hull volume ls -q -f dangling=true)"
    contains "Total reclaimed space: 0B" "$(hull volume prune -af)"
    hull start user >/dev/null
    wait_until 10 is_state user exited
    run_hull volume rm data
    refused 1 "remove that first"
    hull rm -v user >/dev/null
    equals data "$(hull volume ls -q)"
    equals data "$(hull volume rm data)"
}

@test "what the options name is mounted while a container runs, and filled from the image" {
    hull volume create -o type=tmpfs -o device=tmpfs -o o=size=2m scratch >/dev/null
    run_hull run --rm -v scratch:/etc busybox sh -c 'grep " /etc tmpfs " /proc/mounts; cat /etc/passwd'
    equals 0 "$status"
    contains " /etc tmpfs " "$output"
    contains "size=2048k" "$output"
    contains "root:x:0:0:" "$output"
    wait_until 10 not_mounted
    mkdir device
    hull volume create -o type=none -o o=bind -o device="$PWD/device" bound >/dev/null
    hull run --rm -v bound:/etc busybox sh -c 'echo here >/etc/file'
    equals here "$(cat device/file)"
    [ -s device/passwd ]
    wait_until 10 not_mounted
    equals bound "$(hull volume rm bound)"
    [ -s device/passwd ]
}

@test "a volume that can't be mounted is said so, and the container doesn't run" {
    [ ! -e /sbin/mount.nfs ] || skip "there is mount.nfs"
    hull volume create -o type=nfs -o device=:/srv -o o=addr=192.0.2.1 remote >/dev/null
    run_hull run --rm -v remote:/srv busybox echo ran
    [ "$status" != 0 ]
    equals "" "$output"
    contains "volume 'remote': mounting the type nfs needs /sbin/mount.nfs (install nfs-common)" "$stderr"
    wait_until 10 eval '[ "$(hull volume rm remote)" = remote ]'
    not_mounted
}
