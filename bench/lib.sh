# What the scripts here share. Each is one claim about speed or size, runnable alone, and ends with
# status 1 if its bar is missed.
#
# HULL_OCI names another runtime than build/release's; HULL_BENCH_RUNS another number of turns;
# HULL_BENCH_TABLE a file that gets a row of a Markdown table.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:/usr/sbin:/sbin

if [ "$(id -u)" != 0 ]; then
    exec sudo HULL_OCI="${HULL_OCI:-}" HULL_BENCH_RUNS="${HULL_BENCH_RUNS:-}" \
        HULL_BENCH_TABLE="${HULL_BENCH_TABLE:-}" "$PWD/bench/$(basename "$0")" "$@"
fi

export HULL_OCI=${HULL_OCI:-$(scripts/program build/release hull-oci)}
measure=$(scripts/program build/release measure)
runs=${HULL_BENCH_RUNS:-40}
work=$(mktemp -d "${TMPDIR:-/tmp}/hull-bench-XXXXXX")
id=hull-bench-$$

# Containers of both sides that a script names here are deleted at its end.
containers=()
finish() {
    local name
    for name in "${containers[@]}"; do
        "$HULL_OCI" --root "$work/hull" delete --force "$name" 2>/dev/null || true
        runc --root "$work/runc" delete --force "$name" 2>/dev/null || true
    done
    rm -rf --one-file-system "$work"
}
trap finish EXIT

need() {
    command -v "$1" >/dev/null || {
        echo "bench: $1 is not installed (make bench installs it)" >&2
        exit 2
    }
}

# The bundle of both sides: busybox, with the configuration that `spec` writes.
make_bundle() { # JQ-FILTER
    scripts/bundle "$work/bundle" "$1"
}
