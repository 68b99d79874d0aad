# bench/measure, the harness of the benchmarks: a bar that is missed must be seen.

load helpers

setup() {
    measure=$HULL_BUILD/bench/measure
    cd "$BATS_TEST_TMPDIR"
}

@test "a bar that is met is OK, one that is missed is status 1" {
    run "$measure" --runs 3 --pause 0 --at-most 0.5 -- sleep 0.2 -- true
    [ "$status" -eq 0 ]
    [[ "$output" == *"at most 0.500  OK" ]]
    run "$measure" --runs 3 --pause 0 --at-most 0.5 -- true -- sleep 0.2
    [ "$status" -eq 1 ]
    [[ "$output" == *"at most 0.500  MISSED" ]]
}

@test "the sides take turns" {
    "$measure" --runs 2 --pause 0 -- sh -c 'echo peer @ >>turns' -- sh -c 'echo hull @ >>turns'
    # The first of each doesn't count.
    [ "$(cat turns)" = "$(printf 'peer %d\nhull %d\n' 0 0 1 1 2 2)" ]
}

@test "the commands of a side follow each other, and all must succeed" {
    "$measure" --runs 1 --pause 0 -- sh -c 'echo a >>order' then sh -c 'echo b >>order'
    [ "$(cat order)" = "$(printf 'a\nb\na\nb\n')" ]
    run "$measure" --runs 1 --pause 0 -- true then false
    [ "$status" -eq 2 ]
    run "$measure" --runs 1 --pause 0 -- ./missing
    [ "$status" -eq 2 ]
}

@test "memory is that of the largest process" {
    run "$measure" --memory --runs 1 --pause 0 --at-least 2 -- true -- \
        sh -c 'dd if=/dev/zero of=/dev/null bs=32M count=1 2>&1'
    echo "$output"
    [ "$status" -eq 0 ]
}

@test "workers run at once, and no two turns have the same number" {
    "$measure" --rate 2 --jobs 5 --runs 2 --pause 0 -- sh -c 'echo @ >>numbers'
    [ "$(wc -l <numbers)" -eq 30 ]
    [ "$(sort -u numbers | wc -l)" -eq 30 ]
}
