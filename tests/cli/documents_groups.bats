# The documents of programs whose verbs come in groups, have two words or several names; and those
# of hull.
bats_require_minimum_version 1.5.0
load helpers

setup() {
    sample=$HULL_BUILD/tests/helpers/describe_sample
    hull=${HULL:-$HULL_BUILD/src/cli/hull}
    cd "$BATS_TEST_TMPDIR"
}

need() {
    command -v "$1" >/dev/null || skip "$1 is not installed"
}

@test "mandoc and groff find nothing to say about the man pages" {
    need mandoc
    need groff
    "$sample" man >sample.1
    local page
    for page in sample.1 "$HULL_BUILD/tools/hull.1" "$HULL_BUILD/tools/hull-vmm.8"; do
        run mandoc -T lint "$page"
        [ "$(printf '%s\n' "$output" | grep -v 'missing date' || true)" = "" ]
        run groff -man -ww -T utf8 -z "$page"
        [ "$status" -eq 0 ]
        [ "$output" = "" ]
    done
}

@test "the man page lists groups, verbs and their other names" {
    need man
    "$sample" man >sample.1
    MANWIDTH=80 man -l sample.1 | cat >page
    grep -q '^SAMPLE(1)' page
    grep -Eq '^ +container$' page
    grep -Eq '^ +image prune$' page
    grep -q 'The same as container ls, container list' page
    grep -q 'Flags of one letter combine' page
}

# complete_bash WORD...: the last is the one under the cursor
complete_bash() {
    "$sample" bash >completion
    bash -c '
        sample() { [ "$*" = "ps -q" ] && printf "web\ndb\n"; }
        source ./completion
        COMP_WORDS=(sample "$@") COMP_CWORD=$#
        _sample
        echo "${COMPREPLY[*]}"' bash "$@"
}

@test "bash completes groups, verbs of two words and aliases" {
    [ "$(complete_bash '')" = "run ps start container image help" ]
    [ "$(complete_bash container '')" = "run ls list start" ]
    [ "$(complete_bash container l)" = "ls list" ]
    [ "$(complete_bash --root /x image '')" = "prune" ]
    [ "$(complete_bash container ls --f)" = "--format" ]
    [ "$(complete_bash container list --format '')" = "table json" ]
    [ "$(complete_bash ps --format = j)" = "json" ]
    [ "$(complete_bash container start '')" = "web db" ]
    [ "$(complete_bash start w)" = "web" ]
    [ "$(complete_bash container start -)" = "--help -h" ]
}

@test "zsh completes groups, verbs of two words and aliases" {
    need zsh
    mkdir bin
    printf '#!/bin/sh\n[ "$*" = "ps -q" ] && printf "web\\ndb\\n"\n' >bin/sample
    chmod +x bin/sample
    "$sample" zsh >_sample
    complete_zsh() {
        PATH=$PWD/bin:$PATH timeout 60 zsh -f -c '
            zmodload zsh/zpty
            zpty shell zsh -f -i
            zpty -w shell "PS1= fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D"
            zpty -w shell "bindkey \"^I\" list-choices; bindkey \"^E\" kill-whole-line; print REA\"\"DY"
            zpty -r -m shell text "*READY*"
            zpty -w -n shell "$2"$'"'\t\x05'"'"print DO\"\"NE"$'"'\n'"'
            zpty -r -m shell text "*DONE*"
            print -r -- "$text"' zsh "$PWD" "$1"
    }
    complete_zsh 'sample c' | tee listed
    grep -q 'container' listed
    complete_zsh 'sample container l' | tee listed
    grep -q 'list.*list containers' listed
    complete_zsh 'sample container ls --format ' | tee listed
    grep -q 'json.*table' listed
    complete_zsh 'sample container start ' | tee listed
    grep -q 'db.*web' listed
}

@test "hull's help is there, for the program and every verb and group" {
    run "$hull" --help
    [ "$status" -eq 0 ]
    grep -q '^Commands:' <<<"$output"
    local verb
    for verb in '' $("$hull" --help | sed -nE '/^(Commands|Groups)/,/^Global/s/^  ([a-z]+)  .*/\1/p'); do
        # shellcheck disable=SC2086 # none is no word
        "$hull" $verb --help >help
        grep -q . help
        run -1 grep -E '.{81}' help
    done
}

@test "bash reads hull's completions without complaint" {
    bash -n "$HULL_BUILD/tools/hull"
}
