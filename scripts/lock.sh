#!/usr/bin/env bash
# Compiles requirements/*.txt from pyproject.toml: one file per use, hashes, no index address.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
  local output=$1
  shift
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --custom-compile-command "make lock" pyproject.toml "$@" --output-file "requirements/$output"
}

compile serve.txt --extra serve
compile serve-gpu.txt --extra serve-gpu
compile train.txt --extra export
compile dev.txt --extra serve --extra export --group dev
compile bench.txt --extra serve --group bench
