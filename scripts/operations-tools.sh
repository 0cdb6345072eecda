#!/usr/bin/env bash
# What the tests of audit, tokens and deployment run, from Debian: a database, kubectl, promtool,
# and a clock that can be set.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
missing=()
command -v kubectl >/dev/null || missing+=(kubernetes-client)
command -v promtool >/dev/null || missing+=(prometheus)
command -v faketime >/dev/null || missing+=(faketime)
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
if ((${#missing[@]})); then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends -o DPkg::Options::=--force-confdef "${missing[@]}" >/dev/null
fi
