#!/bin/sh
# Installs the AWS clients that the tests use, beside this script, and the programs that they start: Redis, PostgreSQL, minisign, valgrind.
# Does nothing when that is done already.
set -eu
cd "$(dirname "$0")"

installed() { # installed MARKER SOURCE: whether the marker was made from this version of the source
    [ -f "$1" ] && cmp -s "$1" "$2"
}

if ! installed .venv/installed requirements.txt; then
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
    cp requirements.txt .venv/installed
fi

if ! installed node_modules/.installed package.json; then
    npm install --silent --no-audit --no-fund
    cp package.json node_modules/.installed
fi

programs() { # whether the programs that the tests start are there; Debian keeps PostgreSQL's out of PATH
    command -v minisign >/dev/null && command -v valgrind >/dev/null || return 1
    command -v redis-server >/dev/null || command -v valkey-server >/dev/null || return 1
    PATH="$PATH:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tr '\n' ':')"
    command -v postgres >/dev/null && command -v initdb >/dev/null
}

if ! programs; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "the tests need Redis, PostgreSQL, minisign and valgrind; install them (here: sudo apt-get install redis-server postgresql minisign valgrind)" >&2
        exit 1
    fi
    apt-get update -qq
    # The tests start servers of their own: at run level 1, the packages start none.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends redis-server postgresql minisign valgrind >/dev/null
    programs || { echo "redis-server, postgresql, minisign and valgrind were installed, and their programs are not to be found" >&2; exit 1; }
fi
