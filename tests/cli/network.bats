# Networks as the engine uses them: src/network through tests/helpers/network_client.
load network

@test "a container gets an address, a route, and the way out under the host's address" {
    client attach "$a" -N one >attachment
    jq -e '.IPAddress == "10.210.0.2" and .Gateway == "10.210.0.1" and .IPPrefixLen == 16' \
        attachment
    serve_http in_world -- 80
    [ "$(get in_container "$a" -- http://203.0.113.2/)" = 203.0.113.1 ]
    in_container "$a" ip route | grep -q '^default via 10.210.0.1 dev eth0'
    # loopback is there, and no IPv6 that the network hasn't
    in_container "$a" ip -6 address show dev lo | grep -q '::1/128'
    run ! grep -q inet6 <(in_container "$a" ip -6 address show dev eth0)
}

@test "containers of a network reach each other; those of others, and the world, don't reach in" {
    client create other
    client attach "$a"
    client attach "$b"
    client attach "$c" -n other
    serve_http in_container "$a" -- 80
    address=$(address_of "$a")
    [ "$(get in_container "$b" -- "http://$address/")" = "$(address_of "$b")" ]
    run ! get in_container "$c" -- "http://$address/" 1
    in_world ip route add 10.210.0.0/16 via 203.0.113.1
    run ! get in_world -- "http://$address/" 1
    get on_host -- "http://$address/"
}

@test "forwarding that hull turned on is for bridges alone" {
    on_host sysctl -qw net.ipv4.ip_forward=0
    in_background unshare --net sleep 600
    third=${started[-1]}
    wait_until 10 is_elsewhere "$third"
    on_host ip link add up1 type veth peer name up1 netns "$third"
    on_host ip address add 198.51.100.1/24 dev up1
    on_host ip link set up1 up
    nsenter --target "$third" --net sh -ec 'ip link set lo up; ip link set up1 up
        ip address add 198.51.100.2/24 dev up1; ip route add default via 198.51.100.1'
    in_world ip route add 198.51.100.0/24 via 203.0.113.1
    serve_http nsenter --target "$third" --net -- 80
    client attach "$a"
    [ "$(on_host cat /proc/sys/net/ipv4/ip_forward)" = 1 ]
    get in_container "$a" -- http://198.51.100.2/
    run ! get in_world -- http://198.51.100.2/ 1
    # a host that was a router before stays one
    client detach "$a"
    on_host nft flush ruleset
    get in_world -- http://198.51.100.2/
}

@test "a published port is reached from everywhere, and its container sees who asks from outside" {
    client attach "$a" -N web -p 8080:80
    client attach "$b"
    serve_http in_container "$a" -- 80
    [ "$(get in_world -- http://203.0.113.1:8080/)" = 203.0.113.2 ]
    for url in http://127.0.0.1:8080/ 'http://[::1]:8080/' http://203.0.113.1:8080/ \
        'http://[2001:db8::1]:8080/' http://10.210.0.1:8080/; do
        get on_host -- "$url"
    done
    get in_world -- 'http://[2001:db8::1]:8080/'
    get in_container "$b" -- http://203.0.113.1:8080/
    get in_container "$a" -- http://203.0.113.1:8080/
    on_host sysctl -qw net.bridge.bridge-nf-call-iptables=0 || true
    get in_container "$a" -- http://203.0.113.1:8080/
    client detach "$a"
    run ! get on_host -- http://127.0.0.1:8080/ 1
    run ! get in_world -- http://203.0.113.1:8080/ 1
}

@test "a port published at 127.0.0.1 is reached there only, by nobody else's packet" {
    client attach "$a" -p 127.0.0.1:8080:80
    client attach "$b"
    serve_http in_container "$a" -- 80
    get on_host -- http://127.0.0.1:8080/
    run ! get in_world -- http://203.0.113.1:8080/ 1
    run ! get in_container "$b" -- http://10.210.0.1:8080/ 1
    # route_localnet lets nobody speak to the host's loopback
    in_container "$b" ip route add 127.0.0.0/8 via 10.210.0.1 table 7
    in_container "$b" sysctl -qw net.ipv4.conf.all.route_localnet=1
    in_container "$b" ip address del 127.0.0.1/8 dev lo
    in_container "$b" ip rule add pref 1 to 127.0.0.0/8 table 7
    in_container "$b" ip rule del pref 0
    run ! get in_container "$b" -- http://127.0.0.1:8080/ 1
}

@test "ports: ranges, ephemeral ones, UDP, and both kinds of conflict" {
    client attach "$a" -N one -p 9000-9001:80-81 -p 70 -p 9002-9009:90 -p 5353:53/udp >attachment
    jq -e '.Ports["80/tcp"][0].HostPort == "9000" and .Ports["81/tcp"][0].HostPort == "9001" and
        .Ports["90/tcp"][0].HostPort == "9002" and (.Ports["70/tcp"][0].HostPort | tonumber) > 1023
        and .Ports["53/udp"] == [{"HostIp": "0.0.0.0", "HostPort": "5353"},
                                 {"HostIp": "::", "HostPort": "5353"}]' attachment
    run client attach "$b" -p 9000:80
    [ "$status" -eq 1 ]
    [[ $output == *"port 0.0.0.0:9000/tcp is published by container 'one'"* ]]
    client attach "$b" -p 9002-9009:90 >attachment
    jq -e '.Ports["90/tcp"][0].HostPort == "9003"' attachment
    serve_http on_host -- 9100
    run client attach "$c" -p 9100:80
    [[ $output == *"port 0.0.0.0:9100/tcp is used by a process of the host"* ]]
    # what failed has left nothing
    [ "$(client show "$c")" = none ]
    in_background in_container "$a" python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 53))
