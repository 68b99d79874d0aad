# A damaged or lost database, and full disks.
load hull

teardown() {
    local status=0
    # As long as the small one is mounted nothing is as teardown wants it.
    [ ! -d "$root/containers" ] || hull system check --repair >/dev/null || true
    # shellcheck disable=SC2046
    [ -z "$(containers name)" ] || hull rm -f -v $(containers name) || true
    umount "$root" 2>/dev/null || true
    teardown_hull || status=$?
    return "$status"
}

database_digest() { sha256sum "$root/hull.db" | cut -d' ' -f1; }

# The database stays as it is, and so do containers.
refuses() { # PART
    local before words
    before=$(database_digest)
    for words in 'ps --all' 'run --rm busybox true' 'system check' 'system prune --force' 'rm -f one' 'volume ls'; do
        # shellcheck disable=SC2086
        run_hull $words
        [ "$status" -ne 0 ] || { echo "hull $words succeeded: $output" >&2 && return 1; }
        contains "$1" "$stderr" || { echo "of hull $words" >&2 && return 1; }
    done
    equals "$before" "$(database_digest)"
    [ -e "$root/containers/$one/upper/file" ]
    [ -e "$root/volumes/data/_data/kept" ]
}

make_one() {
    hull run --name one -v data:/data busybox sh -c 'echo x >/file; touch /data/kept'
    one=$(containers id)
    wait_until 10 eval '[ "$(sqlite3 "$root/hull.db" "SELECT count(*) FROM network_container WHERE state != 2")" = 0 ]'
    # All in the file itself.
    sqlite3 "$root/hull.db" 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
    cp "$root/hull.db" good.db
}

restore() {
    rm -f "$root"/hull.db-*
    cp good.db "$root/hull.db"
    equals one "$(hull ps --all --format '{{.Names}}')"
    hull system check
}

@test "a database of something else, cut, overwritten, empty or missing is reported and left alone" {
    make_one
    rm -f "$root"/hull.db-*
    head -c 20000 /dev/urandom >"$root/hull.db"
    refuses 'hull.db'
    contains 'is not a database' "$stderr"
    contains 'damaged' "$stderr"
    restore
    # Its beginning is right, and then there is something else: found when it is read.
    head -c 4096 /dev/zero | tr '\0' x | dd of="$root/hull.db" bs=4096 seek=1 conv=notrunc status=none
    for page in 2 3 4 5 6 7 8; do
        head -c 4096 /dev/zero | tr '\0' x | dd of="$root/hull.db" bs=4096 seek="$page" conv=notrunc status=none
    done
    run_hull ps --all
    [ "$status" -ne 0 ]
    contains 'damaged' "$stderr"
    run_hull system check
    [ "$status" -ne 0 ]
    [ -e "$root/containers/$one/upper/file" ]
    restore
    rm -f "$root"/hull.db-*
    truncate --size 3000 "$root/hull.db"
    refuses 'damaged'
    restore
    # An empty file is a database to SQLite, and none to us, who have containers.
    rm -f "$root"/hull.db-*
    : >"$root/hull.db"
    run_hull ps --all
    refused 1 'knows nothing of'
    run_hull system prune --force
    refused 1 'knows nothing of'
    [ -e "$root/containers/$one/upper/file" ]
    restore
    rm -f "$root"/hull.db*
    run_hull run --rm busybox true
    refused 125 'knows nothing of'
    run_hull volume ls
    refused 1 'knows nothing of'
    [ -e "$root/volumes/data/_data/kept" ]
    restore
}

@test "a page that nobody has read yet: the check finds it" {
    make_one
    rm -f "$root"/hull.db-*
    local page
    page=$(sqlite3 "$root/hull.db" "SELECT rootpage FROM sqlite_schema WHERE name = 'network_endpoint_container'")
    rm -f "$root"/hull.db-*
    dd if=/dev/zero of="$root/hull.db" bs=4096 seek=$((page - 1)) count=1 conv=notrunc status=none
    run_hull system check
    [ "$status" -ne 0 ]
    contains 'hull.db' "$output$stderr"
    cp "$root/hull.db" bad.db
    [ -s bad.db ]
    restore
}

