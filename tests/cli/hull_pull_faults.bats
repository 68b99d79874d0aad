# hull pull from a registry that is broken or hostile (hostile_registry.py), and pulls that are
# killed, run out of space, or run at the same time.

load helpers
load registry

setup_file() {
    command -v python3 >/dev/null || skip "no python3"
    export DIRECTORY=$BATS_FILE_TMPDIR
    # 256 MiB of nothing in 8 KiB: no honest layer is compressed as much.
    head -c 256M /dev/zero | zstd -q -c >"$DIRECTORY/bomb.zst"
    start_network
    start_hostile 5100 log
    start_hostile 5200 bomb.log "$DIRECTORY/bomb.zst"
}

start_hostile() { # PORT LOG [LAYER]
    inside python3 "$BATS_TEST_DIRNAME/hostile_registry.py" "$1" "$DIRECTORY/$2" ${3:+"$3"} \
        >"$DIRECTORY/$2.err" 2>&1 3>&- &
    SERVERS="$! $SERVERS"
    wait_until 20 answers "http://127.0.0.1:$1/v2/"
}

teardown_file() { stop_servers; }

setup() {
    use_hull
    DIRECTORY=$BATS_FILE_TMPDIR
    echo '{"delaySeconds": 0.02, "stallSeconds": 1}' >"$HULL_REGISTRIES"
    # Of the layer that doesn't compress, as manifests don't depend on the fault.
    big=$( (inside curl -s http://127.0.0.1:5100/v2/good/manifests/1) | jq -r '.layers[1].digest')
}

# pull REPOSITORY: of the hostile registry, into an empty store unless $keep is set; $log is what it
# was asked then
pull() {
    local before
    [ -n "${keep:-}" ] || rm -rf "$root"
    before=$(wc -l <"$DIRECTORY/log")
    run hull pull "127.0.0.1:5100/$1:1"
    echo "$output"
    log=$(tail -n "+$((before + 1))" "$DIRECTORY/log")
    echo "$log"
}

# The lines of $log about the big layer: METHOD RANGE STATUS
big_requests() { awk -v path="/$big" 'index($0, path) { print $1, $3, $5 }' <<<"$log"; }

# Nothing is wrong with the store: no leftover is worth a line.
check_store() {
    run hull system check
    echo "$output"
    [ "$status" = 0 ]
}

# A failed pull is status 1, and leaves nothing that a check finds.
refused() { # TEXT
    [ "$status" = 1 ]
    [[ ${lines[-1]} == "hull: pull: 127.0.0.1:"*"$1"* ]]
    check_store
    run hull images --quiet
    [ "$output" = "" ]
}

@test "a connection that breaks in a layer is gone on with where it broke" {
    pull drop
    [ "$status" = 0 ]
    half=$(($(stat -c %s "$root/images/blobs/sha256/${big#sha256:}") / 2))
    [ "$(big_requests)" = "GET - 200
GET bytes=$half- 206" ]
    check_store
}

@test "a server that knows no ranges sends all of it again" {
    pull norange
    [ "$status" = 0 ]
    [[ $(big_requests) =~ ^"GET - 200"$'\n'"GET bytes="[0-9]+"- 200"$ ]]
    check_store
}

@test "as long as a download gets on, it is gone on with" {
    pull dropping
    [ "$status" = 0 ]
    [ "$(big_requests | wc -l)" = 7 ] # more than there are attempts, which are five
    check_store
}

@test "a download that doesn't get on ends, and a later pull goes on with it" {
    pull never
    [ "$status" = 1 ]
    [ "$(big_requests | wc -l)" = 5 ]
    [[ $output == *"transfer closed with "*" bytes remaining to read"* ]]
    run hull pull 127.0.0.1:5100/good:1
    [ "$status" = 0 ]
    grep -q "/v2/good/blobs/$big bytes=50- - 206" "$DIRECTORY/log"
    check_store
}

@test "what is left of a broken download may be damaged: then it comes anew" {
    pull never
    [ "$status" = 1 ]
    part=$root/images/ingest/$(cut -c 8-47 <<<"$big")
    [ -s "$part" ]
    printf 'x' | dd of="$part" bs=1 seek=20 conv=notrunc status=none
    keep=1 pull good-damaged
    [ "$status" = 0 ]
    [ "$(big_requests)" = "GET bytes=50- 206
GET - 200" ]
    check_store
}

@test "a server that stalls is given up, and asked again" {
    pull stall
    [ "$status" = 0 ]
    [[ $(big_requests) =~ ^"GET - 200"$'\n'"GET bytes="[0-9]+"- 206"$ ]]
    check_store
}

@test "a server that sends another part than was asked for is caught" {
    pull otherpart
    refused "sent another part than was asked for"
}

@test "a lie about the digest is caught, whoever tells it" {
    pull flipped
    refused "the digest of what came is sha256:"
    pull othermanifest
    refused "manifest: the digest of what came is sha256:"
}

@test "a lie about the length is caught before all of it came" {
    pull endless
    refused "bytes came that the manifest says"
    pull shorter
    refused "bytes, and the manifest says"
    pull longer
    refused "bytes, and the manifest says"
}

@test "a manifest without end, or too large, is given up" {
    pull endlessmanifest
    refused "the answer is longer than 4194304 bytes"
    pull hugemanifest
    refused "the answer is longer than 4194304 bytes"
}

@test "a busy registry is asked again when it says, and a broken one after a while" {
    SECONDS=0
    pull busy
    [ "$status" = 0 ]
    [ "$SECONDS" -ge 2 ] # one second for HEAD and GET of the manifest, and more for the blobs
    [ "$(grep -c ' 429$' <<<"$log")" = 5 ]
    pull broken
    [ "$status" = 0 ]
    [ "$(grep -c ' 500$' <<<"$log")" = 10 ]
    check_store
}

@test "who wants to be left alone for an hour is, and who never recovers is given up" {
    SECONDS=0
    pull limited
    [ "$SECONDS" -lt 30 ]
    refused "has had too many requests of ours: HTTP status 429 (try again in 3600 s)"
    pull dead
    [ "$(grep -c ' 503$' <<<"$log")" -ge 5 ]
    # What a registry says doesn't reach the terminal as it is.
    [ "$status" = 1 ]
    [[ ${lines[-1]} == "hull: pull: 127.0.0.1:5100/dead:1: blob: "*"HTTP status 503: ?[31mno disk" ]]
}

@test "credentials don't go where the registry sends us for a blob" {
    mkdir "$DOCKER_CONFIG"
    echo '{"auths": {"127.0.0.1:5100": {"auth": "dXNlcjpzZWNyZXQ="}}}' >"$DOCKER_CONFIG/config.json"
    pull private
    [ "$status" = 0 ]
    [ "$(grep -c '^elsewhere GET /blob/.* - - 200$' <<<"$log")" = 3 ]
    lacks '^elsewhere.*\(Bearer\|Basic\)' "$log"
    # The registry had a token, and only the token server the password.
    grep -q '^GET /v2/private/blobs/.* Bearer:token-' <<<"$log"
    grep -q '^token GET /private?.*scope=repository%3Aprivate%3Apull.* Basic:dXNlcjpzZWNyZXQ=' <<<"$log"
    lacks Basic "$(grep -v '^token' <<<"$log")"
    pull redirect
    [ "$status" = 0 ]
    pull loop
    refused "it redirects again and again"
    pull scheme
    refused "it redirects to nowhere"
}

@test "a layer that no registry may have comes from where its manifest says, without credentials" {
    mkdir "$DOCKER_CONFIG"
    echo '{"auths": {"127.0.0.1:5100": {"auth": "dXNlcjpzZWNyZXQ="}}}' >"$DOCKER_CONFIG/config.json"
    pull foreign
    [ "$status" = 0 ]
    grep -q "^GET /v2/foreign/blobs/$big - - 404" <<<"$log"
    grep -q "^elsewhere GET /blob/$big - - 200" <<<"$log"
    check_store
}

@test "a token that ends during the pull is renewed; no token is an error" {
    pull expiring
    [ "$status" = 0 ]
    [ "$(grep -c '^token GET' <<<"$log")" -ge 2 ]
    check_store
    pull moody
    [ "$status" = 0 ]
    [ "$(grep -c '^token GET /moody?.* 503$' <<<"$log")" = 2 ]
    pull tokenless
    refused "127.0.0.1:5100 answered unexpectedly: HTTP status 500"
}

@test "a compression bomb is caught while it is unpacked" {
    run hull pull 127.0.0.1:5200/good:1
    echo "$output"
    refused "unpacked it is more than 1200 times as large: a bomb"
    [ "$(du -s --block-size=1M "$root" | cut -f 1)" -lt 10 ]
}

@test "a disk that is full is said, and nothing is left on it" {
    mkdir "$BATS_TEST_TMPDIR/small"
    run small_disk
    echo "$output"
    [ "$status" = 0 ]
}

# The big layer is 2 MiB, and that much again unpacked.
small_disk() {
    (inside unshare --mount sh -c 'set -e
        mount -t tmpfs -o size=3m none "$2"
        status=0
        "$1" --root "$2/root" pull 127.0.0.1:5100/good-small:1 >"$2.out" 2>&1 || status=$?
        cat "$2.out"
        [ "$status" = 1 ]
        grep -q "No space left on device\|are allowed or free" "$2.out"
        [ "$(df --output=used --block-size=1K "$2" | tail -1)" -lt 300 ]
        "$1" --root "$2/root" system check
        mount -o remount,size=20m "$2"
        "$1" --root "$2/root" pull --quiet 127.0.0.1:5100/good-small:1
        "$1" --root "$2/root" system check' sh "$hull_program" "$BATS_TEST_TMPDIR/small")
}

@test "ten pulls of the same image at the same time fetch each blob once" {
    local i pids=()
    for i in {1..10}; do
        hull pull 127.0.0.1:5100/slow:1 >"$BATS_TEST_TMPDIR/out.$i" 2>&1 3>&- &
        pids+=($!)
    done
    for i in {1..10}; do
        wait "${pids[i - 1]}" || { cat "$BATS_TEST_TMPDIR/out.$i"; false; }
    done
    cat "$BATS_TEST_TMPDIR"/out.*
    grep 'GET /v2/slow/blobs' "$DIRECTORY/log"
    [ "$(grep -c 'GET /v2/slow/blobs' "$DIRECTORY/log")" = 3 ]
    [ "$(cat "$BATS_TEST_TMPDIR"/out.* | grep -c 'Status: Downloaded newer image')" = 1 ]
    check_store
}

@test "neither prunes nor pulls that fail take anything from a pull" {
    local i pids=()
    for i in {1..4}; do
        hull pull "127.0.0.1:5100/slow-$i:1" >"$BATS_TEST_TMPDIR/out.$i" 2>&1 3>&- &
        pids+=($!)
    done
    while kill -0 "${pids[@]}" 2>/dev/null; do
        hull image prune --force >/dev/null
        run hull pull --quiet 127.0.0.1:5100/longer:1
        [ "$status" = 1 ]
    done
    for i in {1..4}; do
        wait "${pids[i - 1]}" || { cat "$BATS_TEST_TMPDIR/out.$i"; false; }
    done
    [ "$(hull images --format '{{.Repository}}' | grep -c slow)" = 4 ]
    check_store
}

@test "a pull that is killed at any instant leaves what the next one goes on with" {
    RANDOM=$HULL_SEED
    local round rounds=$((${HULL_LONG:-0} * 180 + 20)) pid
    for ((round = 0; round < rounds; round++)); do
        hull pull 127.0.0.1:5100/slow-killed:1 >/dev/null 2>&1 3>&- &
        pid=$!
        sleep "0.$(printf '%03d' $((RANDOM % 400)))"
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
        if ((round % 5 == 4)); then
            hull pull --quiet 127.0.0.1:5100/good-killed:1
            check_store
            cmp "$(layers_of 127.0.0.1:5100/good-killed:1 | head -n 1)/random" \
                <(python3 -c 'import random, sys; sys.stdout.buffer.write(random.Random(1).randbytes(2 << 20))')
            rm -r "$root"
        fi
    done
}
