#!/usr/bin/env bash
# What the gateway's tests run beside it, from Debian: an archive, DICOM tools, a database.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
missing=()
while read -r command package; do
  command -v "$command" >/dev/null || missing+=("$package")
done <<'EOF'
Orthanc orthanc
storescu dcmtk
dciodvfy dicom3tools
openssl openssl
EOF
[ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] || missing+=(orthanc-dicomweb)
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
if ((${#missing[@]})); then
  apt-get update -qq
  # Nothing is started: the tests start what they need, on ports of their own.
  apt-get install -y -qq --no-install-recommends -o DPkg::Options::=--force-confdef "${missing[@]}" >/dev/null
fi
