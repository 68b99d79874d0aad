# What the tests of networks share: load network
#
# Each test has a "host" of its own: a network and mount namespace ($host is a process in it), with
# an interface up0 (203.0.113.1, 2001:db8::1) to the outside world, another namespace ($world:
# 203.0.113.2, 2001:db8::2). Containers are namespaces that network_client attaches.
bats_require_minimum_version 1.5.0
load helpers

export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0}

on_host() { nsenter --target "$host" --mount --net --wd="$PWD" "$@"; }
in_world() { nsenter --target "$world" --net "$@"; }
in_container() { # ID COMMAND...
    local id=$1
    shift
    on_host nsenter --net="$directory/run/network/ns/$id" "$@"
}

client() { on_host "$HULL_BUILD/tests/helpers/network_client" "$directory" "$@"; }

# Ids to name containers by: 64 times the digit.
container_id() { printf "$1%.0s" {1..64}; }
a=$(container_id a) b=$(container_id b) c=$(container_id c)

# Processes that teardown ends, each with a group of its own: what nsenter executes is in it.
started=()
in_background() {
    set -m
    "$@" >>"$BATS_TEST_TMPDIR/background" 2>&1 3>&- &
    started+=($!)
    set +m
}

is_elsewhere() { [ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }

setup_network() {
    directory=$BATS_TEST_TMPDIR/hull
    mkdir -p "$directory"
    cd "$BATS_TEST_TMPDIR" || return
    unshare --net --mount sleep 600 3>&- &
    host=$!
    unshare --net sleep 600 3>&- &
    world=$!
    wait_until 10 is_elsewhere "$host"
    wait_until 10 is_elsewhere "$world"
    on_host ip link set lo up
    in_world ip link set lo up
    on_host ip link add up0 type veth peer name up0 netns "$world"
    on_host ip address add 203.0.113.1/24 dev up0
    on_host ip -6 address add 2001:db8::1/64 dev up0 nodad
    on_host ip link set up0 up
    in_world ip address add 203.0.113.2/24 dev up0
    in_world ip -6 address add 2001:db8::2/64 dev up0 nodad
    in_world ip link set up0 up
    on_host ip route add default via 203.0.113.2
}

setup() { setup_network; }

teardown() {
    client reconcile || true
    for pid in "${started[@]}"; do
        kill -KILL -- "-$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    # hull-dns that a failed test has left
    for pid in $(helpers_left); do
        kill -KILL "$pid" 2>/dev/null || true
    done
    kill -KILL "$host" "$world" 2>/dev/null || true
    wait "$host" "$world" 2>/dev/null || true
}

# Pids of hull-port and hull-dns in the test's host.
helpers_left() {
    local space
    space=$(readlink "/proc/$host/ns/net")
    for pid in $(pgrep 'hull-(port|dns)'); do
        [ "$(readlink "/proc/$pid/ns/net")" != "$space" ] || echo "$pid"
    done
}
has_no_helpers() { [ -z "$(helpers_left)" ]; }

# serve_http WHERE... -- PORT: answers every request with the asker's address.
serve_http() {
    local where=()
    while [ "$1" != -- ]; do
        where+=("$1")
        shift
    done
    # Not an HTTPServer, which asks the name servers for its host's name: nobody answers here.
    in_background "${where[@]}" python3 -c '
import http.server, socket, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
class Server(socketserver.ThreadingTCPServer):
    address_family, allow_reuse_address, daemon_threads = socket.AF_INET6, True, True
Server(("::", int(sys.argv[1])), Handler).serve_forever()' "$2"
    wait_until 10 "${where[@]}" curl -s --max-time 1 -o /dev/null "http://127.0.0.1:$2/"
}

# get WHERE... -- URL: prints the answer, without "::ffff:".
get() {
    local where=()
    while [ "$1" != -- ]; do
        where+=("$1")
        shift
    done
    "${where[@]}" curl -s --fail --globoff --max-time "${3:-6}" "$2" | sed 's/^::ffff://'
    return "${PIPESTATUS[0]}"
}

# ask WHERE... -- NAME TYPE [tcp]: what 127.0.0.11 answers: "CODE ANSWER..."
ask() {
    local where=()
    while [ "$1" != -- ]; do
        where+=("$1")
        shift
    done
    shift
    "${where[@]}" python3 - "$@" <<'PYTHON'
import socket, struct, sys
name, kind = sys.argv[1], {"A": 1, "AAAA": 28, "PTR": 12}[sys.argv[2]]
query = struct.pack(">HHHHHH", 4660, 256, 1, 0, 0, 0)
query += b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"
query += struct.pack(">HH", kind, 1)
if sys.argv[3:] == ["tcp"]:
    s = socket.create_connection(("127.0.0.11", 53), timeout=5)
    s.sendall(struct.pack(">H", len(query)) + query)
    r = s.makefile("rb")
    answer = r.read(struct.unpack(">H", r.read(2))[0])
else:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(9)
    s.sendto(query, ("127.0.0.11", 53))
    answer = s.recv(65536)
assert answer[:2] == query[:2] and answer[12:len(query)] == query[12:], answer
at, words = len(query), []
for _ in range(struct.unpack(">H", answer[6:8])[0]):
    kind, _, _, length = struct.unpack(">HHIH", answer[at + 2:at + 12])
    data = answer[at + 12:at + 12 + length]
    at += 12 + length
    if kind == 12:
        labels, i = [], 0
        while data[i]:
            labels.append(data[i + 1:i + 1 + data[i]].decode())
            i += 1 + data[i]
        words.append(".".join(labels))
    else:
        words.append(socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, data))
print(answer[3] & 15, *sorted(words))
PYTHON
}

# A DNS server that answers every question for an address with 192.0.2.ANSWER: UDP and TCP.
serve_dns() { # WHERE... -- ADDRESS ANSWER
    local where=()
    while [ "$1" != -- ]; do
        where+=("$1")
        shift
    done
    in_background "${where[@]}" python3 -c '
import socket, struct, sys, threading
def answer(q):
    return q[:2] + b"\x81\x80" + q[4:6] + b"\0\1\0\0\0\0" + q[12:] + \
        b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes([192, 0, 2, int(sys.argv[2])])
def tcp():
    s = socket.create_server((sys.argv[1], 53))
    while True:
        c, _ = s.accept()
        f = c.makefile("rwb")
        q = f.read(struct.unpack(">H", f.read(2))[0])
        f.write(struct.pack(">H", len(answer(q))) + answer(q))
        f.flush()
threading.Thread(target=tcp, daemon=True).start()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind((sys.argv[1], 53))
while True:
    q, who = u.recvfrom(4096)
    u.sendto(answer(q), who)' "$2" "$3"
    wait_until 10 listens_dns "${where[@]}"
}
listens_dns() { "$@" ss -Hlntu 'sport = :53' | grep -q tcp; }

# What hull has made on the host beside bridges and rules.
interfaces_left() { on_host ip -o link | grep -o ': hv[^@:]*' || true; }
has_no_interfaces() { [ -z "$(interfaces_left)" ]; }
address_of() { client show "$1" | jq -r ".Networks.\"${2:-bridge}\".IPAddress"; }
