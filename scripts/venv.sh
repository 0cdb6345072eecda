#!/usr/bin/env bash
# venv.sh DIR REQUIREMENTS: a virtual environment with exactly the pinned packages, and this project in it.
set -euo pipefail
directory=$1 requirements=$2
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Python 3.11 or later is needed, $python is $("$python" -V). Set PYTHON=/path/to/python3.11." >&2
  exit 1
}

# Debian ships venv apart from Python.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  as_root=$([ "$(id -u)" = 0 ] || echo sudo)
  command -v apt-get >/dev/null && { [ -z "$as_root" ] || command -v sudo >/dev/null; } || {
    echo "Python's venv module is missing: install the package python3-venv, then try again." >&2
    exit 1
  }
  echo "Installing python3-venv, which Debian ships apart from Python." >&2
  $as_root apt-get update -qq
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
fi

"$python" -m venv --clear "$directory"
pip=("$directory/bin/pip" --disable-pip-version-check --quiet)
# A lock file is complete, so nothing is resolved: an older pip would look for the newest release of a
# requirement with an extra, although the lock pins another, and stop. `pip check` notices a lock
# that is not complete after all.
"${pip[@]}" install --no-deps --require-hashes -r "$requirements"
"${pip[@]}" install --no-deps --require-hashes -r requirements/build.txt
"${pip[@]}" install --no-deps --no-build-isolation --editable .
"${pip[@]}" check
touch "$directory/ready"
