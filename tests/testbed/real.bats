# Software as people run it, in virtual machines: see `real`.
load ../cli/helpers

hull() { /usr/local/bin/hull "$@"; }
says() { [ "$("${@:2}" 2>/dev/null)" = "$1" ]; }
is_healthy() { [ "$(hull inspect --format '{{.State.Health.Status}}' "$1")" = healthy ]; }

setup_file() {
    modprobe kvm_amd
    modprobe tun
    # The virtual host's disk has no room for all of it.
    mkdir -p /var/lib/hull
    mount -t tmpfs -o size=5g images /var/lib/hull
    hull load -i "${HULL_SOURCE:-/hull}/images.tar"
}

setup() { cd "$BATS_TEST_TMPDIR" || return; }
teardown() { hull ps -aq | xargs -r hull rm -f >/dev/null; }

@test "nginx serves a volume's pages on a published port, and ends with grace" {
    hull run -d --isolation vm --name web -p 8080:80 -v pages:/var/www/html nginx
    hull exec web sh -c 'echo hello from a machine >/var/www/html/index.html'
    wait_until 30 says 'hello from a machine' curl -s http://127.0.0.1:8080/
    curl -s 'http://127.0.0.1:8080/?number=[1-100]' >answers
    equals 100 "$(grep -c 'hello from a machine' answers)"
    hull exec web nginx -s reload
    wait_until 30 says 'hello from a machine' curl -s http://127.0.0.1:8080/
    hull stop -t 60 web
    equals 0 "$(hull inspect -f '{{.State.ExitCode}}' web)"
    hull start web
    wait_until 60 says 'hello from a machine' curl -s http://127.0.0.1:8080/
}

@test "redis keeps its data over kill, stop and rm, and its health is known" {
    hull run -d --isolation vm --name cache -p 6379:6379 -v cached:/var/lib/redis redis
    wait_until 60 is_healthy cache
    equals redis "$(hull exec cache id -un)"
    equals OK "$(hull exec cache redis-cli set key value)"
    hull exec cache redis-benchmark -q -c 5 -n 1000 -t set,get | tr '\r' '\n' >measured
    equals 2 "$(grep -c 'requests per second' measured)"
    equals '+PONG' "$(bash -c 'exec 3<>/dev/tcp/127.0.0.1/6379; echo PING >&3; read -r -u 3 line; echo "${line%?}"')"
    hull stop -t 60 cache
    contains 'bye bye' "$(hull logs cache)"
    hull rm cache
    hull run -d --isolation vm --name other -v cached:/var/lib/redis redis
    wait_until 60 says value hull exec other redis-cli get key
}

@test "PostgreSQL serves a container by name; a power cut loses nothing that was committed" {
    hull network create shop
    printf 'local all all trust\nhost all all all trust\n' >hba.conf
    start() {
        hull run -d --isolation vm --name database --network shop --network-alias db -u postgres \
            -v tables:/var/lib/postgresql -v "$PWD/hba.conf:/hba.conf:ro" --memory 512m \
            --tmpfs /var/run/postgresql:mode=1777 --stop-signal SIGINT \
            --health-cmd 'pg_isready --host localhost' --health-interval 1s postgres \
            /usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main \
            -c config_file=/etc/postgresql/15/main/postgresql.conf -c hba_file=/hba.conf -c 'listen_addresses=*'
        wait_until 400 is_healthy database
    }
    in_shop() { hull run --rm --network shop -u postgres postgres "$@"; }
    start
    in_shop pgbench --quiet --initialize --scale 1 --host db postgres
    in_shop pgbench --client 2 --transactions 25 --no-vacuum --host db postgres >measured
    contains 'number of transactions actually processed: 50/50' "$(cat measured)"
    hull kill database
    hull rm database
    start
    contains 'database system was not properly shut down' "$(hull logs database 2>&1)"
    equals 50 "$(in_shop psql -h db -Atc 'SELECT count(*) FROM pgbench_history' postgres)"
    hull stop -t 60 database
    equals 0 "$(hull inspect -f '{{.State.ExitCode}}' database)"
    hull rm database
    hull network rm shop
}

@test "systemd boots as the first process, runs services, and shuts down when it is stopped" {
    hull run -d --isolation vm --name machine --hostname machine --privileged --memory 512m \
        -e container=hull --stop-signal SIGRTMIN+3 --tmpfs /run --tmpfs /run/lock system /sbin/init
    wait_until 400 says running hull exec machine systemctl is-system-running
    printf '[Service]\nType=oneshot\nUser=nobody\nExecStart=sh -c "id -un; cat /proc/self/cgroup"\n' >greet.service
    hull cp greet.service machine:/etc/systemd/system/
    hull exec machine systemctl daemon-reload
    hull exec machine systemctl start greet
    contains greet.service "$(hull exec machine journalctl --unit greet --output cat)"
    hull stop -t 90 machine
    # Its last act is reboot(2), which ends a process namespace with SIGINT.
    equals 130 "$(hull inspect -f '{{.State.ExitCode}}' machine)"
}

@test "gcc compiles, as a user other than root, and it runs" {
    printf '#include <stdio.h>\nint main(void) { return puts("made in a machine") < 0; }\n' >main.c
    mkdir -m 777 out
    hull run --rm --isolation vm --memory 512m -u 1000:1000 -v "$PWD/out:/out" -v "$PWD/main.c:/main.c:ro" \
        -w /out system sh -c 'gcc -O2 -Wall -o program /main.c && ./program' >said
    equals 'made in a machine' "$(cat said)"
    equals 1000:1000 "$(stat -c %u:%g out/program)"
}