while True:
    data, who = s.recvfrom(100)
    s.sendto(data.upper(), who)'
    for address in 127.0.0.1 ::1 203.0.113.1; do
        wait_until 10 udp_echoes on_host $address
    done
    wait_until 10 udp_echoes in_world 203.0.113.1
    wait_until 10 udp_echoes in_world 2001:db8::1
}

udp_echoes() { # WHERE ADDRESS
    "$1" python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.5)
s.connect((sys.argv[1], 5353))
s.send(b"hello")
assert s.recv(100) == b"HELLO"' "$2" 2>/dev/null
}

@test "a published UDP port moves to another container under a client that never pauses" {
    answer_udp() { # ID TEXT
        in_background in_container "$1" python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 53))
while True:
    data, who = s.recvfrom(100)
    s.sendto(sys.argv[1].encode(), who)' "$2"
    }
    in_background in_world python3 -u -c '
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.05)
s.connect(("203.0.113.1", 5353))
while True:
    try:
        s.send(b"?")
        print(s.recv(100).decode())
    except OSError:
        print("silence")
    time.sleep(0.01)'
    hears() { tail -n 3 "$BATS_TEST_TMPDIR/background" | grep -qx "$1"; }
    wait_until 10 hears silence
    client attach "$a" -p 5353:53/udp
    answer_udp "$a" first
    wait_until 10 hears first
    client detach "$a"
    client attach "$b" -p 5353:53/udp
    answer_udp "$b" second
    wait_until 10 hears second
    client detach "$b"
    wait_until 10 hears silence
}

@test "much data passes hull-port whole, and each end is told of the other's" {
    client attach "$a" -p 8080:80
    in_background in_container "$a" python3 -c '
import hashlib, socket
s = socket.create_server(("0.0.0.0", 80))
while True:
    c, _ = s.accept()
    h = hashlib.sha256()
    while True:
        d = c.recv(65536)
        if not d:
            break
        h.update(d)
    c.sendall(h.hexdigest().encode())
    c.close()'
    listens() { in_container "$a" ss -Hlnt 'sport = :80' | grep -q LISTEN; }
    wait_until 10 listens
    on_host python3 - <<'PYTHON'
import hashlib, os, socket
data = os.urandom(1 << 20) * 24
s = socket.create_connection(("::1", 8080))
s.sendall(data)
s.shutdown(socket.SHUT_WR)
got = b""
while True:
    part = s.recv(100)
    if not part:
        break
    got += part
assert got.decode() == hashlib.sha256(data).hexdigest(), got
PYTHON
}

