#!/bin/sh
# Installs the AWS clients that the tests use, beside this script. Does nothing when that is done already.
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
