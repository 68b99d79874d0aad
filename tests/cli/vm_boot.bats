# bats file_tags=testbed
# hull-vmm boots the distribution's kernel and is a machine to it: docs/vm.md.
load vm

teardown() {
    [ -z "${monitor:-}" ] || { kill "$monitor" 2>/dev/null; wait "$monitor"; } || true
    ip link delete tap0 2>/dev/null || true
}

# The guest's report: memory in MiB, processors, the clock's difference to the host's in seconds.
report='echo "processors $(grep -c ^processor /proc/cpuinfo)"
    echo "memory $(($(sed -n "s/MemTotal: *\([0-9]*\) .*/\1/p" /proc/meminfo) / 1024))"
    echo "clock $(date +%s)"'

@test "a bzImage: processors, memory and the clock are what was asked for, and power-off ends it" {
    commands <<<"$report"
    configuration '."machine-config" = {vcpu_count: 2, mem_size_mib: 320}'
    vmm
    echo "$output"
    equals 0 "$status"
    contains 'processors 2' "$output"
    [[ $output =~ memory\ ([0-9]+) ]]
    [ "${BASH_REMATCH[1]}" -gt 250 ] && [ "${BASH_REMATCH[1]}" -lt 320 ]
    [[ $output =~ clock\ ([0-9]+) ]]
    [ $(($(date +%s) - BASH_REMATCH[1])) -lt 60 ]
}

@test "devices on virtio-mmio: disk, network, random numbers" {
    devices
    vmm
    devices_work
    ! grep -q MSI <<<"$output"
}

@test "devices on PCI, with MSI-X" {
    devices
    vmm --enable-pci
    devices_work
    grep -q 'PCI-MSI.*virtio.*req' <<<"$output"
}

@test "the API: start, pause, resume, what runs is told, and Control-Alt-Delete" {
    commands <<'END'
echo "guest is up"
i=0
while [ $i -lt 200 ]; do i=$((i + 1)); echo "tick $i"; sleep 0.2; done
END
    "$VMM" --api-sock api.sock --id test-vm </dev/null >console 2>&1 3>&- &
    monitor=$!
    wait_until 10 test -S api.sock
    api PUT /boot-source "{\"kernel_image_path\": \"/boot/vmlinuz\", \"initrd_path\": \"$BATS_FILE_TMPDIR/initrd\",
        \"boot_args\": \"console=ttyS0 quiet panic=-1 reboot=k\"}"
    api PUT /drives/commands '{"drive_id": "commands", "path_on_host": "commands", "is_root_device": false,
        "is_read_only": true}'
    api PUT /machine-config '{"vcpu_count": 1, "mem_size_mib": 256}'
    api PUT /balloon '{"amount_mib": 16, "deflate_on_oom": true, "stats_polling_interval_s": 1}'
    equals '"Not started"' "$(api GET / | jq .state)"
    api PUT /actions '{"action_type": "InstanceStart"}'
    equals '"Running"' "$(api GET / | jq .state)"
    run ! api PUT /boot-source '{"kernel_image_path": "/boot/vmlinuz"}'
    contains fault_message "$output"
    wait_until 90 grep -q 'tick 2' console
    api PATCH /vm '{"state": "Paused"}'
    sleep 0.3
    local before
    before=$(grep -c tick console)
    sleep 1.5
    equals "$before" "$(grep -c tick console)"
    api PATCH /vm '{"state": "Resumed"}'
    wait_until 20 grep -q "tick $((before + 2))" console
    wait_until 20 inflated
    api PATCH /balloon '{"amount_mib": 0}'
    api PUT /actions '{"action_type": "SendCtrlAltDel"}'
    local code=0
    wait "$monitor" || code=$?
    monitor=''
    equals 0 "$code"
    [ ! -e api.sock ]
}

inflated() { [ "$(api GET /balloon/statistics | jq .actual_mib)" = 16 ]; }

@test "a flush that a guest got acknowledged survives the monitor's death" {
    truncate -s 16M disk
    commands <<'END'
i=0
while :; do
    i=$((i + 1))
    printf '%-511s\n' "record $i" | dd of=/dev/vdb bs=512 seek=$i conv=fsync 2>/dev/null
    echo "flushed $i"
done
END
    configuration '.drives += [{drive_id: "disk", path_on_host: "disk", is_root_device: false,
            is_read_only: false, cache_type: "Writeback", io_engine: "Async"}]'
    "$VMM" --no-api --config-file config </dev/null >console 2>&1 3>&- &
    monitor=$!
    wait_until 90 grep -q 'flushed 20' console
    kill -KILL "$monitor"
    wait "$monitor" || true
    monitor=''
    local last
    last=$(sed -n 's/^flushed \([0-9]*\).*/\1/p' console | tail -n 1)
    for ((i = 1; i <= last; i++)); do
        equals "record$i" "$(dd if=disk bs=512 skip="$i" count=1 2>/dev/null | tr -d ' \n')"
    done
}

@test "a share, persistent memory, memory that is plugged in, and a socket to the host" {
    mkdir -p share
    echo 'from the host' >share/file
    truncate -s 4M pmem
    commands <<'END'
mount -t virtiofs share /mnt && cat /mnt/file && echo 'from the guest' >/mnt/answer
umount /mnt
printf 'kept' | dd of=/dev/pmem0 conv=notrunc,fsync 2>/dev/null
echo online_movable >/sys/devices/system/memory/auto_online_blocks
before=$(sed -n 's/MemTotal: *\([0-9]*\) .*/\1/p' /proc/meminfo)
echo "guest waits"
i=0
while [ $i -lt 100 ] && [ $(sed -n 's/MemTotal: *\([0-9]*\) .*/\1/p' /proc/meminfo) -lt $((before + 200000)) ]; do
    sleep 0.2
    i=$((i + 1))
done
echo "plugged $((($(sed -n 's/MemTotal: *\([0-9]*\) .*/\1/p' /proc/meminfo) - before) / 1024))"
END
    configuration '.filesystems = [{id: "share", path_on_host: "share", tag: "share"}]
        | .pmem = [{id: "kept", path_on_host: "pmem"}]
        | ."memory-hotplug" = {total_size_mib: 512, block_size_mib: 2, slot_size_mib: 128}'
    "$VMM" --api-sock api.sock --config-file config --enable-pci </dev/null >console 2>&1 3>&- &
    monitor=$!
    wait_until 90 grep -q 'guest waits' console || { cat console && false; }
    api PATCH /hotplug/memory '{"requested_size_mib": 256}'
    wait_until 60 grep -q plugged console
    wait "$monitor"
    monitor=''
    cat console
    contains 'from the host' "$(cat console)"
    equals 'from the guest' "$(cat share/answer)"
    equals kept "$(head -c 4 pmem)"
    contains 'plugged 256' "$(cat console)"
}

@test "a guest whose kernel panics ends with that said" {
    commands <<<'echo c >/proc/sysrq-trigger'
    configuration
    vmm
    echo "$output"
    equals 149 "$status"
    contains "hull-vmm: the guest's kernel panicked" "$output"
}

@test "what can't be booted is refused in one line" {
    commands </dev/null
    printf '%s' x >nothing
    configuration '."boot-source".kernel_image_path = "nothing"'
    vmm
    equals 1 "$status"
    contains 'kernel nothing is no file of a' "$output"
    configuration '."machine-config".mem_size_mib = 16'
    vmm
    equals 1 "$status"
    contains 'where the guest has no memory for them (give it more)' "$output"
    configuration '.drives[0].path_on_host = "nowhere"'
    vmm
    equals 152 "$status"
    contains nowhere "$output"
}
