#!/usr/bin/env bash
# Shows that the simulator bites: plants bugs in the host, one after the other, and has the simulator
# find each. A bug that it does not find, and a patch that no longer applies, are failures. With names
# as arguments, only those bugs.
#
# All bugs are built at once, each behind its name in WASQ_PLANTED.
set -euo pipefail
cd "$(dirname "$0")/../.."

seeds=20000
patch=tests/planted/bugs.patch
if [ -n "$(git status --porcelain -- core queues ledgers host)" ]; then
    echo "core/, queues/, ledgers/ or host/ has changes that are not committed; the bugs are planted there" >&2
    exit 2
fi
if [ $# -eq 0 ]; then
    set -- $(grep -o 'planted("[a-z-]*")' "$patch" | cut -d '"' -f 2 | sort -u)
fi

git apply "$patch"
trap 'git apply --reverse "$patch"' EXIT
# With the benchmark, dependencies have the same features as for the tests, and are not built again.
cargo build --quiet --workspace --bin wasq-tests --bench steps
missed=0
for bug in "$@"; do
    found=$(WASQ_PLANTED="$bug" target/debug/wasq-tests sim --seeds "$seeds" || true)
    if ! grep -q "^seed [0-9]*: " <<<"$found"; then
        echo "$bug: NOT FOUND in $seeds seeds: $(tail -n 1 <<<"$found")"
        missed=1
    else
        echo "$bug: $(grep "^seed [0-9]*: " <<<"$found")"
    fi
done
exit "$missed"
