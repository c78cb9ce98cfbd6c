# Everything one does with a checkout. `make` alone lists the targets.

PYTHON ?= python3
DATA ?= data
PORT ?= 8400
HYPERVISOR ?= auto
HOSTS ?= 1
ONCE ?=
PYTEST ?=

BIN := .venv/bin
IMAGE := build/images/tiny.qcow2
SOURCES := $(wildcard */src)
CLOUD := $(BIN)/stratuslab

# Each suite in a process of its own: what one leaves in its interpreter cannot reach another.
# The first needs no quiet machine and uses both processors. PYTEST selects: one process, no suites.
ifeq ($(strip $(PYTEST)),)
SUITES := set -e; \
	$(BIN)/pytest -n 2 core/tests cimi-api/tests vm-controller/tests tests/contract; \
	$(BIN)/pytest cloud/tests; \
	$(BIN)/pytest tests/conformance; \
	$(BIN)/pytest tests/cluster; \
	$(BIN)/pytest tests/faults; \
	$(BIN)/pytest tests/test_*.py
else
SUITES := $(BIN)/pytest $(PYTEST)
endif

.DEFAULT_GOAL := help
.PHONY: help install up down status image image-if-usable test test-full bench lint format type docs clean

help: ## List the targets
	@echo "make <target> [NAME=value ...]"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "  %-10s %s\n", $$1, $$2}'
	@echo "Names for up, down and status: DATA=$(DATA) PORT=$(PORT) HYPERVISOR=$(HYPERVISOR) HOSTS=$(HOSTS) ONCE=1"

install: ## Install what is missing: system packages (asks for root), .venv
	@$(PYTHON) cloud/install

up: install image-if-usable ## Start a cloud with a running machine; Ctrl-C ends it (ONCE=1: ends by itself)
	@$(CLOUD) up --guest --data $(DATA) --port $(PORT) --hypervisor $(HYPERVISOR) --hosts $(HOSTS) \
		$(if $(wildcard $(IMAGE)),--image $(IMAGE)) $(if $(ONCE),--once)

down: ## Stop the cloud in DATA
	@$(CLOUD) down --data $(DATA)

status: ## Show the processes of the cloud in DATA
	@$(CLOUD) status --data $(DATA)

image: ## Build the guest image from distribution packages
	@cloud/guest-image/build

image-if-usable:
	@if [ "$(HYPERVISOR)" != simulated ] && $(CLOUD) doctor --quiet --need guests; \
		then cloud/guest-image/build; fi

test: install image-if-usable lint type ## Check everything, as CI does (PYTEST='-k name' selects)
	@$(SUITES)

test-full: install image-if-usable lint type ## Likewise with full sizes and long fault campaigns
	@export STRATUSLAB_FULL=1 PYTEST_ADDOPTS="--timeout 3600"; $(SUITES)

bench: install image-if-usable ## Measure; BENCH_JSON=file keeps the numbers
	@$(BIN)/python -m bench.run

lint: ## Look for mistakes, formatting and forbidden imports
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@mkdir -p build
	@$(BIN)/lint-imports --no-logo > build/lint-imports.log || { cat build/lint-imports.log; false; }

format: ## Format the code and mend what can be mended by itself
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

type: ## Check the types
	@$(BIN)/mypy $(SOURCES)

docs: ## Write the reference pages that come from the code
	@$(BIN)/python -m stratuslab.core.reference docs/reference
	@$(BIN)/python -m stratuslab.core.contracts.asyncapi docs/reference/asyncapi.json

clean: ## Remove what was built; .venv, data and the downloaded packages stay
	rm -rf build/images build/lint-imports.log dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
