#!/bin/sh
# Builds dist/visits-python.wasm with componentize-py from a virtual environment of the project's own.
set -eu
cd "$(dirname "$0")"
if ! .venv/bin/componentize-py --version >/dev/null 2>&1; then
  python3 -m venv .venv
  .venv/bin/pip install --quiet --requirement requirements.txt
fi
mkdir -p dist
.venv/bin/componentize-py --wit-path wit --world visits componentize app --output dist/visits-python.wasm
