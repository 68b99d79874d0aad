# The tour of README.md: each of its lines, as it stands there, and what it leads to.
load hull

setup() {
    command -v docker-registry >/dev/null || skip "no docker-registry"
    setup_hull
    export HULL_REGISTRIES=$BATS_TEST_TMPDIR/registries.json DOCKER_CONFIG=$BATS_TEST_TMPDIR/docker
    echo '{"delaySeconds": 0.02}' >"$HULL_REGISTRIES"
    cat >registry.yml <<END
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $BATS_TEST_TMPDIR/registry}}
http: {addr: '127.0.0.1:5000', secret: test}
END
    in_background nsenter --net="/run/netns/$net" docker-registry serve registry.yml
    wait_until 20 answers
    mapfile -t lines < <("$HULL_SOURCE/scripts/tour" 'A tour')
    next=0
}

teardown() {
    [ -n "${next:-}" ] || return 0
    remove_all
    remove_host
}

answers() { curl http://localhost:5000/v2/ >/dev/null 2>&1; }
curl() { nsenter --net="/run/netns/$net" curl --silent --show-error --fail --noproxy '*' "$@"; }

# Does the next line, which must begin with START, and print each of PARTs: line START [PART…]
line() {
    local part
    contains "|$1" "|${lines[next]}"
    eval "${lines[next]}" >output 2>errors </dev/null || {
        printf 'failed: %s\n' "${lines[next]}" && cat errors
        return 1
    } >&2
    next=$((next + 1))
    for part in "${@:2}"; do
        contains "$part" "$(cat output)"
    done
}
serves() { equals "$1" "$(curl http://localhost:8080)"; }

@test "every line of the tour in README.md does what it says" {
    line 'hull run --rm busybox echo hello' hello
    line 'hull run -d --name web'
    local first
    first=$(cut -c1-12 output)
    line 'hull exec web'
    wait_until 10 serves "hello from $first"
    line 'curl http://localhost:8080' "hello from $first"
    line 'hull ps' "$first" busybox '0.0.0.0:8080->80/tcp' Up web
    line 'hull logs web'
    contains 'response:200' "$(cat output errors)"
    line 'hull stats --no-stream web' "$first" web
    line 'hull rm --force web' web
    line 'hull run -d --name web'
    equals 67108864 "$(hull inspect --format '{{.HostConfig.Memory}}' web)"
    wait_until 10 serves "hello from $first"
    line 'curl http://localhost:8080' "hello from $first"
    kill -KILL "$(state web pid)"
    wait_until 10 serves "hello from $first"
    line 'hull exec web'
    line 'hull diff web' 'A /etc/release'
    line 'hull commit' sha256:
    line 'hull push' 'digest: sha256:'
    contains '"1.0"' "$(curl http://localhost:5000/v2/site/tags/list)"
    line 'hull images' localhost:5000/site 1.0 busybox
    line 'hull rmi' Untagged: Deleted:
    line 'hull run --rm localhost:5000/site:1.0 cat /etc/release' 1.0
    contains 'Downloaded newer image' "$(cat errors)"
    line 'hull rm --force web' web
    line 'hull volume rm pages' pages
    line 'hull system df' 'Local Volumes   0'
    equals "${#lines[@]}" "$next"
    equals '' "$(hull ps --all --quiet)"
    nothing_left
}

@test "the runtime's part of README.md" {
    local line
    mapfile -t lines < <("$HULL_SOURCE/scripts/tour" 'The runtime alone')
    equals 4 "${#lines[@]}"
    hull-oci() { "$HULL_OCI" --root "$BATS_TEST_TMPDIR/oci" "$@"; }
    for line in "${lines[@]:0:3}"; do
        eval "$line"
    done
    # The last is for a terminal, on which it runs a shell.
    equals 'hull-oci run --bundle bundle first' "${lines[3]}"
    printf 'echo $(( 6 * 7 )) of $$\nexit\n' |
        script --quiet --return --command "$HULL_OCI --root $BATS_TEST_TMPDIR/oci ${lines[3]#hull-oci }" out >typed
    contains '42 of 1' "$(cat typed)"
}
