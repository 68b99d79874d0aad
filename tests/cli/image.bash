# What the tests of images share: load image
#
# Each test has a root of its own; `hull` is the program with it. The root file system of the first
# image is made once for each file.
bats_require_minimum_version 1.5.0
load helpers

: "${HULL:=$HULL_BUILD/src/cli/hull}"
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0}

setup() {
    root=$BATS_TEST_TMPDIR/root
    export HOME=$BATS_TEST_TMPDIR DOCKER_CONFIG=$BATS_TEST_TMPDIR/docker
    cd "$BATS_TEST_TMPDIR" || return
}

hull() { "$HULL" --root "$root" --run-root "$BATS_TEST_TMPDIR/run" "$@"; }

equals() { # EXPECTED FOUND
    [ "$1" = "$2" ] || {
        printf 'expected: %s\nfound:    %s\n' "$1" "$2"
        return 1
    }
}

# After run: failed_with STATUS TEXT
failed_with() {
    equals "$1" "$status"
    [[ $output == *"$2"* ]] || {
        printf 'no "%s" in: %s\n' "$2" "$output"
        return 1
    }
}

# A small tree, different for each word given: make_tree DIRECTORY [WORD]
make_tree() {
    rm -rf "$1"
    mkdir -p "$1/etc" "$1/bin" "$1/tmp"
    chmod 1777 "$1/tmp"
    echo "${2:-text}" >"$1/etc/word"
    printf '#!/bin/sh\n' >"$1/bin/tool"
    chmod 4755 "$1/bin/tool"
    ln -s tool "$1/bin/alias"
    ln "$1/bin/tool" "$1/bin/hard"
    ln -s /etc/word "$1/word"
}

# Imports a tree under a name (none: ""): import_image NAME [WORD [FLAG...]]; prints the id
import_image() {
    local name=$1 word=${2:-text}
    shift $(($# < 2 ? $# : 2))
    make_tree "tree.$word" "$word"
    tar --create --directory "tree.$word" . | hull import "$@" - ${name:+"$name"}
}

# Whether the store has no fault.
is_sound() {
    run hull system check
    equals '' "$output"
    equals 0 "$status"
}

# An attribute of an image: field IMAGE TEMPLATE
field() { hull image inspect --format "$2" "$1"; }
