# What the benchmarks of hull-vmm beside QEMU's microvm share, in the testbed; sourced after
# testbed.sh. Both have the same KVM, kernel and memory; a guest's end is a triple fault, which both
# take as the end.
modprobe kvm_amd
vmm=/usr/local/bin/hull-vmm
guest_init=$(scripts/program build/release guest_init)
memory=128
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
