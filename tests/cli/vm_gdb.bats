# bats file_tags=testbed
# A debugger at a virtual machine: docs/vm-gdb.md.
load vm

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

@test "a kernel is stopped at a function by an int3, read, written, stepped, and goes on" {
    commands <<'END'
sed -n 's/^\(.*\) T __x64_sys_sethostname$/function 0x\1/p' /proc/kallsyms
i=0
while [ $i -lt 60 ]; do i=$((i + 1)); hostname "name$i"; echo "it is $(hostname)"; sleep 0.1; done
END
    configuration '."boot-source".boot_args += " nokaslr" | ."machine-config".vcpu_count = 2'
    vmm_waits
    debug <<'END'
info threads
x/i $pc
stepi
printf "moved %d\n", $pc
detach
END
    grep -q 'Thread 1 (vcpu 0)' <<<"$output"
    grep -q 'Thread 2 (vcpu 1)' <<<"$output"
    contains 'moved 16777729' "$output" # 0x1000201: behind a bzImage's first instruction, cld
    wait_until 90 grep -q 'it is name1' console
    local function
    function=$(sed -n 's/^function \(0x[0-9a-f]*\).*/\1/p' console)
    # The system call's first argument is in what %rdi points to (struct pt_regs).
    debug <<END
break *$function
continue
printf "first %.4s\n", *(char **)(\$rdi + 0x70)
printf "code %x\n", *(unsigned char *)\$pc
stepi
printf "moved %d\n", \$pc != $function
continue
printf "second %.4s\n", *(char **)(\$rdi + 0x70)
set var *(char *)(*(long *)(\$rdi + 0x70)) = 'N'
info registers cr0 cr3 efer
detach
END
    [ "$(grep -c 'hit Breakpoint 1,' <<<"$output")" = 2 ]
    contains 'first name' "$output"
    contains 'second name' "$output"
    contains 'moved 1' "$output"
    ! grep -q 'code cc' <<<"$output"
    monitor_ends 0
    grep -q 'it is Name' console
    grep -q 'it is name60' console
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
