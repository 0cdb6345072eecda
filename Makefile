# Two commands for everybody: `make serve` and `make test`. The rest is for those who carry this on.
.DEFAULT_GOAL := help
.PHONY: help serve test lint types containers lock clean
PORT ?= 8000
SERVE_REQUIREMENTS := $(shell scripts/has-gpu.sh && echo requirements/serve-gpu.txt || echo requirements/serve.txt)

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | column -t -s:

.venv/ready: requirements/dev.txt pyproject.toml
	scripts/venv.sh .venv requirements/dev.txt

.venv-serve/ready: $(SERVE_REQUIREMENTS) pyproject.toml
	scripts/venv.sh .venv-serve $(SERVE_REQUIREMENTS)

serve: .venv-serve/ready  ## set everything up and serve on port 8000, on the GPU where there is one
	.venv-serve/bin/pneumo-serve run --port $(PORT)

test: .venv/ready  ## set everything up and run the tests
	.venv/bin/pytest -m "not containers" --cov --cov-report=term:skip-covered --cov-fail-under=95

lint: .venv/ready  ## style, import rules
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/lint-imports

types: .venv/ready  ## static types
	.venv/bin/mypy

containers: .venv/ready  ## build the images and run the compose files; needs a Docker engine
	.venv/bin/pytest -m containers tests/containers

lock: .venv/ready  ## compile the pinned requirement files from pyproject.toml
	scripts/lock.sh

clean:  ## remove what the other targets made
	rm -rf .venv .venv-serve build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
