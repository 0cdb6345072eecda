#!/usr/bin/env bash
# Compiles requirements/*.txt from pyproject.toml: one file per use, hashes, no index address.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
  local output=$1
  shift
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --custom-compile-command "make lock" "$@" --output-file "requirements/$output"
}

compile build.txt --group build
compile serve.txt pyproject.toml --extra serve
compile serve-gpu.txt pyproject.toml --extra serve-gpu
compile train.txt pyproject.toml --extra export
compile gateway.txt pyproject.toml --extra gateway
compile commission.txt pyproject.toml --extra commission
compile dev.txt pyproject.toml --extra serve --extra export --extra gateway --extra commission --group dev
compile bench.txt pyproject.toml --extra serve --group bench
compile cluster.txt pyproject.toml --extra cluster --group cluster
