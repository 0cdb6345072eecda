#!/usr/bin/env bash
# Lists all packages of a lock file as CycloneDX JSON: scripts/sbom.sh requirements/serve.txt sbom.json
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/cyclonedx-py requirements "$1" --output-format JSON --output-reproducible --output-file "$2"
