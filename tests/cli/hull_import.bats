# hull import of what a URL names, from a server that does it well and from one that doesn't
# (file_server.py).

load helpers
load registry

setup_file() {
    command -v python3 >/dev/null || skip "no python3"
    export DIRECTORY=$BATS_FILE_TMPDIR
    start_network
    make_tree "$DIRECTORY/tree"
    tar -C "$DIRECTORY/tree" -cf "$DIRECTORY/tree.tar" .
    inside python3 "$BATS_TEST_DIRNAME/file_server.py" 8000 "$DIRECTORY/tree.tar" "$DIRECTORY/log" >"$DIRECTORY/err" 2>&1 3>&- &
    SERVERS="$! $SERVERS"
    wait_until 20 answers http://127.0.0.1:8000/none
}

teardown_file() { stop_servers; }

setup() {
    use_hull
    DIRECTORY=$BATS_FILE_TMPDIR
    echo '{"delaySeconds": 0.02, "stallSeconds": 1, "attempts": 3}' >"$HULL_REGISTRIES"
}

asked() { grep -c "^/$1$" "$DIRECTORY/log"; }
# import PATH [ARGUMENT...]
import() {
    local path=$1
    shift
    run hull import "http://127.0.0.1:8000/$path" "$@"
    echo "$output"
}
nothing_is_left() {
    equals '' "$(hull images -q)"
    equals '' "$(ls -A "$root/images/blobs/sha256" "$root/images/unpack" "$root/images/ingest" | grep -v ':$' || true)"
    hull system check
}

@test "a URL is imported as a file is, and the history says from where" {
    import 'whole?key=secret' --change 'CMD ["sh"]' from:url
    [ "$status" = 0 ]
    [[ $output == sha256:* ]]
    same_tree "$DIRECTORY/tree" "$(layers_of from:url)"
    equals 'Imported from http://127.0.0.1:8000/whole' "$(hull history --format '{{.Comment}}' from:url)"
    equals '[sh]' "$(hull image inspect --format '{{.Config.Cmd}}' from:url)"
    import chunked from:chunks
    [ "$status" = 0 ]
    import away from:elsewhere
    [ "$status" = 0 ]
    same_tree "$DIRECTORY/tree" "$(layers_of from:elsewhere)"
    hull system check
}

@test "a connection that breaks is tried again, and half an archive is no image" {
    import once from:twice
    [ "$status" = 0 ]
    equals 2 "$(asked once)"
    same_tree "$DIRECTORY/tree" "$(layers_of from:twice)"
    import busy from:busy
    [ "$status" = 0 ]
    hull rmi from:twice from:busy
    import always x:1
    [ "$status" = 1 ]
    equals 3 "$(asked always)"
    [[ ${lines[-1]} == *"http://127.0.0.1:8000/always: "* ]]
    import stall x:1
    [ "$status" = 1 ]
    nothing_is_left
}

@test "what isn't there, isn't ours, leads round, or has no end" {
    import none x:1
    [ "$status" = 1 ]
    [[ ${lines[-1]} == "hull: import: http://127.0.0.1:8000/none: the server answers HTTP status 404" ]]
    import round x:1
    [ "$status" = 1 ]
    [[ ${lines[-1]} == *"redirects again and again"* ]]
    import endless x:1
    [ "$status" = 1 ]
    [[ ${lines[-1]} == *"longer than the "*" MiB that there is room for"* ]]
    run hull import http://user:password@127.0.0.1:8000/whole x:1
    [ "$status" = 1 ]
    [[ $output == *"isn't http://HOST/PATH or https://HOST/PATH" ]]
    run hull import http://127.0.0.1:1/whole x:1
    [ "$status" = 1 ]
    run hull import https:///whole x:1
    [ "$status" = 1 ]
    # More than the disk has room for, where nobody said how much it would be.
    root=$BATS_TEST_TMPDIR/small
    mkdir "$root"
    mount -t tmpfs -o size=16m hull-test "$root"
    import growing x:1
    umount --lazy "$root"
    [ "$status" = 1 ]
    [[ ${lines[-1]} == *"MiB that there is room for"* ]]
    root=$BATS_TEST_TMPDIR/root
    nothing_is_left
}
