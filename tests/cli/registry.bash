# What the tests of pull and push share: a network namespace with registries in it, and hull with a
# store of its own. Load helpers first.
#
#     start_network            in setup_file: $NETWORK is the pid of a process in the namespace
#     start_registry NAME PORT Debian's docker-registry, over plain http on 127.0.0.1
#     inside COMMAND...        runs in the namespace; in a subshell, as it takes the shell's place
#     hull ARGUMENT...         hull in the namespace, with $root

start_network() {
    unshare --net sh -c 'ip link set lo up && exec sleep 1000' 3>&- &
    export NETWORK=$!
    export SERVERS=$NETWORK
    wait_until 20 loopback_is_up
}

loopback_is_up() {
    [ "$(readlink "/proc/$NETWORK/ns/net")" != "$(readlink /proc/self/ns/net)" ] &&
        (inside ip link show lo) | grep -q 'LOOPBACK,UP'
}

stop_servers() {
    local pid
    for pid in ${SERVERS:-}; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}

inside() { exec nsenter --net="/proc/$NETWORK/ns/net" "$@"; }
answers() { (inside curl --silent --insecure --output /dev/null --max-time 5 "$1"); }

start_registry() { # NAME PORT
    cat >"$DIRECTORY/$1.yml" <<END
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $DIRECTORY/$1}, delete: {enabled: true}}
http: {addr: '127.0.0.1:$2', secret: test}
END
    inside docker-registry serve "$DIRECTORY/$1.yml" >"$DIRECTORY/$1.log" 2>&1 3>&- &
    SERVERS="$! $SERVERS"
    wait_until 20 answers "http://127.0.0.1:$2/v2/"
}

# hull's program, and where it keeps what.
use_hull() {
    hull_program=$("$HULL_SOURCE/scripts/program" "$HULL_BUILD" hull)
    root=$BATS_TEST_TMPDIR/root
    export DOCKER_CONFIG=$BATS_TEST_TMPDIR/docker HULL_REGISTRIES=$BATS_TEST_TMPDIR/registries.json
    echo '{"delaySeconds": 0.02}' >"$HULL_REGISTRIES"
}
hull() { (inside "$hull_program" --root "$root" "$@" </dev/null); }

# lacks PATTERN TEXT; a "!" before grep would fail no test
lacks() { ! grep -q "$1" <<<"$2"; }

# A tree with a file of each kind that matters, and one that doesn't compress: make_tree DIRECTORY
make_tree() {
    mkdir -p "$1/bin" "$1/etc"
    head -c 1500000 /dev/urandom >"$1/bin/program"
    chmod 4755 "$1/bin/program"
    ln "$1/bin/program" "$1/bin/other"
    ln -s ../bin/program "$1/etc/link"
    echo text >"$1/etc/text"
}

# Where the layers of an image are, the topmost first: layers_of NAME
layers_of() {
    hull image inspect --format '{{.GraphDriver.Data.LowerDir}}' "$1" | tr : '\n'
}

# What make_tree makes, at another place: same_tree DIRECTORY OTHER
same_tree() {
    diff --recursive --no-dereference "$1" "$2" &&
        diff <(list_tree "$1") <(list_tree "$2")
}
list_tree() { (cd "$1" && find . -mindepth 1 -printf '%p %M %n %l\n' | LC_ALL=C sort); }