@test "IPv6: addresses of its own, the way out, and published ports without a process between" {
    client create six -6 -s 10.60.0.0/24 -s fd00:60::/64
    client attach "$a" -n six -p 8080:80 >attachment
    jq -e '.Networks.six.GlobalIPv6Address == "fd00:60::2"' attachment
    client attach "$b" -n six
    serve_http in_container "$a" -- 80
    serve_http in_world -- 80
    [ "$(get in_container "$b" -- 'http://[fd00:60::2]/')" = fd00:60::3 ]
    [ "$(get in_container "$b" -- 'http://[2001:db8::2]/')" = 2001:db8::1 ]
    [ "$(get in_world -- 'http://[2001:db8::1]:8080/')" = 2001:db8::2 ]
    get on_host -- 'http://[::1]:8080/'
}

@test "an internal network has no way out, and none in but from the host" {
    client create inside -i
    client attach "$a" -n inside
    client attach "$b" -n inside
    serve_http in_world -- 80
    serve_http in_container "$b" -- 80
    address=$(address_of "$b" inside)
    get in_container "$a" -- "http://$address/"
    get on_host -- "http://$address/"
    [ -z "$(in_container "$a" ip route show default)" ]
    in_container "$a" ip route add default via "$(client show "$a" |
        jq -r .Networks.inside.Gateway)"
    run ! get in_container "$a" -- http://203.0.113.2/ 1
    client connect "$a" -n bridge
    in_container "$a" ip route show default | grep -q 10.210.0.1
    get in_container "$a" -- http://203.0.113.2/
}

@test "icc=false keeps containers from each other and not from the world; mtu and bridge are options" {
    client create apart -o icc=false -o mtu=1400 -o com.docker.network.bridge.name=apart0
    client attach "$a" -n apart
    client attach "$b" -n apart
    serve_http in_world -- 80
    serve_http in_container "$a" -- 80
    run ! get in_container "$b" -- "http://$(address_of "$a" apart)/" 1
    get in_container "$b" -- http://203.0.113.2/
    get on_host -- "http://$(address_of "$a" apart)/"
    in_container "$a" ip link show eth0 | grep -q 'mtu 1400'
    on_host ip link show apart0 | grep -q 'mtu 1400'
}

@test "networks: names, subnets that overlap, static addresses" {
    client create web -s 10.70.0.0/24 -r 10.70.0.128/25 -g 10.70.0.9 -l tier=front
    run client create web
    [[ $output == *"network 'web': the name is in use"* ]]
    run client create two -s 10.70.0.128/30
    [[ $output == *"subnet 10.70.0.128/30 overlaps network web"* ]]
    run client create two -s 203.0.113.0/25
    [[ $output == *"overlaps the host's route through up0"* ]]
    run client create -bad
    [ "$status" -ne 0 ]
    client inspect web | jq -e '.IPAM.Config == [{"Subnet": "10.70.0.0/24",
        "IPRange": "10.70.0.128/25", "Gateway": "10.70.0.9"}] and .Labels.tier == "front"'
    client attach "$a" -n web >attachment
    jq -e '.Networks.web | .Gateway == "10.70.0.9" and .IPAddress == "10.70.0.128"' attachment
    client attach "$b" -n web -4 10.70.0.20 -M 02:00:00:00:00:07 >attachment
    jq -e '.Networks.web | .IPAddress == "10.70.0.20" and .MacAddress == "02:00:00:00:00:07"' \
        attachment
    in_container "$b" ip link show eth0 | grep -q 02:00:00:00:00:07
    run client attach "$c" -n web -4 10.70.0.20
    [[ $output == *"address 10.70.0.20 is another container's"* ]]
    for bad in 10.70.0.9 10.70.0.255 10.71.0.1 nonsense; do
        run ! client attach "$c" -n web -4 $bad
    done
    run client attach "$c" -4 10.210.0.77 -n bridge -4 10.210.0.77
    [[ $output == *"needs a network created with --subnet"* ]]
    run client remove web
    [[ $output == *"is attached to it"* ]]
    client inspect web | jq -e '.Containers | length == 2'
    [ "$(client list label=tier=front)" = "web bridge 2" ]
    [ "$(client list type=builtin | cut -d' ' -f1 | tr '\n' ' ')" = "bridge host none " ]
    client detach "$a"
    client detach "$b"
    client remove web
    run ! grep hull- <(on_host ip link show type bridge)
    run client remove bridge
    [[ $output == *"built in"* ]]
    client create loose
    [ "$(client prune)" = loose ]
}

