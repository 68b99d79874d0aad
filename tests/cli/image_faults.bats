# The image store when the disk is full, when its users are killed, and when they are many.
load image

setup_file() {
    export FILES=$BATS_FILE_TMPDIR
    mkdir -p "$FILES/tree/some/where"
    cp /bin/busybox "$FILES/tree/program"
    for i in $(seq 200); do
        echo "$i" >"$FILES/tree/some/where/$i"
    done
    tar --create --directory "$FILES/tree" --file "$FILES/tree.tar" .
    head -c 3000000 /dev/urandom >"$FILES/tree/noise"
    tar --create --directory "$FILES/tree" --file "$FILES/large.tar" .
    rm "$FILES/tree/noise"
    # An archive of two images that share a layer.
    "$HULL" --root "$FILES/store" import "$FILES/tree.tar" one:1 >/dev/null
    "$HULL" --root "$FILES/store" import -m more "$FILES/large.tar" two:1 >/dev/null
    "$HULL" --root "$FILES/store" tag two:1 two:2
    "$HULL" --root "$FILES/store" save one:1 two >"$FILES/images.tar"
}

# Runs a script with $root on a small tmpfs, in a mount namespace of its own: on_small_disk SIZE SCRIPT
on_small_disk() {
    mkdir -p small
    # hull and equals as here.
    HULL=$HULL root=$PWD/small run unshare --mount bash -euc "mount -t tmpfs -o size=$1 none small
        $(declare -f hull equals)
        $2"
}

@test "a full disk fails an import and a load, and leaves room as before" {
    on_small_disk 6m '
        hull images >/dev/null
        before=$(df --output=used small | tail -n 1)
        for command in "import $FILES/large.tar x" "load -i $FILES/images.tar"; do
            ! hull $command 2>errors || exit 1
            cat errors
            grep -qE "No space left on device|allowed or free" errors
            hull system check
            [ $(($(df --output=used small | tail -n 1) - before)) -lt 40 ]
        done
        hull import "$FILES/tree.tar" x
        hull system check
        hull rmi x
        hull images -q'
    echo "$output"
    equals 0 "$status"
}

@test "wherever on its way an import meets the full disk, it succeeds or leaves nothing" {
    on_small_disk 12m '
        hull images >/dev/null
        failed=0 succeeded=0
        for room in $(seq 0 90 990) 1500 2500 4100 4900 4996 5000 5004 5008 5012 5020 5040 6000 8000; do
            left=$(df --output=avail small | tail -n 1)
            [ "$left" -le "$room" ] || head -c $(((left - room) * 1024)) /dev/zero >small/filler
            if hull import "$FILES/tree.tar" x:1 >/dev/null 2>errors; then
                succeeded=$((succeeded + 1))
                rm -f small/filler
                hull rmi x:1 >/dev/null
            else
                failed=$((failed + 1))
                grep -qE "No space left|allowed or free" errors || { cat errors; exit 1; }
                rm -f small/filler
            fi
            equals "" "$(hull images -q)"
            hull system check || { echo "with $room KiB"; exit 1; }
        done
        echo "$failed failed, $succeeded succeeded"
        [ "$failed" -gt 8 ] && [ "$succeeded" -gt 2 ]'
    echo "$output"
    equals 0 "$status"
}

@test "on a full disk images can be listed, and what isn't used be removed" {
    on_small_disk 12m '
        hull import "$FILES/tree.tar" x:1
        hull import -m other "$FILES/tree.tar" x:1
        head -c 20m /dev/zero >small/filler 2>/dev/null || true
        equals 0 "$(df --output=avail small | tail -n 1 | tr -d " ")"
        equals 2 "$(hull images -q | wc -l)"
        hull image inspect x:1 >/dev/null
        hull save x:1 >/dev/null
        hull image prune -f
        equals 1 "$(hull images -q | wc -l)"
        hull rmi x:1
        equals "" "$(hull images -q)"
        hull system check'
    echo "$output"
    equals 0 "$status"
}

# A verb that is killed after so many milliseconds, unless it ended before: killed_after MS VERB...
killed_after() {
    local pid milliseconds=$1
    shift
    "$HULL" --root "$root" "$@" >/dev/null 2>&1 3>&- &
    pid=$!
    sleep "$((milliseconds / 1000)).$(printf %03d $((milliseconds % 1000)))"
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || killed=$((killed + 1))
}

# The store after somebody was killed: one prune makes it sound, and what nobody touched is there.
mended() {
    hull image prune -f >/dev/null
    is_sound || return
    equals "$kept" "$(field kept:1 '{{.Id}}')"
    [ -x "$(field kept:1 '{{.GraphDriver.Data.LowerDir}}')/bin/tool" ]
}

