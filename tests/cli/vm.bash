# What the tests of hull-vmm share: load vm
#
# They run in a virtual host of the testbed: its kernel is the guest's too, with an initial RAM disk of
# busybox and modules, whose init executes the shell commands that a test gives it and powers off.
bats_require_minimum_version 1.5.0
load "$(dirname "${BASH_SOURCE[0]}")/helpers"

: "${VMM:=/usr/local/bin/hull-vmm}"
modules='virtio_mmio virtio_pci virtio_blk virtio_net virtio_rng virtio_balloon virtio_console
vmw_vsock_virtio_transport ext4 pvpanic-mmio virtio_pmem nd_pmem virtio_mem virtiofs'

setup_file() {
    modprobe kvm_amd
    mkdir -p "$BATS_FILE_TMPDIR/guest/bin" "$BATS_FILE_TMPDIR/guest/modules"
    cd "$BATS_FILE_TMPDIR/guest" || return
    cp "$(command -v busybox)" bin/busybox
    cat >init <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /mnt
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done </modules/order
dd if=/dev/vda of=/commands 2>/dev/null
sh /commands 2>&1
sync
poweroff -f
END
    chmod +x init
    local module
    for module in $modules; do
        modprobe --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >../modules
    while read -r module; do
        cp "$module" modules/
        echo "${module##*/}" >>modules/order
    done <../modules
    find . | busybox cpio -o -H newc >../initrd 2>/dev/null
}

setup() { cd "$BATS_TEST_TMPDIR" || return; }

# A disk with shell commands for the guest, which are standard input.
commands() {
    cat >commands
    printf '\n' >>commands
    truncate -s '%512' commands
}

# configuration [FILTER]: a --config-file with the kernel, the commands' disk, and what the filter of jq adds
configuration() {
    jq -n --arg initrd "$BATS_FILE_TMPDIR/initrd" '{
        "boot-source": {kernel_image_path: "/boot/vmlinuz", initrd_path: $initrd,
            boot_args: "console=ttyS0 quiet panic=-1 reboot=k"},
        "machine-config": {vcpu_count: 1, mem_size_mib: 256},
        drives: [{drive_id: "commands", path_on_host: "commands", is_root_device: false,
            is_read_only: true}]} '"${1:+| $1}" >config
}

# Runs the guest to its end; what it said is in $output.
vmm() {
    run timeout --foreground "${seconds:-120}" "$VMM" --no-api --config-file config "$@" </dev/null
}

# A request to the API: api METHOD PATH [BODY]; the answer is printed, a fault fails
api() {
    curl -s --fail-with-body --max-time 20 --unix-socket api.sock -X "$1" "http://localhost$2" \
        ${3:+-H 'Content-Type: application/json' -d "$3"}
}

# Two disks, one of them for writing, a tap, and a guest that uses them.
devices() {
    truncate -s 32M disk
    mkdir shared
    head -c 3000000 /dev/urandom >shared/file
    ip tuntap add tap0 mode tap
    ip address add 172.31.0.1/24 dev tap0
    ip link set tap0 up
    busybox httpd -f -p 172.31.0.1:8000 -h shared &
    server=$!
    commands <<'END'
ip address add 172.31.0.2/24 dev eth0
ip link set eth0 up
wget -q -O /file http://172.31.0.1:8000/file && echo "received $(md5sum </file)"
cat /file >/dev/vdb
sync
echo 3 >/proc/sys/vm/drop_caches
echo "read back $(head -c 3000000 /dev/vdb | md5sum)"
echo "random $(head -c 64 /dev/hwrng | wc -c)"
grep virtio /proc/interrupts
END
    configuration '.drives += [{drive_id: "disk", path_on_host: "disk", is_root_device: false,
            is_read_only: false, cache_type: "Writeback", io_engine: "Async"}]
        | ."network-interfaces" = [{iface_id: "eth0", host_dev_name: "tap0",
            guest_mac: "06:00:ac:1f:00:02"}] | .entropy = {}'
}

devices_work() {
    kill "$server"
    equals 0 "$status"
    local sum
    sum=$(md5sum <shared/file)
    contains "received $sum" "$output"
    contains "read back $sum" "$output"
    contains 'random 64' "$output"
    cmp -n 3000000 shared/file disk
}
