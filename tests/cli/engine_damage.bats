# A damaged or lost database, and full disks.
load hull

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
