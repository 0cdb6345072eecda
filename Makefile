# Two commands for everybody: `make serve` and `make test`. The rest is for those who carry this on.
.DEFAULT_GOAL := help
.PHONY: help serve test fuzz slow schemathesis gateway gateway-bars operations cluster soak lint types web browser clients containers faults bench gpu lock clean
PORT ?= 8000
SCHEMATHESIS_SECONDS ?= 600
# What needs a database or an identity provider to be tested.
TRUST := service/audit.py,service/oidc.py,service/trail.py,service/routes/feedback.py
SERVE_REQUIREMENTS := $(shell scripts/has-gpu.sh && echo requirements/serve-gpu.txt || echo requirements/serve.txt)

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | column -t -s:

.venv/ready: requirements/dev.txt pyproject.toml
	scripts/venv.sh .venv requirements/dev.txt

.venv-serve/ready: $(SERVE_REQUIREMENTS) pyproject.toml
	scripts/venv.sh .venv-serve $(SERVE_REQUIREMENTS)

.venv-bench/ready: requirements/bench.txt pyproject.toml
	scripts/venv.sh .venv-bench requirements/bench.txt

web/node_modules: web/package-lock.json
	# Not `npm ci`: it wants other platforms' builds of the linter in the lock file as well.
	cd web && npm install --no-save --no-audit --no-fund
	touch $@

serve: .venv-serve/ready  ## set everything up and serve on port 8000, on the GPU where there is one
	.venv-serve/bin/pneumo-serve run --port $(PORT)

test: .venv/ready  ## set everything up and run the tests
	.venv/bin/pytest -n 2 --dist loadfile -m "not clients and not containers and not slow" --ignore tests/e2e --ignore tests/gateway --ignore tests/operations --ignore tests/trust --ignore tests/cluster --cov --cov-report=
	.venv/bin/coverage report --skip-covered --include 'contract/*' --fail-under 100
	.venv/bin/coverage report --skip-covered --include 'export/*' --omit '*/__main__.py' --fail-under 95
	.venv/bin/coverage report --skip-covered --include 'service/*' --omit '*/__main__.py,$(TRUST)' --fail-under 95

fuzz: .venv/ready  ## decode a million mutated files, an hour on a free core; FUZZ="--first 20000" goes on
	.venv/bin/python -m tests.fuzz $(FUZZ)

slow: .venv/ready  ## every large network, the other recipes and how quick the page is, some ten minutes
	.venv/bin/pytest -m "slow and not containers" tests --ignore tests/cluster

schemathesis: .venv/ready  ## draw requests from the OpenAPI document, for 10 minutes
	SCHEMATHESIS_SECONDS=$(SCHEMATHESIS_SECONDS) .venv/bin/pytest tests/integration/test_schemathesis.py

operations: .venv/ready  ## test audit, tokens, alerts and manifests with PostgreSQL, promtool, kubectl; needs Node 20
	scripts/operations-tools.sh
	.venv/bin/pytest tests/operations tests/trust --cov --cov-report=
	.venv/bin/coverage report --skip-covered --include '$(TRUST)' --fail-under 95

.venv-cluster/ready: requirements/cluster.txt pyproject.toml
	scripts/venv.sh .venv-cluster requirements/cluster.txt

cluster: .venv-cluster/ready  ## test serving and archive scoring on Ray, with Orthanc
	scripts/gateway-tools.sh
	.venv-cluster/bin/python -m pytest -W default tests/cluster

soak: .venv/ready  ## half an hour of load with hostile files: memory, descriptors, latencies, every answer
	.venv/bin/python -m tests.soak $(SOAK)

tests/gateway/fhir/node_modules: tests/gateway/fhir/package-lock.json
	-command -v npm && cd tests/gateway/fhir && npm ci --ignore-scripts --no-audit --no-fund

gateway: .venv/ready tests/gateway/fhir/node_modules  ## test the gateway with Orthanc, DCMTK, dicom3tools and PostgreSQL
	scripts/gateway-tools.sh
	.venv/bin/pytest -m "not containers" tests/gateway tests/unit/gateway

gateway-bars: .venv/ready  ## measure the gateway's rates and memory on a quiet machine, some half hour
	scripts/gateway-tools.sh
	.venv/bin/python -m tests.gateway.measure $(BARS)

lint: .venv/ready  ## style, import rules
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/lint-imports

types: .venv/ready  ## static types
	.venv/bin/mypy

web: web/node_modules  ## build the page again; needs Node 20
	cd web && npm run generate && npm run build

browser: .venv/ready web/node_modules  ## check and test the page in a real Chromium
	cd web && npm run check && npm test && npm run verify
	.venv/bin/pytest -m "not slow" tests/e2e

# Without this project, whose own requirements would not be met there.
.venv-clients/ready: tests/clients/requirements.txt .venv/ready
	.venv/bin/uv venv --quiet --clear .venv-clients
	.venv/bin/uv pip sync --quiet --require-hashes --python .venv-clients $<
	touch $@

tests/clients/node_modules: tests/clients/package-lock.json
	cd tests/clients && npm install --no-save --no-audit --no-fund
	touch $@

clients: .venv/ready .venv-clients/ready tests/clients/node_modules  ## upload with generated clients; needs Node 20 and a JDK
	.venv/bin/pytest -m clients tests/clients

containers: .venv/ready  ## build the images and run the compose files; needs a Docker engine
	.venv/bin/pytest -m "containers and not slow" tests/containers tests/gateway/test_compose.py

faults: .venv/ready  ## put faults to a real container, and build the image twice; needs a Docker engine
	.venv/bin/pytest -m "containers and slow" tests/containers

bench: .venv-bench/ready  ## measure the service and its peers, some 15 minutes; write docs/benchmark.md
	.venv-bench/bin/python -m bench $(BENCH)

gpu: .venv-serve/ready  ## try all that a GPU is used for, under 8 minutes; write docs/gpu.md
	.venv-serve/bin/python -m bench.gpu $(GPU)

lock: .venv/ready  ## compile the pinned requirement files from pyproject.toml
	scripts/lock.sh

clean:  ## remove what the other targets made
	rm -rf .venv .venv-clients .venv-serve .venv-bench .venv-cluster build dist web/node_modules \
	  tests/clients/node_modules .coverage .hypothesis \
	  .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
