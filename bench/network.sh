# What the benchmarks of published ports share; sourced after hull.sh. The "host" is the script's
# own network namespace, with the outside world ($world) behind a veth pair: 203.0.113.1 and .2.
need iperf3
need nginx
need ab
need nft

# As where the module br_netfilter isn't loaded, which few hosts want: bridged packets would pass
# the firewall a second time, hull's, podman's and anybody's.
for setting in /proc/sys/net/bridge/bridge-nf-call-*; do
    [ ! -e "$setting" ] || echo 0 >"$setting"
done
unshare --net sleep 3600 &
world=$!
for ((tries = 0; tries < 100; tries++)); do
    [ "$(readlink "/proc/$world/ns/net")" = "$(readlink /proc/self/ns/net)" ] || break
    sleep 0.05
done
in_world=(nsenter "--net=/proc/$world/ns/net")
ip link add up0 type veth peer name up0 netns "$world"
ip address add 203.0.113.1/24 dev up0
ip link set up0 up
"${in_world[@]}" ip link set lo up
"${in_world[@]}" ip address add 203.0.113.2/24 dev up0
"${in_world[@]}" ip link set up0 up
ip route add default via 203.0.113.2

background=("$world")
finish_network() {
    kill "${background[@]}" 2>/dev/null || true
    wait "${background[@]}" 2>/dev/null || true
    [ ! -e "$work/by-hand" ] || umount --lazy "$work/by-hand"
    finish_hull
}
trap finish_network EXIT

# Puts a program with its libraries into the image's tree.
add_program() { # PATH
    cp "$1" "$work/tree/bin/"
    ldd "$1" | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$work/tree$(dirname "$library")"
        cp -L "$library" "$work/tree$library"
    done
}

# nginx with one page and one process, so that the network is what differs.
write_nginx_configuration() { # FILE PORT
    cat >"$1" <<END
daemon off; user root; worker_processes 1; pid /tmp/nginx-$2.pid; error_log /dev/null;
events { worker_connections 256; }
http {
    access_log off; keepalive_requests 100000000; default_type text/plain;
    client_body_temp_path /tmp; proxy_temp_path /tmp; fastcgi_temp_path /tmp; uwsgi_temp_path /tmp;
    scgi_temp_path /tmp;
    server { listen $2; location / { return 200 "hello\\n"; } }
}
END
}

await() { # COMMAND...: until it succeeds
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        ! "$@" >/dev/null 2>&1 || return 0
        sleep 0.05
    done
    echo "bench: '$*' never succeeded" >&2
    return 1
}