@test "a small network gives out every address, and says when it is full" {
    client create small -s 10.80.0.0/29
    for digit in 1 2 3 4 5; do
        client attach "$(container_id $digit)" -n small >attachment
    done
    run client attach "$a" -n small
    [[ $output == *"no address of 10.80.0.0/29 is free"* ]]
    client detach "$(container_id 3)"
    client attach "$a" -n small >attachment
    jq -e '.Networks.small.IPAddress == "10.80.0.4"' attachment
}

@test "hosts, resolv.conf and hostname say what was asked for" {
    client attach "$a" -H box -D example.org -h db:192.0.2.7 -h gate=host-gateway \
        -h six:fd00::7 -d 192.0.2.53 -s corp.example -o timeout:1 >attachment
    jq -r .hosts attachment >hosts
    grep -qx $'127.0.0.1\tlocalhost' hosts
    grep -qx $'192.0.2.7\tdb' hosts
    grep -qx $'10.210.0.1\tgate' hosts
    grep -qx $'fd00::7\tsix' hosts
    grep -qx $'10.210.0.2\tbox.example.org box' hosts
    [ "$(jq -r .hostname attachment)" = box ]
    [ "$(jq -r '.["resolv.conf"]' attachment)" = $'nameserver 192.0.2.53\nsearch corp.example\noptions timeout:1' ]
    run client attach "$b" -h 'bad name:1.2.3.4'
    [ "$status" -ne 0 ]
    # the host's own, without what a container can't reach
    printf 'nameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch home\n' >resolv
    on_host mount --bind resolv /etc/resolv.conf
    client attach "$b" | jq -r '.["resolv.conf"]' >got
    [ "$(cat got)" = $'nameserver 192.0.2.1\nsearch home' ]
}

@test "a host whose servers are all at 127.0.0.53 is asked through hull's resolver" {
    echo 'nameserver 127.0.0.53' >resolv
    on_host mount --bind resolv /etc/resolv.conf
    serve_dns on_host -- 127.0.0.53 9
    client attach "$a" | jq -r '.["resolv.conf"]' | grep -qx 'nameserver 127.0.0.11'
    [ "$(ask in_container "$a" -- example.org A)" = "0 192.0.2.9" ]
    # docker's default network has no names, and neither has hull's
    client attach "$b" -N bee
    [ "$(ask in_container "$a" -- bee A)" = "0 192.0.2.9" ]
    client detach "$a"
    client detach "$b"
    wait_until 5 has_no_helpers
}

