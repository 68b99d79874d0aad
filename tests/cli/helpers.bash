# Loaded by the test files here: load helpers
#
# tests/run sets:
#   HULL_OCI             the program under test
#   HULL_BUILD           its build directory
#   HULL_SOURCE          the source directory
#   HULL_TEST_ID         begins the name of every container and cgroup, so that leftovers are seen
#   HULL_SEED, HULL_LONG see docs/testing.md
# BATS_TEST_TMPDIR is each test's own directory, BATS_FILE_TMPDIR each file's.

: "${HULL_SOURCE:=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)}"
: "${HULL_BUILD:=$HULL_SOURCE/build/check}"
: "${HULL_TEST_ID:=hull-test-$$}"

# Runs a command again and again until it succeeds; fails after SECONDS.
wait_until() { # SECONDS COMMAND...
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "gave up waiting for: $*" >&2
            return 1
        fi
        sleep 0.05
    done
}

# Expectations that say what was found instead.
equals() { # EXPECTED FOUND
    [ "$1" = "$2" ] || {
        printf 'expected: %s\nfound:    %s\n' "$1" "$2" >&2
        return 1
    }
}

contains() { # PART WHOLE
    [[ "$2" == *"$1"* ]] || {
        printf 'expected to contain: %s\nfound: %s\n' "$1" "$2" >&2
        return 1
    }
}

succeeded() {
    [ "$status" = 0 ] || {
        printf 'status %s: %s\n' "$status" "$output" >&2
        return 1
    }
}

failed_with() { # STATUS PART
    [ "$status" = "$1" ] || {
        printf 'status %s instead of %s: %s\n' "$status" "$1" "$output" >&2
        return 1
    }
    contains "$2" "$output"
}
