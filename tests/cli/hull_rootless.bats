# hull for users other than root.
load helpers

# A copy that such a user may execute, laid out as the build tree is, and a home.
setup() {
    place=$(mktemp --directory "${HULL_TEST_DIRECTORY:-/tmp}/rXXXXXX")
    chmod 755 "$place"
    local program
    for program in cli/hull oci/verb/hull-oci monitor/hull-monitor network/hull-dns network/hull-port; do
        mkdir -p "$place/build/$(dirname "$program")"
        cp "$HULL_BUILD/src/$program" "$place/build/$program"
    done
    mkdir -m 700 "$place/home" "$place/run"
    chown 54321:54321 "$place/home" "$place/run"
    as_user test -x "$place/build/cli/hull" || skip "other users may not look into $place"
    as_user unshare --user true || skip "users may not make user namespaces here"
    cd /
}

as_user() {
    timeout --foreground 60 setpriv --reuid 54321 --regid 54321 --clear-groups \
        env HOME="$place/home" XDG_RUNTIME_DIR="$place/run" ASAN_OPTIONS=detect_leaks=0 "$@" 3>&-
}

hull() { as_user "$place/build/cli/hull" "$@"; }

keeper() { cut -d ' ' -f 1 "$place/run/hull/namespace"; }

teardown() {
    hull ps --all --quiet | xargs --no-run-if-empty -n 1 timeout 60 setpriv --reuid 54321 --regid 54321 \
        --clear-groups env HOME="$place/home" XDG_RUNTIME_DIR="$place/run" "$place/build/cli/hull" rm --force || true
    kill "$(keeper)" || true
    rm -rf --one-file-system "$place"
}

@test "a container of an ordinary user: root inside, the user outside" {
    run hull run --rm --network host busybox sh -c 'id -u; touch /file; ls -ln /file; cat /proc/self/uid_map'
    succeeded
    equals '0 0 0 54321 1' "$(awk 'NR == 1 {print $1} /file/ {print $3} NF == 3 {print $1, $2, $3}' <<<"$output" | xargs)"
}

@test "commands share what one of them started" {
    hull run -d --name web --network none -v data:/data busybox sh -c 'echo up; echo kept >/data/file; sleep 1000'
    equals web "$(hull ps --format '{{.Names}}')"
    equals 0 "$(hull exec web id -u)"
    wait_until 10 eval '[ "$(hull logs web)" = up ]'
    equals kept "$(hull cp web:/data/file - | tar -xOf -)"
    local first
    first=$(keeper)
    hull stop -t 0 web
    hull start web
    equals "$first" "$(keeper)"
    [ "$(stat -c %u "/proc/$(hull inspect --format '{{.State.Pid}}' web)")" = 54321 ]
    hull rm --force web
    equals '' "$(hull ps --all --quiet)"
}

@test "images come and go as for root" {
    hull create --name one busybox true
    hull commit one mine:1
    hull save mine:1 >"$BATS_TEST_TMPDIR/archive"
    hull rm one
    hull rmi mine:1
    hull load <"$BATS_TEST_TMPDIR/archive"
    run hull run --rm --network none mine:1 echo loaded
    succeeded
    equals loaded "$output"
}

@test "the keeper of the namespaces may be killed" {
    hull run --rm --network none busybox true
    local first
    first=$(keeper)
    kill -KILL "$first"
    hull run --rm --network none busybox true
    [ "$(keeper)" != "$first" ]
}

@test "a directory of somebody else is refused" {
    mkdir "$place/other"
    chmod 777 "$place/other"
    run as_user "$place/build/cli/hull" --run-root "$place/other" images
    failed_with 125 "isn't a directory of yours alone"
}
