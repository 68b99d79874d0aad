# The man page and the completions that the build makes from the description of the commands.

bats_require_minimum_version 1.5.0
load helpers

setup() {
    documents=$HULL_BUILD/tools
    cd "$BATS_TEST_TMPDIR"
}

need() {
    command -v "$1" >/dev/null || skip "$1 is not installed"
}

@test "mandoc finds nothing to say about the man page" {
    need mandoc
    # It has no date, so that the same source makes the same page.
    run mandoc -T lint "$documents/hull-oci.8"
    [ "$(printf '%s\n' "$output" | grep -v 'missing date' || true)" = "" ]
}

@test "groff finds nothing to say about the man page" {
    need groff
    run groff -man -ww -T utf8 -z "$documents/hull-oci.8"
    [ "$status" -eq 0 ]
    [ "$output" = "" ]
}

@test "every help fits into 80 columns" {
    local verb
    for verb in '' create delete events exec features kill list pause ps resume run spec start \
        state update; do
        # shellcheck disable=SC2086 # none is no word
        "$HULL_OCI" $verb --help >"$BATS_TEST_TMPDIR/help"
        grep -q . "$BATS_TEST_TMPDIR/help"
        run -1 grep -E '.{81}' "$BATS_TEST_TMPDIR/help"
    done
}

@test "man shows every command" {
    need man
    MANWIDTH=80 man -l "$documents/hull-oci.8" | cat >page
    for verb in create delete events exec features kill list pause ps resume run spec start state \
        update; do
        grep -Eq "^ +$verb( |\$)" page
    done
    # And the words that a shell or roff could have swallowed.
    grep -q "container's program" page
    grep -q -- '--cpu-idle 0|1' page
}

# Completes a line as bash does: complete WORD... (the last is the one under the cursor)
complete_bash() {
    bash -c '
        hull-oci() { [ "$*" = "list -q" ] && printf "web\ndb\n"; }
        source "$1"
        shift
        COMP_WORDS=(hull-oci "$@") COMP_CWORD=$#
        _hull_oci
        echo "${COMPREPLY[*]}"' bash "$documents/hull-oci" "$@"
}

@test "bash reads its completions without complaint" {
    bash -n "$documents/hull-oci"
}

@test "bash completes commands and flags" {
    [ "$(complete_bash s)" = "spec start state" ]
    [ "$(complete_bash --r)" = "--root --rootless" ]
    [ "$(complete_bash --root /tmp st)" = "start state" ]
    [ "$(complete_bash --root = /tmp st)" = "start state" ]
    [ "$(complete_bash run --b)" = "--bundle" ]
    [ "$(complete_bash help p)" = "pause ps" ]
}

@test "bash completes the values of flags" {
    [ "$(complete_bash --log-format '')" = "text json" ]
    [ "$(complete_bash --log-format = j)" = "json" ]
    [ "$(complete_bash list -f t)" = "table" ]
    [ "$(complete_bash update --memory '')" = "" ]
    mkdir there
    touch file
    [ "$(complete_bash run --bundle '')" = "there" ]
    [ "$(complete_bash exec --process '')" = "file there" ]
}

@test "bash completes the names of containers, where they exist already" {
    [ "$(complete_bash kill '')" = "web db" ]
    [ "$(complete_bash exec -e A=1 d)" = "db" ]
    [ "$(complete_bash exec -e A = 1 d)" = "db" ]
    [ "$(complete_bash exec web '')" = "" ]
    [ "$(complete_bash create '')" = "" ]
}

# What zsh lists for a line, on a terminal of its own.
complete_zsh() {
    mkdir -p bin
    printf '#!/bin/sh\n[ "$*" = "list -q" ] && printf "web\\ndb\\n"\n' >bin/hull-oci
    chmod +x bin/hull-oci
    PATH=$PWD/bin:$PATH timeout 60 zsh -f -c '
        zmodload zsh/zpty
        zpty shell zsh -f -i
        zpty -w shell "PS1= fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D"
        zpty -w shell "bindkey \"^I\" list-choices; bindkey \"^E\" kill-whole-line; print REA\"\"DY"
        zpty -r -m shell text "*READY*"
        zpty -w -n shell "$2"$'"'\t\x05'"'"print DO\"\"NE"$'"'\n'"'
        zpty -r -m shell text "*DONE*"
        print -r -- "$text"' zsh "$documents" "$1"
}

@test "zsh completes commands, flags, their values and containers" {
    need zsh
    complete_zsh 'hull-oci s' | tee listed
    grep -q 'start.*execute the program' listed
    grep -q 'state.*print the state' listed
    complete_zsh 'hull-oci exec --no-' | tee listed
    grep -q 'no-new-privs' listed
    complete_zsh 'hull-oci list -f ' | tee listed
    grep -q 'json.*table' listed
    complete_zsh 'hull-oci kill ' | tee listed
    grep -q 'db.*web' listed
}

@test "the files that the documents name exist" {
    local name missing=''
    cd "$HULL_SOURCE"
    while read -r name; do
        [[ $name == *NAME* ]] || [ -n "$(find src guest tests bench tools -path "*/${name#./}")" ] ||
            [ -n "$(compgen -G "$name")" ] || missing+=" $name"
    done < <(grep -ohE '`[A-Za-z_/.*-]+\.(c|h|bats|bash|dict|awk)`' README.md docs/*.md | tr -d '`' | sort -u)
    echo "missing:$missing"
    [ -z "$missing" ]
}
