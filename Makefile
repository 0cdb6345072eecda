# Two commands for everybody: `make serve` and `make test`. The rest is for those who carry this on.
.DEFAULT_GOAL := help
.PHONY: help serve test lint types containers data-tests lock clean
PYTHON ?= python3
BIN := .venv/bin
SERVE_BIN := .venv-serve/bin
SERVE_REQUIREMENTS := $(shell .ci/has-gpu && echo requirements/serve-gpu.txt || echo requirements/serve.txt)
PORT ?= 8000

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14
