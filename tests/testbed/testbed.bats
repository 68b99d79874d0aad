# The testbed itself: what its options promise. Each test starts virtual hosts of its own.
load ../cli/helpers

run_testbed() { timeout --foreground 150 "$HULL_SOURCE/tests/testbed/run" "$@" 3>&-; }

# Nothing of a run is left: neither its directory nor its machines.
nothing_left() {
    [ -z "$(find "$BATS_TEST_TMPDIR" -name 'hull-testbed.*')" ] && no_machine
}

# Each machine works in a directory of its run.
no_machine() {
    [ -z "$(find /proc/[0-9]*/cwd -maxdepth 0 -lname "$BATS_TEST_TMPDIR/hull-testbed.*" 2>/dev/null)" ]
}

setup() {
    export TMPDIR=$BATS_TEST_TMPDIR
    mkdir -p "$BATS_TEST_TMPDIR/share/bin"
    cp "$HULL_BUILD/tests/testbed/kvm_loop" "$BATS_TEST_TMPDIR/share/bin/"
    cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
    wait_until 10 nothing_left
}

@test "a command's output and status come back; hull and a KVM that executes are there" {
    echo shared >share/file
    run run_testbed --share share --console console -- sh -c 'cat file; hull --version; hull-oci --version
        cat /sys/fs/cgroup/cgroup.controllers; echo to stderr >&2; hostname; ls /sys/class/net; echo "$1"
        test -f "/boot/vmlinuz-$(uname -r)" && modprobe -a vhost_net vhost_vsock loop erofs squashfs \
            bridge nf_tables tun && ls /dev/vhost-net /dev/vhost-vsock /dev/net/tun
        kvm_loop && exit 7' sh 'two  words'
    equals 7 "$status"
    contains $'shared\nhull version' "$output"
    contains 'hull-oci version' "$output"
    contains 'cpuset cpu io memory' "$output"
    contains $'to stderr\ntestbed\nlo\ntwo  words' "$output"
    contains /dev/vhost-vsock "$output"
    contains 'iteration: executed' "$output"
    grep -q 'Power down' console
}

@test "with --hosts, hosts reach each other by name, and commands run on any of them" {
    run run_testbed --hosts 3 --memory 768 -- bash -c '
        hostname
        ping -c 1 -w 20 host2 >/dev/null && testbed-on host2 ping -c 1 -w 20 host3 >/dev/null && echo joined
        echo input | testbed-on host2 cat
        testbed-on host3 sh -c "hostname; hull --version; echo \"\$1\"; exit 9" sh "two  words" </dev/null
        echo "status $?"
        testbed-on host2 ip -4 -brief address show dev eth0 </dev/null'
    succeeded
    contains $'host1\njoined\ninput\nhost3\nhull version 0' "$output"
    contains $'two  words\nstatus 9' "$output"
    contains '10.77.0.2/24' "$output"
}

# interact KEYS: types them at the shell's prompt, and says what became of the terminal
interact() {
    COLUMNS=101 python3 "$HULL_SOURCE/tests/cli/terminal.py" --seconds 120 \
        --wait '# ' --type 'stty size; tty\r' --wait /dev/hvc0 --wait '# ' --type "$1" \
        bash -c 'before=$(stty -g); "$1" --interactive; echo "status $?"
            [ "$before" = "$(stty -g)" ] && echo restored' bash "$HULL_SOURCE/tests/testbed/run"
}

@test "a shell on a terminal has its size, and leaves it as it was" {
    run interact '\x04'
    succeeded
    contains '24 101' "$output"
    contains $'status 0\r\nrestored' "$output"
}

@test "switching the host off at a terminal ends it, too" {
    run interact 'poweroff\r'
    succeeded
    contains $'status 0\r\nrestored' "$output"
}

@test "a command that takes too long ends with 124, and so does its host" {
    run run_testbed --timeout 3 -- sleep 1000
    failed_with 124 'ended after 3 s'
}

@test "a host that switches itself off has not run its command to the end" {
    run run_testbed -- sh -c 'echo begun; poweroff; sleep 1000'
    failed_with 125 'before the command did'
    contains begun "$output"
}

@test "a run that is killed leaves no machine" {
    "$HULL_SOURCE/tests/testbed/run" -- sh -c 'echo begun; sleep 1000' >output 2>&1 3>&- &
    local process=$!
    wait_until 100 grep -q begun output
    ! no_machine
    kill -KILL "$process"
    wait "$process" || true
    wait_until 10 no_machine
    rm -rf "$BATS_TEST_TMPDIR"/hull-testbed.*
}

@test "options that can't be are refused before anything starts" {
    run run_testbed
    failed_with 125 'no command'
    run run_testbed --hosts 0x -- true
    failed_with 125 '--hosts 0x: not a number'
    run run_testbed --hosts 33 -- true
    failed_with 125 'at most 32'
    run run_testbed --memory -1 -- true
    failed_with 125 '--memory -1'
    run run_testbed --share nowhere -- true
    failed_with 125 'nowhere: not a directory'
    run run_testbed --build nowhere -- true
    failed_with 125 'no build directory'
    run run_testbed --nothing
    failed_with 125 'unknown option --nothing'
    run run_testbed --interactive
    failed_with 125 'needs a terminal'
}