@test "names: containers', aliases, ids, reverse, by TCP too; the rest is forwarded" {
    serve_dns in_world -- 203.0.113.2 5
    client create web -s 10.44.0.0/24 -s fd00:44::/64
    client create inside -i
    client attach "$a" -N One -n web -a shared -d 203.0.113.2
    client attach "$b" -N two -n web -a shared -n inside
    client attach "$c" -N three -n inside
    at_a() { ask in_container "$a" -- "$@"; }
    [ "$(at_a two A)" = "0 10.44.0.3" ]
    [ "$(at_a TWO.web AAAA)" = "0 fd00:44::3" ]
    [ "$(at_a one A tcp)" = "0 10.44.0.2" ]
    [ "$(at_a shared A)" = "0 10.44.0.2 10.44.0.3" ]
    [ "$(at_a bbbbbbbbbbbb A)" = "0 10.44.0.3" ]
    [ "$(at_a 3.0.44.10.in-addr.arpa PTR)" = "0 two.web" ]
    [ "$(at_a example.org A)" = "0 192.0.2.5" ]
    [ "$(at_a example.org A tcp)" = "0 192.0.2.5" ]
    # of another network nothing is known
    [ "$(at_a three A)" = "0 192.0.2.5" ]
    [ "$(ask in_container "$b" -- three A)" = "0 $(address_of "$c" inside)" ]
    # who has only internal networks learns nothing of the world, and tells it nothing
    [ "$(ask in_container "$c" -- example.org A)" = "5" ]
    [ "$(ask in_container "$c" -- two AAAA)" = "0" ]
    client rename "$b" second
    [ "$(at_a second A)" = "0 10.44.0.3" ]
    [ "$(at_a two A)" = "0 192.0.2.5" ]
    client detach "$b"
    [ "$(at_a second A)" = "0 192.0.2.5" ]
    [ "$(at_a shared A)" = "0 10.44.0.2" ]
    client detach "$a"
    client detach "$c"
    wait_until 5 has_no_helpers
}

@test "the resolver answers again after either of its processes was killed" {
    client create web -s 10.44.0.0/24
    client attach "$a" -N one -n web
    server=$(for pid in $(helpers_left); do [ "$(stat -c %U "/proc/$pid")" != nobody ] || echo "$pid"; done)
    kill -KILL "$server"
    answers() { [ "$(ask in_container "$a" -- one A 2>/dev/null)" = "0 10.44.0.2" ]; }
    wait_until 10 answers
    # both: the next change starts it anew
    for pid in $(helpers_left); do
        kill -KILL "$pid"
    done
    wait_until 10 has_no_helpers
    run ! answers
    client attach "$b" -N two -n web
    answers
    [ "$(ask in_container "$b" -- one A)" = "0 10.44.0.2" ]
    for pid in $(helpers_left); do
        kill -KILL "$pid"
    done
    wait_until 10 has_no_helpers
    client reconcile "$a" "$b"
    answers
}

@test "connect and disconnect while it runs: addresses, routes, names, published ports" {
    client create web -s 10.44.0.0/24
    client create back -s 10.45.0.0/24
    client attach "$a" -N one -n web -p 8080:80
    client attach "$b" -N two -n back
    serve_http in_container "$a" -- 80
    client connect "$a" -n back -a store -4 10.45.0.50 >attachment
    jq -e '.Networks.back.IPAddress == "10.45.0.50"' attachment
    jq -r .hosts attachment | grep -q 10.45.0.50
    [ "$(ask in_container "$b" -- store A)" = "0 10.45.0.50" ]
    [ "$(ask in_container "$a" -- two A)" = "0 10.45.0.2" ]
    get in_container "$b" -- http://10.45.0.50/
    run client connect "$a" -n back
    [[ $output == *"connected to network 'back' already"* ]]
    # the first network goes: routes and ports follow to the other
    client disconnect "$a" web >attachment
    jq -e '.Networks | keys == ["back"]' attachment
    run ! in_container "$a" ip link show eth0
    in_container "$a" ip route | grep -q '^default via 10.45.0.1'
    get in_world -- http://203.0.113.1:8080/
    get on_host -- 'http://[::1]:8080/'
    run client disconnect "$a" web
    [[ $output == *"not connected to network 'web'"* ]]
    client disconnect "$a" back
    [ -z "$(in_container "$a" ip route)" ]
    client connect "$a" -n web
    in_container "$a" ip route | grep -q '^default via 10.44.0.1'
    get in_world -- http://203.0.113.1:8080/
}

@test "none, host and another container's" {
    client attach "$a" -m none
    [ "$(in_container "$a" ip -o link | wc -l)" -eq 1 ]
    client attach "$b" -m host >attachment
    jq -e '.SandboxKey == "" and .hostname != ""' attachment
    client attach "$c" -m "container:$a" >attachment
    jq -e --arg a "$a" '(.SandboxKey | endswith($a)) and .hosts == null' attachment
    run client connect "$b" -n bridge
    [[ $output == *"it has the host's network"* ]]
    run client attach "$(container_id d)" -m "container:$(container_id e)"
    [[ $output == *"doesn't run"* ]]
    client detach "$c"
    [ -e "/proc/$host/root$directory/run/network/ns/$a" ]
}

