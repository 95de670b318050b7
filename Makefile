# Each goal sets up what it needs. The environment is brought up to date only when
# pyproject.toml or constraints.txt change.

PYTHON ?= python3
VENV ?= .venv
MODELS ?= .cache/models
BIN := $(VENV)/bin

VENV_STAMP := $(VENV)/.stamp-venv
DEMO_STAMP := $(VENV)/.stamp-demo
DEV_STAMP := $(VENV)/.stamp-dev
MODELS_STAMP := $(MODELS)/.stamp

PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet \
	-c constraints.txt

# Arguments for pytest, as in `make unit PYTEST_ARGS='-k conv -x'`, and how many of
# its processes share the tests.
PYTEST_ARGS ?=
JOBS ?= $(shell nproc 2>/dev/null || echo 1)
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test lint format typecheck filecheck unit fuzz conformance networks docs docs-check models \
	hooks cross clean

help: ## list the goals
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(DEMO_STAMP) $(MODELS_STAMP) ## read the text in a picture with PP-OCRv4
	$(BIN)/python examples/ocr_demo.py --models $(MODELS)

test: filecheck unit fuzz conformance networks ## FileCheck, unit tests, ONNX suite, ...

lint: $(DEV_STAMP) ## ruff: rules and layout
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(DEV_STAMP) ## let ruff rewrite the files
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

typecheck: $(DEV_STAMP) ## basedpyright, strict
	$(BIN)/basedpyright --pythonpath $(BIN)/python

filecheck: $(DEV_STAMP) ## lit over tests/filecheck
	$(BIN)/lit --verbose tests/filecheck

unit: $(DEV_STAMP) $(MODELS_STAMP) cross ## pytest over tests/unit
	$(PYTEST) tests/unit $(PYTEST_ARGS)

fuzz: $(DEV_STAMP) ## models that are wrong, damaged or random: tests/fuzz
	$(PYTEST) tests/fuzz $(PYTEST_ARGS)

conformance: $(DEV_STAMP) ## the onnx package's cases for backends
	$(PYTEST) tests/conformance $(PYTEST_ARGS)

networks: $(DEV_STAMP) $(MODELS_STAMP) cross ## pytest over tests/models: real networks
	$(PYTEST) tests/models $(PYTEST_ARGS)

docs: $(DEV_STAMP) ## write the pages of docs/reference from the code
	$(BIN)/python scripts/generate_reference.py

docs-check: $(DEV_STAMP) ## the tests that hold the docs true
	$(BIN)/python -m pytest tests/unit/docs tests/unit/test_conventions.py

models: $(MODELS_STAMP) ## fetch the networks that the demo and the tests use

hooks: $(DEV_STAMP) ## check each commit with the rules of `make lint`
	$(BIN)/pre-commit install

cross: ## an aarch64 compiler and emulator, for the NEON tests
	@bash scripts/setup_cross.sh

clean: ## remove the environment and the caches
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache .hypothesis

$(VENV_STAMP):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"nnc needs Python 3.11 or later; set one with: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(DEMO_STAMP): pyproject.toml constraints.txt | $(VENV_STAMP)
	@echo "Installing nnc and what the demo needs into $(VENV) ..."
	$(PIP_INSTALL) -e '.[demo]'
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(VENV_STAMP)
	@echo "Installing nnc and what its tests need into $(VENV) (takes minutes) ..."
	$(PIP_INSTALL) -e '.[demo,dev,models]'
	@touch $@ $(DEMO_STAMP)

$(MODELS_STAMP): tests/models/models.toml scripts/fetch_models.py | $(VENV_STAMP)
	$(BIN)/python scripts/fetch_models.py $(MODELS)
	@touch $@