# The root is a small file system, where the image is already.
small_root() {
    mkdir -p "$root"
    mount -t tmpfs -o size=16m,mode=700 none "$root"
    hull run --rm busybox true
    hull system check
}
# Leaves that many KiB of it.
leave() { wait_until 5 fill "$1"; } # who cleans up may write still
fill() {
    rm -f "$root/filler"
    local free
    free=$(df --output=avail -k "$root" | tail -1)
    fallocate -l "$((free - $1))K" "$root/filler"
}
# With room again all is sound, and the command succeeds.
recovers() { # WORD...
    rm -f "$root/filler"
    hull system check || return 1
    run_hull "$@"
    [ "$status" = 0 ] || {
        echo "with room: hull $*: $stderr" >&2
        return 1
    }
}
says_full() { # ROOM WORD...
    [[ "$stderr" == *'No space left'* || "$stderr" == *'disk is full'* || "$stderr" == *'allowed or free'* ]] || {
        printf 'with %s KiB hull %s said: %s\n' "$1" "${*:2}" "$stderr" >&2
        return 1
    }
}
# Its mount is not a container's.
nothing_left_but_root() {
    local found
    found=$(find "$root/containers" "$run_root/containers" -mindepth 1 -maxdepth 1 ! -name skeleton 2>/dev/null)
    [ -z "$found" ] || { echo "left: $found" && return 1; }
}

@test "a full disk while a container is made: it says so, nothing is left, and the next works" {
    small_root
    local room failed=0
    for room in 0 4 8 16 24 32 40 48 64 96 128 192 256; do
        leave "$room"
        run_hull create --name one -v data:/etc busybox true
        if [ "$status" != 0 ]; then
            says_full "$room" create
            failed=$((failed + 1))
            rm -f "$root/filler"
            equals '' "$(containers id)"
            wait_until 5 nothing_left_but_root
            recovers create --name one -v data:/etc busybox true
        fi
        rm -f "$root/filler"
        hull rm one
        hull system check
    done
    [ "$failed" -gt 0 ]
    hull system check
    umount "$root"
}

@test "a full disk while a container starts" {
    small_root
    local room failed=0
    for room in 0 4 8 16 24 32 48 64 96 128 256; do
        hull create --name one -v data:/etc busybox sleep 1000
        leave "$room"
        run_hull start one
        if [ "$status" != 0 ]; then
            says_full "$room" start
            failed=$((failed + 1))
            recovers start one
        fi
        rm -f "$root/filler"
        is_state one running
        hull rm -f one
        hull volume rm data
        hull system check
    done
    [ "$failed" -gt 0 ]
    wait_until 5 nothing_left_but_root
    umount "$root"
}

@test "a full disk while a container is committed, stopped and removed" {
    small_root
    hull run --name one busybox sh -c 'head -c 300000 /dev/urandom >/file'
    local room failed=0
    for room in 0 8 32 64 128 256 320 512; do
        leave "$room"
        run_hull commit one new:1
        if [ "$status" != 0 ]; then
            says_full "$room" commit
            failed=$((failed + 1))
            recovers commit one new:1
        fi
        rm -f "$root/filler"
        hull rmi new:1
        hull system check
    done
    [ "$failed" -gt 0 ]
    hull run -d --name up busybox sleep 1000
    leave 0
    run_hull stop -t 0 up
    # Deleting takes room in a database, which is kept for that.
    run_hull rm -f up one
    succeeded
    equals '' "$(containers id)"
    wait_until 5 nothing_left_but_root
    rm -f "$root/filler"
    hull system check
    umount "$root"
}

@test "what the database has lost of a container keeps nobody from removing its image by force" {
    make_one
    sqlite3 "$root/hull.db" 'DELETE FROM engine_container'
    run_hull rmi --force "$(hull images --quiet busybox)"
    succeeded
    contains 'Untagged: busybox:latest' "$output"
    restore
}
