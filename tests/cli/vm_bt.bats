# The engine that translates guest code, on this machine: docs/binary-translation.md. The kernel is the
# testbed's.
bats_require_minimum_version 1.5.0
load helpers

: "${VMM:=$HULL_BUILD/src/vm/hull-vmm}"
# Looking for leaks takes system calls that the monitor has given up.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    kernel=$(find "$HOME/.cache/hull/testbed" -name vmlinuz 2>/dev/null | head -n 1)
    [ -n "$kernel" ] || skip "no kernel: the testbed hasn't been made yet"
    grep -qw bmi2 /proc/cpuinfo || skip "the engine needs BMI2"
}

# boots [KERNEL ARGUMENT]… <COMMANDS: a machine whose init executes them and powers off; its output in $output
boots() {
    mkdir -p guest/bin
    cp "$(command -v busybox)" guest/bin/busybox
    {
        printf '%s\n' '#!/bin/busybox sh' '/bin/busybox --install -s /bin' 'export PATH=/bin' \
            'mkdir -p /proc /dev' 'mount -t proc proc /proc' 'mount -t devtmpfs dev /dev'
        cat
        echo 'poweroff -f'
    } >guest/init
    chmod +x guest/init
    (cd guest && find . | busybox cpio -o -H newc 2>/dev/null) >initrd
    jq -n --arg kernel "$kernel" --arg initrd "$PWD/initrd" --arg arguments "console=ttyS0 quiet panic=-1 $*" '{
        "boot-source": {kernel_image_path: $kernel, initrd_path: $initrd, boot_args: $arguments},
        "machine-config": {vcpu_count: 1, mem_size_mib: 256}}' >machine.json
    run timeout 240 "$VMM" --no-api --engine bt --config-file machine.json
    echo "$output"
    equals 0 "$status"
}

@test "Debian's kernel boots, computes, keeps time and powers off" {
    boots <<'END'
echo "machine $(uname -m)"
md5sum </bin/busybox
awk 'BEGIN { printf "third %.12f\n", 7.1 / 3 }'
seq 1000 | sort -rn | head -n 1
gzip -c /bin/busybox | gunzip | cmp - /bin/busybox && echo "packed and unpacked"
(sleep 100 & child=$!; kill $child; wait $child; echo "killed $?")
before=$(cut -d. -f1 /proc/uptime); sleep 2; echo "slept $(($(cut -d. -f1 /proc/uptime) - before))"
i=0; while [ $i -lt 50 ]; do sh -c 'exit 3' || i=$((i + 1)); done; echo "$i children"
grep LOC /proc/interrupts
dmesg | grep -E 'BUG|Oops|unchecked MSR|soft lockup'
END
    contains "machine x86_64" "$output"
    contains "$(md5sum <"$(command -v busybox)")" "$output"
    contains "$(awk 'BEGIN { printf "third %.12f", 7.1 / 3 }')" "$output"
    contains "packed and unpacked" "$output"
    contains "killed 143" "$output"
    contains "50 children" "$output"
    grep -qE 'slept [23]' <<<"$output"
    read -r _ ticks _ < <(grep -o 'LOC:.*' <<<"$output")
    [ "$ticks" -gt 50 ]
    run ! grep -E 'BUG|Oops|unchecked MSR|soft lockup' <<<"$output"
}

@test "a kernel without the x2APIC, with the local APIC's counting timer, and with page-table isolation" {
    boots nox2apic lapic=notscdeadline pti=on <<<'sleep 1; echo "isolated and awake"'
    contains "isolated and awake" "$output"
}

@test "more processors than there are" {
    boots <<<'true'
    jq '."machine-config".vcpu_count = 2' machine.json >two.json
    run -1 "$VMM" --no-api --engine bt --config-file two.json
    contains "engine bt has one vcpu, not 2" "$output"
}