@test "a namespace that a user namespace shall own" {
    in_background unshare --user --map-root-user sleep 600
    owner=${started[-1]}
    owned() { [ "$(readlink "/proc/$owner/ns/user")" != "$(readlink /proc/self/ns/user)" ]; }
    wait_until 5 owned
    client attach "$a" -u "/proc/$owner/ns/user"
    # root of that namespace may change this one
    on_host nsenter --user="/proc/$owner/ns/user" \
        nsenter --net="$directory/run/network/ns/$a" ip address add 192.0.2.1/32 dev lo
    serve_http in_world -- 80
    get in_container "$a" -- http://203.0.113.2/
}

@test "what other programs did to hull's rules and bridge, the next attach puts right" {
    client attach "$a" -p 8080:80
    serve_http in_container "$a" -- 80
    serve_http in_world -- 80
    on_host nft flush ruleset
    run ! get in_container "$a" -- http://203.0.113.2/ 1
    client attach "$b"
    get in_container "$b" -- http://203.0.113.2/
    get in_world -- http://203.0.113.1:8080/
    on_host nft flush ruleset
    client reconcile "$a" "$b"
    get in_world -- http://203.0.113.1:8080/
    client detach "$a"
    client detach "$b"
    on_host ip link del "$(on_host ip -o link show type bridge | grep -o 'hull0[^:]*')"
    client attach "$a"
    get in_container "$a" -- http://203.0.113.2/
}

@test "hull's table is its own, and other firewalls are noticed and not touched" {
    on_host nft add table ip filter
    on_host nft 'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'
    on_host nft list table ip filter >before
    run client attach "$a"
    [[ $output == *"another firewall (chain FORWARD of table ip filter)"* ]]
    [[ $output == *"iptables -I FORWARD -i hull0"* ]]
    on_host nft list table ip filter | diff before -
    bridge=$(on_host ip -o link show type bridge | grep -o 'hull0[^:]*')
    on_host nft insert rule ip filter FORWARD iifname "$bridge" accept
    on_host nft insert rule ip filter FORWARD oifname "$bridge" accept
    serve_http in_world -- 80
    get in_container "$a" -- http://203.0.113.2/
    run client attach "$b" -p 80:80
    [[ $output != *firewall* ]]
    # Docker's own chain is the place where it is there
    on_host nft flush chain ip filter FORWARD
    on_host nft add chain ip filter DOCKER-USER
    run client attach "$b" -p 80:80
    [[ $output == *"iptables -I DOCKER-USER -i"* ]]
}

@test "detach takes everything back, at once for its processes, also with some still there" {
    client create web
    client attach "$a" -p 8080:80 -n web
    serve_http in_container "$a" -- 80
    client detach "$a"
    has_no_helpers
    [ -z "$(ls "/proc/$host/root$directory/run/network/ns")" ]
    [ "$(client show "$a")" = none ]
    run ! grep 8080 <(on_host nft list ruleset)
    run ! get on_host -- http://127.0.0.1:8080/ 1
    # the server still lives in its namespace: its interface goes with the next look
    [ -n "$(interfaces_left)" ]
    client reconcile
    has_no_interfaces
}

@test "after a reboot records of before are gone, and their addresses free" {
    client attach "$a" -p 8080:80
    helper=$(helpers_left)
    kill -KILL $helper
    on_host python3 - "$directory/hull.db" <<'PYTHON'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("UPDATE network_container SET boot = 'another'")
db.commit()
PYTHON
    [ "$(client show "$a")" = none ]
    client attach "$b" -p 8080:80
    [ "$(client list name=bridge)" = "bridge bridge 1" ]
    client reconcile "$b"
    [ -z "$(ls "/proc/$host/root$directory/run/network/ns" | grep -v "$b")" ]
    wait_until 5 [ "$(interfaces_left | wc -l)" -eq 1 ]
}

