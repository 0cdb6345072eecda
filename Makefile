# Two commands for everybody: `make serve` and `make test`. The rest is for those who carry this on.
.DEFAULT_GOAL := help
.PHONY: help serve test slow gateway lint types web browser containers bench lock clean
PORT ?= 8000
SERVE_REQUIREMENTS := $(shell scripts/has-gpu.sh && echo requirements/serve-gpu.txt || echo requirements/serve.txt)

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | column -t -s:

.venv/ready: requirements/dev.txt pyproject.toml
	scripts/venv.sh .venv requirements/dev.txt

.venv-serve/ready: $(SERVE_REQUIREMENTS) pyproject.toml
	scripts/venv.sh .venv-serve $(SERVE_REQUIREMENTS)

.venv-bench/ready: requirements/bench.txt pyproject.toml
	scripts/venv.sh .venv-bench requirements/bench.txt

service/web/node_modules: service/web/package-lock.json
	# Not `npm ci`: it wants other platforms' builds of the linter in the lock file as well.
	cd service/web && npm install --no-save --no-audit --no-fund
	touch $@

serve: .venv-serve/ready  ## set everything up and serve on port 8000, on the GPU where there is one
	.venv-serve/bin/pneumo-serve run --port $(PORT)

test: .venv/ready  ## set everything up and run the tests
	.venv/bin/pytest -n 2 --dist loadfile -m "not containers and not slow" --ignore tests/e2e --ignore tests/gateway --cov --cov-report=
	.venv/bin/coverage report --skip-covered --include 'contract/*' --fail-under 100
	.venv/bin/coverage report --skip-covered --include 'export/*' --omit '*/__main__.py' --fail-under 95
	.venv/bin/coverage report --skip-covered --include 'service/*' --omit '*/__main__.py' --fail-under 95

slow: .venv/ready  ## every large network and the other recipes, some ten minutes
	.venv/bin/pytest -m slow tests

gateway: .venv/ready  ## test the gateway with Orthanc, DCMTK, dicom3tools and PostgreSQL
	scripts/gateway-tools.sh
	.venv/bin/pytest -m "not containers" tests/gateway tests/unit/gateway

lint: .venv/ready  ## style, import rules
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/lint-imports

types: .venv/ready  ## static types
	.venv/bin/mypy

web: service/web/node_modules  ## build the page again; needs Node 20
	cd service/web && npm run generate && npm run build

browser: .venv/ready service/web/node_modules  ## check and test the page in a real Chromium
	cd service/web && npm run check && npm test && npm run verify
	.venv/bin/pytest tests/e2e

containers: .venv/ready  ## build the images and run the compose files; needs a Docker engine
	.venv/bin/pytest -m containers tests/containers tests/gateway/test_compose.py

bench: .venv-bench/ready  ## measure the service and its peers here, write docs/benchmark.md
	.venv-bench/bin/python -m bench run $(BENCH) $(if $(KERAS),--keras $(KERAS))
	.venv-bench/bin/python -m bench report

lock: .venv/ready  ## compile the pinned requirement files from pyproject.toml
	scripts/lock.sh

clean:  ## remove what the other targets made
	rm -rf .venv .venv-serve .venv-bench build dist service/web/node_modules .coverage .hypothesis \
	  .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