@test "whoever is killed at whatever instant, a prune leaves the store sound" {
    RANDOM=$((${HULL_SEED:-1} % 32768))
    rounds=20
    [ -z "${HULL_LONG:-}" ] || rounds=200
    import_image kept:1 kept
    kept=$(field kept:1 '{{.Id}}')
    killed=0
    # How long they take here.
    start=$(date +%s%N)
    hull load -i "$FILES/images.tar"
    loading=$((($(date +%s%N) - start) / 1000000 + 5))
    for ((round = 0; round < rounds; round++)); do
        case $((round % 5)) in
        0) killed_after $((RANDOM % loading)) load -i "$FILES/images.tar" ;;
        1) killed_after $((RANDOM % loading)) import -m "$round" "$FILES/large.tar" "new:$((round % 3))" ;;
        2)
            hull load -i "$FILES/images.tar" >/dev/null
            killed_after $((RANDOM % 30)) rmi one:1 two:1 two:2
            ;;
        3)
            hull load -i "$FILES/images.tar" >/dev/null
            hull tag kept:1 two:1
            hull tag kept:1 two:2
            killed_after $((RANDOM % 30)) image prune -f
            ;;
        4)
            # Not even the one who mends.
            killed_after $((RANDOM % loading)) load -i "$FILES/images.tar"
            killed_after $((RANDOM % 20)) image prune -f
            ;;
        esac
        mended || {
            echo "round $round"
            return 1
        }
    done
    echo "$killed of $rounds were killed"
    [ "$killed" -ge $((rounds / 4)) ]
    hull image prune -af >/dev/null
    is_sound
    equals 0 "$(find "$root/images"/{blobs/sha256,layers,layer-info,ingest,unpack,leases} -mindepth 1 | wc -l)"
}

# Runs a verb again and again, killed before each of its system calls that change something (or a
# sample of them), after PREPARE. Each time a prune makes the store sound: killed_at_each PREPARE VERB...
killed_at_each() {
    local prepare=$1 step=23 call number killed=0 calls
    shift
    calls=openat,close,write,pwrite64,renameat,unlinkat,mkdirat,linkat,symlinkat,mknodat,fchmod,fchown
    calls+=,utimensat,fsetxattr,fsync,syncfs,flock,ftruncate
    [ -z "${HULL_LONG:-}" ] || step=1
    $prepare >/dev/null
    strace -qq -f -o trace -e trace="$calls" "$HULL" --root "$root" "$@" >/dev/null
    # Each name with its number; one in so many.
    sed -nE 's/^[0-9]+ +([a-z0-9]+)\(.*/\1/p' trace | awk '{ print $1, ++seen[$1] }' |
        awk -v step="$step" -v seed="${HULL_SEED:-0}" '(NR + seed) % step == 0' >points
    while read -r call number; do
        $prepare >/dev/null
        # Numbers are a thread's own, so it may get through.
        strace -qq -f -o trace -e inject="$call:signal=KILL:when=$number" \
            "$HULL" --root "$root" "$@" >/dev/null 2>&1 || killed=$((killed + 1))
        mended || {
            echo "killed before $call $number: $*"
            return 1
        }
    done <points 2>/dev/null
    echo "$*: killed $killed times of $(wc -l <points)"
    [ "$killed" -gt 0 ]
}

@test "whoever is killed before whichever system call, a prune leaves the store sound" {
    command -v strace >/dev/null || skip "no strace"
    import_image kept:1 kept
    kept=$(field kept:1 '{{.Id}}')
    import_image x:1 other
    hull save x:1 >x.tar
    load_again() { hull load -i x.tar; }
    remove_it() { hull image prune -af --filter label!=none --filter until=2100-01-01T00:00:00Z && hull load -i kept.tar; }
    hull save kept:1 >kept.tar
    tar --create --directory tree.other --file tree.tar .
    dangling() {
        hull load -i x.tar
        hull tag kept:1 x:1
    }
    killed_at_each remove_it load -i x.tar
    killed_at_each remove_it import tree.tar new:1
    killed_at_each load_again rmi x:1
    killed_at_each load_again tag x:1 kept:2
    killed_at_each dangling image prune -f
    is_sound
}

# One round of the following: everybody begins with a store that has only kept:1.
in_company() {
    local i pid pids=()
    rm -rf "$root" load.? import.? prune.? noise
    import_image kept:1 kept >/dev/null
    for i in 1 2; do
        hull load -i "$FILES/images.tar" >"load.$i" 2>&1 3>&- &
        pids+=($!)
        hull import "$FILES/tree.tar" "import:$i" >"import.$i" 2>&1 3>&- &
        pids+=($!)
        (for _ in $(seq 10); do hull image prune -f || exit; done) >"prune.$i" 2>&1 3>&- &
        pids+=($!)
    done
    for i in $(seq 5); do
        hull tag kept:1 "tagged:$i"
        hull system check --quick >>noise 2>&1
        hull images >/dev/null 2>>noise
        hull image inspect one:1 kept:1 2>&1 | grep -v 'no such image: one:1' | grep hull: >>noise || true
        hull rmi "tagged:$i" >/dev/null
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || {
            head load.? import.? prune.?
            return 1
        }
    done
    equals '' "$(cat noise)"
    equals 'Loaded image: one:1' "$(head -n 1 load.1)"
    for i in kept:1 one:1 two:1 two:2 import:1 import:2; do
        [ -d "$(field "$i" '{{.GraphDriver.Data.LowerDir}}')" ]
    done
    equals 200 "$(find "$(field two:1 '{{.GraphDriver.Data.LowerDir}}')/some/where" -type f | wc -l)"
    is_sound
}

@test "several may load, import, remove, prune, list and check at the same time" {
    rounds=2
    [ -z "${HULL_LONG:-}" ] || rounds=50
    for ((round = 0; round < rounds; round++)); do
        in_company || {
            echo "round $round"
            return 1
        }
    done
}