@test "many attach at once: each has an address, and nothing is left of them" {
    client create web
    for number in {1..24}; do
        id=$(printf '%064x' "$number")
        client attach "$id" -n web -N "n$number" -p 80 >"attachment.$number" 2>"error.$number" 3>&- &
    done
    wait $(jobs -p | grep -vx -e "$host" -e "$world")
    cat error.*
    [ "$(cat attachment.* | jq -s '[.[].Networks.web.IPAddress] | unique | length')" -eq 24 ]
    [ "$(ask in_container "$(printf '%064x' 7)" -- n19 A)" = \
        "0 $(jq -r .Networks.web.IPAddress attachment.19)" ]
    for number in {1..24}; do
        client detach "$(printf '%064x' "$number")" 3>&- &
    done
    wait $(jobs -p | grep -vx -e "$host" -e "$world")
    has_no_helpers
    client reconcile
    has_no_interfaces
    client remove web
}

@test "users other than root: the way out and published ports, through pasta" {
    command -v pasta >/dev/null || skip "no pasta (package passt)"
    on_host mount -t tmpfs -o mode=755 tmpfs /mnt
    on_host mknod -m 666 /mnt/tun c 10 200
    on_host mount --bind /mnt/tun /dev/net/tun
    directory=/mnt/hull
    on_host install -d -o 12345 "$directory"
    in_background on_host setpriv --reuid 12345 --regid 12345 --clear-groups \
        unshare --user --map-root-user --mount sleep 600
    keeper=''
    find_keeper() { keeper=$(pgrep -u 12345 -g "${started[-1]}" sleep); }
    wait_until 5 find_keeper
    as_user() { nsenter --target "$keeper" --user --mount --net "$@"; }
    # Copies, laid out as the build tree is, which may lie where other users mayn't look.
    on_host mkdir -p /mnt/build/tests/helpers /mnt/build/src/network
    on_host cp "$HULL_BUILD/tests/helpers/network_client" /mnt/build/tests/helpers/
    on_host cp "$HULL_BUILD/src/network/hull-port" "$HULL_BUILD/src/network/hull-dns" /mnt/build/src/network/
    user_client() {
        as_user env NETWORK_ROOTLESS=1 /mnt/build/tests/helpers/network_client "$directory" "$@"
    }
    user_client attach "$a" -N one -p 8080:80 -p 127.0.0.1:8081:81 >attachment
    jq -e '.IPAddress == "10.210.0.2" and .Ports["80/tcp"][0].HostPort == "8080"' attachment
    inside() { as_user nsenter --net="$directory/run/network/ns/$a" "$@"; }
    serve_http inside -- 80
    serve_http inside -- 81
    serve_http in_world -- 80
    serve_http on_host -- 70
    get in_world -- http://203.0.113.1:8080/
    get on_host -- http://127.0.0.1:8080/
    get on_host -- http://127.0.0.1:8081/
    run ! get in_world -- http://203.0.113.1:8081/ 1
    [ "$(get inside -- http://203.0.113.2/)" = 203.0.113.1 ]
    # the host's loopback is out of reach
    run ! get inside -- http://10.210.0.1:70/ 1
    run user_client attach "$b" -p 8080:80
    [[ $output == *"is published by container 'one'"* ]]
    run user_client attach "$b" -p 80:80
    [[ $output == *"users other than root can't bind it"* ]]
    run user_client attach "$b" -n web
    [[ $output == *"run hull as root"* ]]
    # pasta that was killed comes back with the next look
    pasta=$(pgrep -u 12345 'pasta|passt')
    kill -KILL "$pasta"
    has_no_pasta() { [ -z "$(pgrep -r S,R -u 12345 'pasta|passt')" ]; }
    wait_until 5 has_no_pasta
    # Until the kernel has ended it, it counts as alive.
    is_back() { user_client reconcile "$a" && get in_world -- http://203.0.113.1:8080/; }
    wait_until 10 is_back
    user_client detach "$a"
    wait_until 5 has_no_pasta
    run ! get on_host -- http://127.0.0.1:8080/ 1
}
