# What the benchmarks of `hull` against podman share; sourced after lib.sh. Both work in a network
# namespace of their own, on the same image, with directories of their own.
need podman
need ip
if [ -z "${HULL_BENCH_NAMESPACE:-}" ]; then
    rm -rf "$work"
    HULL_BENCH_NAMESPACE=1 exec unshare --net "$0" "$@"
fi
ip link set lo up

run=$(mktemp -d /run/hull-bench-XXXXXX) # on a tmpfs, as both have it by default
hull_program=$(scripts/program build/release hull)
hull=("$hull_program" --root "$work/hull/root" --run-root "$run")
podman=(podman --root "$work/podman/root" --runroot "$run/podman" --cgroup-manager cgroupfs
    --runtime "${HULL_BENCH_PODMAN_RUNTIME:-$(command -v runc)}"
    --tmpdir "$run/tmp" --network-config-dir "$work/podman/networks")

# Not more than this host's hard limit, which root may not be allowed to raise.
mkdir -p "$work/podman"
printf '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n' \
    >"$work/podman/containers.conf"
export CONTAINERS_CONF=$work/podman/containers.conf

# The image of both, made of the same tree: bench_image DIRECTORY
import_image() {
    tar -C "$1" -cf "$work/image.tar" .
    "${hull[@]}" import "$work/image.tar" localhost/bench >/dev/null
    "${podman[@]}" import --quiet "$work/image.tar" localhost/bench >/dev/null
}

make_busybox_image() {
    local tree=$work/tree
    mkdir -p "$tree"/{bin,dev,etc,proc,sys,tmp}
    cp /bin/busybox "$tree/bin/"
    chroot "$tree" /bin/busybox --install -s /bin
    import_image "$tree"
}

finish_hull() {
    "${podman[@]}" rm --all --force --time 0 >/dev/null 2>&1 || true
    "$hull_program" --root "$work/hull/root" --run-root "$run" ps --all --quiet 2>/dev/null |
        xargs -r "${hull[@]}" rm --force >/dev/null 2>&1 || true
    awk -v one="$work/" -v two="$run/" 'index($2, one) == 1 || index($2, two) == 1 {print $2}' /proc/self/mounts | sort -r |
        while read -r mounted; do umount --lazy "$mounted"; done
    rm -rf --one-file-system "$run"
    finish
}
trap finish_hull EXIT
