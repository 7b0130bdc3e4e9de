#!/usr/bin/env bash
# Shows that the simulator bites: plants one bug after the other and has the simulator find it. A bug
# that it does not find, and a patch that no longer applies, are failures. With names as arguments,
# only those bugs.
set -euo pipefail
cd "$(dirname "$0")/../.."

seeds=20000
if [ -n "$(git status --porcelain -- core queues ledgers host)" ]; then
    echo "core/, queues/, ledgers/ or host/ has changes that are not committed; the bugs are planted there" >&2
    exit 2
fi
if [ $# -eq 0 ]; then
    set -- $(basename -s .patch -a tests/planted/*.patch)
fi

planted=
trap '[ -z "$planted" ] || git apply --reverse "$planted"' EXIT
missed=0
for bug in "$@"; do
    patch=tests/planted/$bug.patch
    git apply "$patch"
    planted=$patch
    # With the benchmark, dependencies have the same features as for the tests, and are not built again.
    cargo build --quiet --workspace --bin wasq-tests --bench steps
    found=$(target/debug/wasq-tests sim --seeds "$seeds" || true)
    if ! grep -q "^seed [0-9]*: " <<<"$found"; then
        echo "$bug: NOT FOUND in $seeds seeds: $(tail -n 1 <<<"$found")"
        missed=1
    else
        echo "$bug: $(grep "^seed [0-9]*: " <<<"$found")"
    fi
    git apply --reverse "$patch"
    planted=
done
exit "$missed"
