# The verbs about networks, and containers in them, as a user types.
load hull

field() { hull inspect --format "$2" "$1"; } # CONTAINER TEMPLATE

@test "create, ls, inspect, rm: docker's columns, filters and refusals" {
    id=$(hull network create --subnet 10.50.0.0/24 --gateway 10.50.0.9 --ip-range 10.50.0.128/25 \
        --subnet fd00:50::/64 --label tier=front --label plain --internal web)
    [[ $id =~ ^[0-9a-f]{64}$ ]]
    hull network ls >output
    grep -Eqx 'NETWORK ID +NAME +DRIVER +SCOPE' output
    grep -Eqx "${id:0:12} +web +bridge +local" output
    equals "bridge host none web " "$(hull network ls --format '{{.Name}}' | tr '\n' ' ')"
    equals "$id" "$(hull network ls --quiet --no-trunc --filter label=tier=front)"
    equals web "$(hull network ls --filter type=custom --format '{{.Name}} {{.Label "nothing"}}' | tr -d ' ')"
    equals "10.50.0.9 true" "$(hull network inspect -f \
        '{{(index .IPAM.Config 0).Gateway}} {{.Internal}}' "${id:0:8}")"
    hull network inspect web bridge | jq -e 'length == 2 and .[0].EnableIPv6'
    run_hull network create web
    refused 1 "the name is in use"
    run_hull network create --gateway 10.9.0.1 --subnet 10.8.0.0/24 other
    refused 1 "--gateway 10.9.0.1 lies in no --subnet given"
    run_hull network create --driver overlay other
    refused 1 "no driver 'overlay'"
    run_hull network inspect nothing
    refused 1 "network 'nothing' not found"
    run_hull network rm nothing web
    equals 1 "$status"
    equals web "$output"
    hull network rm --force nothing
    run_hull network rm host
    refused 1 "built in"
    run_hull network ls --filter colour=red
    refused 1 "filter 'colour=red'"
}

@test "containers of a network find each other by name and alias" {
    hull network create web
    hull run -d --name server --network web --network-alias db --hostname box busybox sleep 100
    hull run --rm --network web busybox sh -ec 'ping -c 1 -W 5 server; ping -c 1 -W 5 db.web'
    equals box "$(hull exec server hostname)"
    run_hull network rm web
    refused 1 "container 'server' is attached to it"
    hull rename server renamed
    hull run --rm --network web busybox ping -c 1 -W 5 renamed
    # stopped, it still uses it
    hull stop --time 0 renamed
    hull network create unused
    hull network prune --force >output
    grep -qx unused output
    run ! grep -qx web output
    hull rm renamed
    hull network prune --force | grep -qx web
}

@test "connect and disconnect: of one that runs at once, of one that doesn't at its start" {
    hull network create --subnet 10.51.0.0/24 one
    hull network create --subnet 10.52.0.0/24 two
    hull run -d --name mover --network one busybox sleep 100
    hull network connect --ip 10.52.0.77 --alias other two mover
    equals 10.52.0.77 "$(field mover '{{.NetworkSettings.Networks.two.IPAddress}}')"
    hull exec mover grep -q 10.52.0.77 /etc/hosts
    hull run --rm --network two busybox ping -c 1 -W 5 other
    run_hull network connect two mover
    refused 1 "connected to network 'two' already"
    hull network disconnect one mover
    run_hull network disconnect one mover
    refused 1 "not connected to network 'one'"
    hull exec mover sh -c '! ip address show | grep -q 10.51'
    # it stays so
    hull restart --time 0 mover
    equals 10.52.0.77 "$(field mover '{{.NetworkSettings.Networks.two.IPAddress}}')"
    hull exec mover sh -c '! ip address show | grep -q 10.51'
    hull stop --time 0 mover
    hull network connect one mover
    hull start mover
    hull exec mover sh -c 'ip address show | grep -q 10.51.0'
    hull exec mover sh -c 'ip address show | grep -q 10.52.0.77'
    run_hull network connect nothing mover
    refused 1 "network 'nothing' not found"
    hull run -d --name hosted --network host busybox sleep 100
    run_hull network connect one hosted
    refused 1 "can't have another"
}

@test "a published port serves on 127.0.0.1 and ::1, and comes back with its container" {
    hull run -d --name web -p 8080:80 busybox \
        sh -c 'mkdir /www; echo hello >/www/index.html; exec httpd -f -p 80 -h /www'
    fetch() { ip netns exec "$net" curl -s --globoff --max-time 2 "$1"; }
    serves() { [ "$(fetch "http://127.0.0.1:8080/")" = hello ]; }
    wait_until 10 serves
    equals hello "$(fetch 'http://[::1]:8080/')"
    run_hull run --rm -p 8080:80 busybox true
    refused 125 "published by container 'web'"
    hull restart --time 0 web
    wait_until 10 serves
    hull rm --force web
    run ! serves
}

@test "container:NAME shares all: addresses, hosts, and what is connected" {
    hull run -d --name owner busybox sleep 100
    hull run --rm --network container:owner busybox ip address show eth0 >shared
    grep -q "$(field owner '{{.NetworkSettings.IPAddress}}')" shared
    hull exec owner cat /etc/hosts >hosts
    hull run --rm --network container:owner busybox cat /etc/hosts | diff hosts -
    equals 1 "$(hull run --rm --network none busybox ip -o link | wc -l)"
}

@test "a container whose namespace is just being taken away keeps no other from starting" {
    hull network create web
    hull run -d --name one --network web busybox sleep 1000
    hull run -d --name two --network web busybox sleep 1000
    # Between the two steps of that: its pin is a plain file.
    umount "$run_root/network/ns/$(sqlite3 "$root/hull.db" "SELECT id FROM engine_container WHERE name = 'one'")"
    hull run --rm --network web busybox nslookup two
    hull rm -f one two
    hull system check
}
