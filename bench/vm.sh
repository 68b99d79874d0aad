# What the benchmarks of hull-vmm beside QEMU's microvm share, in the testbed; sourced after
# testbed.sh. Both have the same KVM, kernel and memory; a guest's end is a triple fault, which both
# take as the end.
modprobe kvm_amd
vmm=/usr/local/bin/hull-vmm
guest_init=$(scripts/program build/release guest_init)
memory=${memory:-128} # MiB of both; a script may have chosen another number
arguments='console=ttyS0 quiet panic=-1 reboot=t'

# An initial RAM disk whose init says "guest: init" and how long the kernel took, in $work/initrd.
make_initrd() {
    mkdir -p "$work/guest"
    cp "$guest_init" "$work/guest/init"
    (cd "$work/guest" && find . | busybox cpio -o -H newc 2>/dev/null) >"$work/initrd"
}

# An ELF file whose PVH entry sends a line's end to the serial port, and then has a triple fault: mov
# $0x3f8,%dx; mov $10,%al; out %al,(%dx); ud2. In $work/first.
make_first_instruction() {
    {
        printf '\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0'
        printf '\0\0\0\x01\0\0\0\0\x40\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x40\0\x38\0\x02\0\0\0\0\0\0\0'
        printf '\x01\0\0\0\x05\0\0\0\xc8\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0'
        printf '\x09\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0'
        printf '\x04\0\0\0\x04\0\0\0\xb0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
        printf '\x18\0\0\0\0\0\0\0\x18\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0'
        printf '\x04\0\0\0\x08\0\0\0\x12\0\0\0Xen\0\0\0\0\x01\0\0\0\0\x66\xba\xf8\x03\xb0\x0a\xee\x0f\x0b'
    } >"$work/first"
    truncate -s 4096 "$work/first"
}

# hull_vm NAME KERNEL [FILTER]: $work/NAME.json, with what a filter of jq adds
hull_vm() {
    jq -n --arg kernel "$2" --arg initrd "$work/initrd" --arg arguments "$arguments" --argjson memory "$memory" '{
        "boot-source": {kernel_image_path: $kernel, initrd_path: $initrd, boot_args: $arguments},
        "machine-config": {vcpu_count: 1, mem_size_mib: $memory}}'"${3:+ | $3}" >"$work/$1.json"
}

# The words of QEMU's command line, with its real-time clock: without it the kernel waits for one.
qemu=(qemu-system-x86_64 -M microvm,rtc=on,accel=kvm -cpu host -smp 1 -m "$memory" -nodefaults
    -no-user-config -display none -serial stdio -no-reboot)

# result LABEL PEER'S-VALUE HULL'S-VALUE UNIT most|least BAR [PEER]: prints a line, and a row of the table; the bar is
# of hull's value divided by the peer's, or of hull's alone if the peer has no value. Status 1: missed.
result() {
    awk -v label="$1" -v theirs="$2" -v ours="$3" -v unit="$4" -v side="$5" -v bar="$6" -v peer="${7:-QEMU}" \
        -v table="${HULL_BENCH_TABLE:-/dev/null}" 'BEGIN {
            value = theirs == "" ? ours : ours / theirs
            met = side == "most" ? value <= bar : value >= bar
            verdict = met ? "OK" : "MISSED"
            if (theirs != "") { other = sprintf("%s %.2f %s", peer, theirs, unit); ratio = sprintf("%.3f", value) }
            printf "%-34s  %s  hull %.2f %s  ratio %s  at %s %s  %s\n", label, other, ours, unit, ratio, side, bar, verdict
            printf "| %s | %s | %.2f %s | %s | at %s %s | %s |\n", label, other, ours, unit, ratio, side, bar, verdict >>table
            exit !met }'
}

# The median of the numbers of standard input, of which there must be one.
median() {
    sort -n | awk '{ v[NR] = $1 } END {
        if (NR == 0) exit 2
        print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# wait_for TEXT FILE: until the text is in what a guest said
wait_for() {
    local tries=0
    until grep -q "$1" "$2" 2>/dev/null; do
        [ "$((++tries))" -lt 3000 ] || {
            echo "bench: no '$1' in $2: $(tail -n 5 "$2")" >&2
            exit 2
        }
        sleep 0.1
    done
}

# An erofs image with the programs named and their libraries, for guests: $work/tools
make_tools() {
    local program file
    mkdir -p "$work/tree"/{bin,dev,proc,sys,tmp}
    for program in "$@"; do
        file=$(command -v "$program")
        { echo "$file" && ldd "$file" | grep -o '/[^ ]*'; } | while read -r file; do
            mkdir -p "$work/tree$(dirname "$file")"
            cp -L "$file" "$work/tree$file"
        done
    done
    mkfs.erofs "$work/tools" "$work/tree" >/dev/null 2>&1
    rm -rf "$work/tree"
}

# An initial RAM disk whose init loads drivers, mounts the image of tools, executes the commands of
# standard input in it, and ends the machine: $work/NAME
make_guest() { # NAME
    mkdir -p "$work/$1.tree"/{bin,modules,proc,dev,sys,root}
    cp "$(command -v busybox)" "$work/$1.tree/bin/busybox"
    cat >"$work/$1.tree/commands"
    modprobe -a --show-depends virtio_mmio virtio_blk virtio_net erofs | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
        while read -r module; do
            cp "$module" "$work/$1.tree/modules/"
            echo "${module##*/}" >>"$work/$1.tree/modules/order"
        done
    cat >"$work/$1.tree/init" <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done </modules/order
for disk in /dev/vd?; do
    mount -t erofs -o ro "$disk" /root 2>/dev/null || echo "$disk" >/disk
done
for directory in dev proc sys; do mount --bind /$directory /root/$directory; done
mount -t tmpfs tmp /root/tmp
sh /commands
reboot -f
END
    chmod +x "$work/$1.tree/init"
    (cd "$work/$1.tree" && find . | busybox cpio -o -H newc 2>/dev/null) >"$work/$1"
    rm -rf "$work/$1.tree"
}
