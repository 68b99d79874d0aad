# What the benchmarks that run in the testbed share; sourced after lib.sh. What follows it in a
# script runs in a virtual host (tests/testbed), where hull is installed. `testbed_options`, an array,
# may hold options of tests/testbed/run.
if [ -z "${HULL_BENCH_TESTBED:-}" ]; then
    need qemu-system-x86_64
    [ -v testbed_options ] || testbed_options=()
    share=$work/share
    mkdir -p "$share/build/release"
    cp -r bench scripts "$share/"
    cp "$measure" "$(scripts/program build/release guest_init)" "$share/build/release/"
    # Rows of the table have no file of this machine to go to: they come marked, after all else.
    tests/testbed/run "${testbed_options[@]}" --build build/release --share "$share" -- \
        env HULL_BENCH_TESTBED=1 HULL_BENCH_RUNS="$runs" HULL_BENCH_TABLE=/tmp/table \
        HULL_OCI=/usr/local/sbin/hull-oci "bench/$(basename "$0")" >"$work/output" && code=0 || code=$?
    sed -n 's/^row: //p' "$work/output" >>"${HULL_BENCH_TABLE:-/dev/null}"
    grep -v '^row: ' "$work/output" || true
    exit "$code"
fi

finish_testbed() {
    sed 's/^/row: /' "$HULL_BENCH_TABLE" 2>/dev/null || true
    finish
}
trap finish_testbed EXIT
