# bats file_tags=testbed
# A debugger at a virtual machine: docs/vm-gdb.md.
load vm

setup() {
    command -v gdb >/dev/null || skip "no gdb"
    cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
    [ -z "${monitor:-}" ] || { kill "$monitor" 2>/dev/null; wait "$monitor"; } || true
}

# Starts the monitor, which waits for a debugger, and remembers it.
vmm_waits() {
    "$VMM" --no-api --config-file config --gdb gdb.sock "$@" </dev/null >console 2>&1 3>&- &
    monitor=$!
    wait_until 10 test -S gdb.sock
}

# Runs GDB with the commands of standard input, at the machine.
debug() {
    { echo 'set pagination off'; echo 'set confirm off'; echo 'target remote gdb.sock'; cat; } >script
    run timeout --foreground 150 gdb -nx -q -batch -x script
    echo "$output"
    equals 0 "$status"
}

monitor_ends() {
    local code=0
    wait "$monitor" || code=$?
    monitor=''
    cat console
    equals "$1" "$code"
}

# Of breakpoints the testbed has neither kind: QEMU's emulated SVM doesn't tell a hypervisor of them.
@test "before the kernel's first instruction: registers, memory, a step; and it boots with what was changed" {
    commands <<<'cat /proc/cmdline'
    configuration '."boot-source".boot_args |= "mark=x " + . | ."machine-config".vcpu_count = 2'
    vmm_waits
    # %rsi points to the kernel's parameters, and these, at 0x228, to its command line.
    debug <<'END'
info threads
x/i $pc
stepi
printf "moved to %x\n", $pc
printf "marked %.6s\n", (char *)*(unsigned int *)($rsi + 0x228)
set var *((char *)*(unsigned int *)($rsi + 0x228) + 5) = 'y'
set var $r15 = 0x1234
printf "written %x\n", $r15
info registers cr0 cr3 efer
detach
END
    grep -q 'Thread 1 (vcpu 0)' <<<"$output"
    grep -q 'Thread 2 (vcpu 1)' <<<"$output"
    contains 'moved to 1000201' "$output" # behind a bzImage's first instruction, cld
    contains 'marked mark=x' "$output"
    contains 'written 1234' "$output"
    monitor_ends 0
    contains 'mark=y console=ttyS0' "$(cat console)"
}

@test "a machine that runs is stopped by who connects, and goes on without it" {
    commands <<'END'
i=0
while [ $i -lt 60 ]; do i=$((i + 1)); echo "tick $i"; sleep 0.1; done
END
    configuration
    vmm_waits
    debug <<<'detach'
    wait_until 90 grep -q 'tick 2' console
    debug <<'END'
p $cr3 != 0
shell grep -c tick console >before; sleep 1; grep -c tick console >after
detach
END
    contains '$1 = 1' "$output"
    equals "$(cat before)" "$(cat after)"
    monitor_ends 0
    contains 'tick 60' "$(cat console)"
}

@test "who kills ends the machine, and the socket goes with it" {
    commands </dev/null
    configuration
    vmm_waits
    debug <<<'kill'
    monitor_ends 0
    [ ! -e gdb.sock ]
}
