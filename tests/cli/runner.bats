# tests/tap.awk, by which tests/run counts: a case that didn't run must never count as passed.

load helpers

# What is counted in the text given: tally STATUS TEXT
tally() {
    printf '%b' "$2" | awk -v status="$1" -f "$HULL_SOURCE/tests/tap.awk"
}

@test "cases that passed and failed are counted with their names" {
    [ "$(tally 1 '1..2\nok 1 - one\nnot ok 2 - two\n# why\n')" = "$(printf 'ok\tone\nbad\ttwo')" ]
}

@test "a skip of bats is a skip with its reason" {
    [ "$(tally 0 '1..1\nok 1 one # skip no zsh\n')" = "$(printf 'skip\tone: no zsh')" ]
    [ "$(tally 0 '1..1\nok 1 one # skip\n')" = "$(printf 'skip\tone: no reason given')" ]
}

@test "a skip of cmocka is a skip, with the line before as its reason" {
    [ "$(tally 0 '1..1\nno cgroup v2\nnot ok 1 # SKIP one\n')" = \
        "$(printf 'skip\tone: no cgroup v2')" ]
}

@test "a suite that skips itself is one skip" {
    [ "$(tally 0 '1..0 # SKIP no qemu\n')" = "$(printf 'skip\tall of it: no qemu')" ]
}

@test "a program that dies early has failed" {
    [[ "$(tally 139 '1..3\nok 1 - one\n')" == *"bad"*"ended with status 139 after 1 of 3 cases" ]]
    [[ "$(tally 0 '1..3\nok 1 - one\n')" == *"bad"* ]]
    [[ "$(tally 1 '1..1\nok 1 - one\n')" == *"bad"*"ended with status 1" ]]
}

@test "a program that says nothing has failed" {
    [[ "$(tally 0 '')" == "bad"* ]]
    [[ "$(tally 1 '')" == "bad"* ]]
}

@test "a program at its deadline has failed" {
    [[ "$(tally 124 '1..1\nok 1 - one\n')" == *"bad"*"ran out of time" ]]
}
