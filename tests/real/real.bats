# Software as people run it: Debian's, in images that hull makes of trees (see `trees`) and of its
# own containers, with published ports, volumes, health checks and restarts.
#
# All tests share a store and a network namespace; each has containers, volumes and ports of its own.
load ../cli/hull

setup_file() {
    export skip_reason='' trees root=$BATS_FILE_TMPDIR/root run_root=$BATS_FILE_TMPDIR/run
    export net=$HULL_TEST_ID-real
    trees=$("$HULL_SOURCE/tests/real/trees" 2>"$BATS_FILE_TMPDIR/trees.log") || {
        skip_reason=$(tail -n 1 "$BATS_FILE_TMPDIR/trees.log")
        return 0
    }
    ip netns add "$net"
    ip -n "$net" link set lo up
    hull import "$trees/base.tar.zst" debian
    hull import "$trees/postgres.tar.zst" postgres
    hull import "$trees/system.tar.zst" system
    hull run --name nginx-builder --network none -v "$trees/packages/nginx:/packages:ro" \
        -e DEBIAN_FRONTEND=noninteractive debian sh -ec '
            echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/fast
            apt-get install -y --no-install-recommends /packages/*.deb
            ln -sf /dev/stdout /var/log/nginx/access.log
            ln -sf /dev/stderr /var/log/nginx/error.log'
    hull commit -c 'CMD ["nginx", "-g", "daemon off;"]' -c 'EXPOSE 80' -c 'STOPSIGNAL SIGQUIT' \
        nginx-builder nginx
    hull run --name redis-builder --network none -v "$trees/packages/redis-server:/packages:ro" \
        debian sh -ec 'dpkg --force-unsafe-io -i /packages/*.deb'
    hull commit -c 'CMD ["redis-server", "--bind", "* -::*", "--protected-mode", "no",
                         "--appendonly", "yes"]' -c 'USER redis' \
        -c 'WORKDIR /var/lib/redis' -c 'VOLUME /var/lib/redis' -c 'EXPOSE 6379' \
        -c 'HEALTHCHECK --interval=300ms --retries=3 CMD redis-cli ping' redis-builder redis
    hull rm nginx-builder redis-builder
}

setup() {
    [ -z "$skip_reason" ] || skip "$skip_reason"
    cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
    [ -z "$skip_reason" ] || return 0
    remove_all
}

teardown_file() {
    [ -z "$skip_reason" ] || return 0
    remove_all
    remove_host
}

# From the host, which is the network namespace.
on_host() { timeout --foreground 30 nsenter --net="/run/netns/$net" "$@"; }
get() { on_host curl --silent --show-error --fail --noproxy '*' "$@"; }
is_healthy() { [ "$(hull inspect --format '{{.State.Health.Status}}' "$1")" = healthy ]; }
says() { [ "$("${@:2}" 2>/dev/null)" = "$1" ]; }

@test "dpkg and apt install packages in a container, and commit keeps just what they changed" {
    local sizes
    mapfile -t sizes < <(hull history --human=false --format '{{.Size}}' nginx)
    equals 2 "${#sizes[@]}"
    [ "${sizes[0]}" -gt 1000000 ] && [ "${sizes[0]}" -lt $((sizes[1] / 2)) ]
    hull run --rm nginx dpkg --verify nginx-common
    equals ii "$(hull run --rm nginx dpkg-query -W -f '${db:Status-Abbrev}' nginx | tr -d ' ')"
    # A container of it can go on from there.
    hull run --name purge --network none nginx apt-get purge -y nginx nginx-common >purged
    run_hull diff purge
    contains 'D /usr/sbin/nginx' "$output"
    hull commit purge without
    run_hull run --rm without nginx -v
    equals 127 "$status"
    run_hull run --rm --entrypoint '' nginx nginx -v
    contains 'nginx/1.' "$stderr"
}

@test "nginx serves a volume's pages on a published port, from a read-only root" {
    # The new volume begins as the image's directory.
    hull run --rm -v pages:/var/www/html nginx sh -c \
        'ls /var/www/html/index.nginx-debian.html && echo hello from hull >/var/www/html/index.html'
    hull run -d --name web -p 8080:80 -v pages:/var/www/html:ro --read-only \
        --tmpfs /var/lib/nginx --tmpfs /run nginx
    wait_until 10 says 'hello from hull' get http://127.0.0.1:8080/
    equals 'hello from hull' "$(get http://localhost:8080/)"
    equals 'hello from hull' "$(get 'http://[::1]:8080/')"
    run_hull exec web touch /var/www/html/x
    equals 1 "$status"
    run_hull exec web touch /etc/x
    contains 'Read-only file system' "$stderr"
    # A log that is followed shows what comes, and ends with the container.
    in_background hull logs --follow --tail 0 web
    wait_until 10 sh -c 'get_all() { nsenter --net="/run/netns/$0" curl -sf "http://127.0.0.1:8080/?[1-20]" >/dev/null; }; get_all && grep -q "GET /?20" "$1"' \
        "$net" "$BATS_TEST_TMPDIR/background"
    get 'http://127.0.0.1:8080/?number=[1-500]' >answers
    equals 500 "$(grep -c 'hello from hull' answers)"
    equals 500 "$(hull logs web | grep -c 'GET /?number=.* 200 ')"
    hull exec web nginx -s reload
    equals 'hello from hull' "$(get http://127.0.0.1:8080/)"
    # SIGQUIT, the image's stop signal, ends it with grace.
    hull stop web
    equals 0 "$(state web exitCode)"
    wait_until 10 sh -c '! kill -0 "$0" 2>/dev/null' "${started[0]}"
    run get http://127.0.0.1:8080/
    [ "$status" -ne 0 ]
    hull start web
    wait_until 10 says 'hello from hull' get http://127.0.0.1:8080/
    run_hull run -d --name second -p 8080:80 nginx
    refused 125 "port 0.0.0.0:8080/tcp is published by container 'web'"
    run_hull run --rm -p 8081:80 -p 8081:81 nginx
    refused 125 'port 0.0.0.0:8081/tcp is asked for twice'
}

@test "nginx and apt work in a user namespace of the container's own" {
    hull run -d --name apart --userns private -p 8082:80 nginx
    wait_until 10 eval 'get http://127.0.0.1:8082/ | grep -q "Welcome to nginx"'
    # Its master is the root of the namespace, and another user here.
    equals 0 "$(hull exec apart id -u)"
    [ "$(stat -c %u "/proc/$(state apart pid)")" -gt 65535 ]
    hull exec apart apt-get purge -y libxml2 >purged
    equals 'root:root' "$(hull exec apart stat -c %U:%G /var/lib/dpkg/status)"
    hull stop apart
    equals 0 "$(state apart exitCode)"
    # What was changed there belongs to the image's own users in an image of it.
    hull commit apart changed
    equals 'root:root' "$(hull run --rm changed stat -c %U:%G /var/lib/dpkg/status)"
}

@test "redis keeps its data over kill, restart and rm, and its health is known" {
    hull run -d --name cache --restart always -p 127.0.0.1:6379:6379 -v cached:/var/lib/redis redis
    wait_until 20 is_healthy cache
    equals redis "$(hull exec cache id -un)"
    equals OK "$(hull exec cache redis-cli set key value)"
    equals '+PONG' "$(on_host bash -c 'exec 3<>/dev/tcp/127.0.0.1/6379; echo PING >&3; read -r -u 3 line; echo "${line%?}"')"
    hull run --rm --network host redis redis-benchmark -q -c 20 -n 4000 -P 4 -t set,get | tr '\r' '\n' >measured
    equals 2 "$(grep -c 'requests per second' measured)"
    local pid
    pid=$(state cache pid)
    kill -KILL "$pid"
    wait_until 10 says value hull exec cache redis-cli get key
    [ "$(state cache pid)" != "$pid" ]
    equals 1 "$(hull inspect --format '{{.RestartCount}}' cache)"
    # What follows is written last, and must be in the log when it is stopped.
    hull exec cache redis-cli set key again
    hull restart cache
    wait_until 10 says again hull exec cache redis-cli get key
    wait_until 20 is_healthy cache
    hull exec cache redis-cli debug sleep 0
    hull pause cache
    run_hull exec cache true
    [ "$status" -ne 0 ]
    hull unpause cache
    hull rm --force --volumes cache
    hull run -d --name other -v cached:/var/lib/redis --init redis
    wait_until 10 says again hull exec other redis-cli get key
    hull stop other
    equals 0 "$(state other exitCode)"
    contains 'bye bye' "$(hull logs other)"
}

# PostgreSQL as Debian has set it up, by its own user, with the groups that it has in the image.
start_postgres() {
    printf 'local all all trust\nhost all all all trust\n' >hba.conf
    hull run -d --name database --network shop --network-alias db -p 5432:5432 -u postgres \
        -v tables:/var/lib/postgresql --shm-size 128m -v "$PWD/hba.conf:/hba.conf:ro" \
        --tmpfs /var/run/postgresql:mode=1777 --stop-signal SIGINT \
        --health-cmd 'pg_isready --host localhost' --health-interval 300ms postgres \
        /usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main \
        -c config_file=/etc/postgresql/15/main/postgresql.conf -c hba_file=/hba.conf \
        -c 'listen_addresses=*'
    wait_until 30 is_healthy database
}
in_shop() { hull run --rm --network shop -u postgres postgres "$@"; }

@test "PostgreSQL serves other containers by name, and the host; a crash loses nothing" {
    hull network create shop
    start_postgres
    in_shop pgbench --quiet --initialize --scale 1 --host db postgres
    hull run --rm --network host postgres pgbench --client 4 --transactions 50 --no-vacuum \
        --host 127.0.0.1 --user postgres postgres >measured
    contains 'number of transactions actually processed: 200/200' "$(cat measured)"
    equals 200 "$(in_shop psql -h database -Atc 'SELECT count(*) FROM pgbench_history' postgres)"
    equals on "$(in_shop psql -h db -Atc 'SHOW ssl' postgres)"
    hull kill database
    hull rm database
    start_postgres
    contains 'database system was not properly shut down' "$(hull logs database 2>&1)"
    equals 200 "$(in_shop psql -h db -Atc 'SELECT count(*) FROM pgbench_history' postgres)"
    hull stop database
    equals 0 "$(state database exitCode)"
    contains 'database system is shut down' "$(hull logs database 2>&1)"
    hull rm database
    hull network rm shop
    hull volume rm tables
}

is_booted() { says running hull exec machine systemctl is-system-running; }

@test "systemd boots, runs services, and shuts down when it is stopped" {
    hull run -d --name machine --hostname machine --tmpfs /run --tmpfs /run/lock --tmpfs /tmp \
        -e container=hull --stop-signal SIGRTMIN+3 --cap-add SYS_ADMIN --cgroupns host \
        --tmpfs /sys/fs/cgroup -v /sys/fs/cgroup/systemd:/sys/fs/cgroup/systemd system /sbin/init
    wait_until 30 is_booted
    cat >greet.service <<-END
		[Service]
		Type=oneshot
		User=nobody
		ExecStart=sh -c 'id -un; cat /proc/self/cgroup'
	END
    hull cp greet.service machine:/etc/systemd/system/
    hull exec machine systemctl daemon-reload
    hull exec machine systemctl start greet
    run_hull exec machine journalctl --unit greet --output cat
    contains nobody "$output"
    contains /system.slice/greet.service "$output"
    contains greet.service "$(hull diff machine)"
    hull stop machine
    equals 0 "$(state machine exitCode)"
    local id
    id=$(hull inspect --format '{{.Id}}' machine)
    equals '' "$(find /sys/fs/cgroup -type d -name "*$id*")"
}

@test "gcc compiles part of hull, as a user other than root, and it runs" {
    cat >main.c <<-END
		#include <stdio.h>
		#include "base/memory.h"
		int main(void) { return puts(memory_format("%s of %d", "made", 42)) < 0; }
	END
    mkdir -m 777 out
    hull run --rm -u 1000:1000 -v "$HULL_SOURCE/src:/src:ro" -v "$PWD/out:/out" -v "$PWD/main.c:/main.c:ro" \
        -w /out system sh -c 'gcc -std=gnu17 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -I/src -o program /main.c /src/base/memory.c &&
            ./program'
    equals '1000:1000' "$(stat -c %u:%g out/program)"
    equals 'made of 42' "$(hull run --rm --init --read-only --cap-drop ALL --network none -v "$PWD/out:/out:ro" \
        debian /out/program)"
}
