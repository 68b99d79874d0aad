# bats file_tags=testbed
# The monitor's own interrupt controllers and timers, under Debian's kernel on KVM: docs/vm.md.
load vm

teardown() {
    [ -z "${monitor:-}" ] || { kill "$monitor" 2>/dev/null; wait "$monitor"; } || true
    ip link delete tap0 2>/dev/null || true
}

# What the guest's kernel tells of its interrupts, after every processor has slept and worked.
report='cpus=$(grep -c ^processor /proc/cpuinfo)
echo "processors $cpus"
for cpu in $(seq 0 $((cpus - 1))); do taskset $((1 << cpu)) sleep 0.1; done
echo "slept"
grep -E "LOC|RES|CAL|ttyS0" /proc/interrupts
grep -m1 -o x2apic /proc/cpuinfo
dmesg | grep -iE "spurious|lockup|stall|no irq handler|not connected"
cat /sys/devices/system/clockevents/clockevent0/current_device'

# boots PROCESSORS [KERNEL ARGUMENT]…: all of them run, with ticks of their own
boots() {
    local count=$1
    shift
    commands <<<"$report"
    configuration ".\"machine-config\".vcpu_count = $count | .\"boot-source\".boot_args += \" $*\""
    vmm --irqchip user
    echo "$output"
    equals 0 "$status"
    contains "processors $count" "$output"
    contains slept "$output"
    read -ra ticks < <(sed -n 's/^ *LOC: *\(.*\)Local timer.*/\1/p' <<<"$output")
    equals "$count" "${#ticks[@]}"
    local tick
    for tick in "${ticks[@]}"; do
        [ "$tick" -gt 20 ]
    done
    local said=$output
    run ! grep -iE 'spurious|lockup|stall|no irq handler|not connected' <<<"$said"
    output=$said
}

@test "one processor" {
    boots 1
    grep -q '^lapic-deadline' <<<"$output"
    grep -q '^x2apic' <<<"$output"
}

@test "two processors" { boots 2; }

@test "four processors" { boots 4; }

@test "two processors with memory-mapped APICs and their counting timer" {
    boots 2 nox2apic lapic=notscdeadline
    grep -qE '^lapic\s*$' <<<"$output"
}

@test "devices on virtio-mmio, through the IOAPIC" {
    devices
    vmm --irqchip user
    devices_work
    grep -q 'IO-APIC.*virtio' <<<"$output"
}

@test "devices on PCI, with MSI-X, and two processors" {
    devices
    jq '."machine-config".vcpu_count = 2' config >more
    mv more config
    vmm --irqchip user --enable-pci
    devices_work
    grep -q 'PCI-MSI.*virtio.*req' <<<"$output"
}

# Without ACPI and local APIC a kernel uses a PC's old controllers; then it finds no disk either, so
# that its first process is in an initial RAM disk of its own.
@test "the PICs and the PIT" {
    mkdir old
    cat >old/init <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc
mount -t proc proc /proc
sleep 1
echo "slept"
cat /proc/interrupts
reboot -f
END
    chmod +x old/init
    (cat "$BATS_FILE_TMPDIR/initrd" && cd old && echo init | busybox cpio -o -H newc 2>/dev/null) >initrd
    commands </dev/null
    configuration '."boot-source".initrd_path = "initrd" | ."boot-source".boot_args += " acpi=off nolapic"'
    vmm --irqchip user
    echo "$output"
    equals 0 "$status"
    contains slept "$output"
    grep -qE '^ *0: +[0-9]{2,} +XT-PIC +timer' <<<"$output"
    grep -qE '^ *4: +[0-9]+ +XT-PIC +ttyS0' <<<"$output"
}

@test "halted processors take no time of the host's, and pause and resume" {
    commands <<'END'
echo "guest rests"
sleep 12
i=0
while [ $i -lt 200 ]; do i=$((i + 1)); echo "tick $i"; sleep 0.5; done
END
    configuration '."machine-config".vcpu_count = 2'
    "$VMM" --api-sock api.sock --config-file config --irqchip user </dev/null >console 2>&1 3>&- &
    monitor=$!
    wait_until 90 grep -q 'guest rests' console
    sleep 1
    local before after since now
    since=$(hundredths) before=$(processor_time)
    sleep 3
    now=$(hundredths) after=$(processor_time)
    echo "$((after - before)) hundredths of a second in $((now - since))"
    [ $((2 * (after - before))) -lt $((now - since)) ]
    wait_until 90 grep -q 'tick 2' console
    api PATCH /vm '{"state": "Paused"}'
    sleep 0.3
    before=$(grep -c tick console)
    sleep 1.5
    equals "$before" "$(grep -c tick console)"
    api PATCH /vm '{"state": "Resumed"}'
    wait_until 20 grep -q "tick $((before + 2))" console
    api PUT /actions '{"action_type": "SendCtrlAltDel"}'
    local code=0
    wait "$monitor" || code=$?
    monitor=''
    equals 0 "$code"
}

# Since the host's start.
hundredths() { sed 's/^\([0-9]*\)\.\([0-9]*\) .*/\1\2/' /proc/uptime; }

# Of the monitor and its processors, in hundredths of a second.
processor_time() {
    local -a fields
    read -ra fields <"/proc/$monitor/stat"
    echo $((fields[13] + fields[14]))
}
