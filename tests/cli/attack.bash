# Loaded by security_*.bats: load attack
#
# Each test has a bundle of its own ($bundle; its root file system is $image), state of its own,
# and ids that begin with $id. What it starts is ended in teardown.
load helpers

attack=$HULL_BUILD/tests/attack

# Once a file: the root file system, with the attackers in /attack, and the default configuration.
make_image() { # PROGRAM...
    "$HULL_SOURCE/scripts/bundle" "$BATS_FILE_TMPDIR/bundle" '.process.args = ["sh"]'
    mkdir "$BATS_FILE_TMPDIR/bundle/rootfs/attack"
    local program
    for program; do
        cp "$attack/$program" "$BATS_FILE_TMPDIR/bundle/rootfs/attack/"
    done
}

begin_attack() {
    id=$HULL_TEST_ID-$(basename "$BATS_TEST_FILENAME" .bats)-$BATS_TEST_NUMBER
    bundle=$BATS_TEST_TMPDIR/bundle image=$BATS_TEST_TMPDIR/bundle/rootfs
    state=$BATS_TEST_TMPDIR/state
    cp -a "$BATS_FILE_TMPDIR/bundle" "$bundle"
    cd "$BATS_TEST_TMPDIR" || return
}

end_attack() {
    local file
    for file in "$state"/*.container; do
        [ -f "$file" ] || continue
        file=${file##*/}
        hull delete --force "${file%.container}" || true
    done
}

# Descriptors 3 and up are bats' own. A hostile container must not make anything wait for ever.
hull() {
    timeout --foreground 60 "$HULL_OCI" --root "$state" "$@" 3>&-
}

# Changes config.json, from the default one: configure [JQ-ARGUMENT...] FILTER
configure() {
    jq "$@" "$BATS_FILE_TMPDIR/bundle/config.json" >"$bundle/config.json"
}

# A jq filter for a program: sh -c SCRIPT
script() {
    jq -n -r --arg script "$1" '".process.args = \(["sh", "-c", $script])"'
}

# Starts container $id in the background, running SCRIPT; its output goes to the file `output`.
start_container() { # SCRIPT [FILTER]
    configure "$(script "$1") | ${2:-.}"
    hull run --detach --bundle "$bundle" "$id" </dev/null >output 2>&1
}

# Runs SCRIPT in a container of its own, in the foreground.
run_container() { # SCRIPT [FILTER]
    configure "$(script "$1") | ${2:-.}"
    hull run --bundle "$bundle" "$id"
}

host_hash() {
    sha256sum <"$HULL_OCI"
}

# Succeeds if the command fails; `! command` would only do so at a test's end.
refute() {
    if "$@"; then
        return 1
    fi
}
