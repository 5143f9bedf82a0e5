SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The interpreter that .venv is made with.
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null)

PYPROJECTS := $(wildcard proto/pyproject.toml libs/*/pyproject.toml services/*/pyproject.toml \
                apps/*/pyproject.toml tools/pyproject.toml)
PACKAGES := $(patsubst %/pyproject.toml,%,$(PYPROJECTS))

RUNTIME := .venv/runtime.stamp
DEV := .venv/dev.stamp
BIN := .venv/bin

ifdef UV
INSTALL := $(UV) pip install --quiet --python $(BIN)/python
else
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: help
help:  ## List what can be made.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- environment ------------------------------------------------------------

.PHONY: setup
setup: $(RUNTIME)  ## Install what `feedgate` and its demo need into .venv.

.PHONY: setup-dev
setup-dev: $(DEV)  ## Install what tests and linters need, too.

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "no \`$(PYTHON)\`: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Feedgate needs Python 3.11 or newer; \`$(PYTHON)\` is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=/path/to/python3"; exit 1; }
ifdef UV
	@$(UV) venv --quiet --allow-existing --no-python-downloads --python "$$(command -v $(PYTHON))" .venv
else
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv .venv
endif

$(RUNTIME): requirements/runtime.txt $(PYPROJECTS) | $(BIN)/python
	@echo "installing the runtime set into .venv"
ifndef UV
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
endif
	@$(INSTALL) --require-hashes -r requirements/runtime.txt
	@$(INSTALL) --no-deps --no-build-isolation $(addprefix --editable ./,$(PACKAGES))
	@touch $@

$(DEV): $(RUNTIME) requirements/dev.txt
	@echo "installing tests and linters into .venv"
	@$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

.PHONY: servers
servers:  ## Install the servers that tests meet: Kafka, Keycloak, PostgreSQL, Chromium, GStreamer (Debian).
	@deploy/servers/install.sh

# What each image installs: the lock of its own package, cut out of the runtime set.
IMAGES := registry access-policy audit ingest relay feedgate tools
PYPROJECT_OF_feedgate := apps/feedgate
PYPROJECT_OF_tools := tools
pyproject_of = $(or $(PYPROJECT_OF_$(1)),services/$(1))/pyproject.toml
OURS := feedgate-contracts feedgate-kit feedgate-client feedgate $(addprefix feedgate-,registry access-policy audit ingest relay)
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-header --no-annotate --no-emit-index-url --no-emit-find-links

.PHONY: lock
lock: $(DEV)  ## Choose versions anew and write requirements/*.txt.
	@$(COMPILE) --upgrade --output-file requirements/runtime.txt requirements/runtime.in
	@$(COMPILE) --upgrade --constraint requirements/runtime.txt --output-file requirements/dev.txt requirements/dev.in
	@$(MAKE) lock-images

.PHONY: lock-images
lock-images: $(DEV)  ## Write requirements/<image>.txt: of the runtime set, what each image needs.
	@echo hatchling | $(COMPILE) --constraint requirements/runtime.txt --output-file requirements/build.txt -
	@$(foreach image,$(IMAGES),$(COMPILE) --constraint requirements/runtime.txt \
	  $(addprefix --no-emit-package ,$(OURS)) --output-file requirements/$(image).txt $(call pyproject_of,$(image));)

# --- product ----------------------------------------------------------------

# The address may hold a password, so it travels in the environment, which `ps` does not show,
# and is taken as typed: make expands nothing in it.
.PHONY: demo
ifdef CAMERA
demo: export FEEDGATE_DEMO_CAMERA = $(value CAMERA)
endif
demo: $(RUNTIME)  ## Play the whole story and stay up (CAMERA=rtsp://… to use your own camera).
	@$(BIN)/feedgate demo

.PHONY: dashboards
dashboards: $(DEV)  ## Write Grafana's dashboards and the page of metrics from the code.
	@$(BIN)/python -m deploy.grafana
	@$(BIN)/python -m feedgate.metrics_reference > docs/ref/metrics.md

# The base of every image; any with Python 3.11 or newer and its venv module.
BASE ?= python:3.11-slim
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' apps/feedgate/pyproject.toml)
# Docker's own plugin where it is there, else the older command.
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

.PHONY: images
images:  ## Build every container image and print its size (BASE=…: over another base).
	@$(foreach image,$(IMAGES),docker build --quiet --file deploy/Dockerfile --target $(image) \
	  --build-arg BASE=$(BASE) --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) \
	  --tag feedgate/$(image):$(VERSION) . >/dev/null;)
	@docker images --filter 'reference=feedgate/*:$(VERSION)' --format '{{.Repository}}  {{.Size}}'

# In a project of its own, so that no demo user is ever in yours.
.PHONY: demo-compose
demo-compose: export FEEDGATE_REALMS = demo
demo-compose: export FEEDGATE_ALLOWED_NETWORKS = 172.16.0.0/12 192.168.0.0/16 10.0.0.0/8
demo-compose: images  ## Bring the whole stack up in containers with demo users, and play the story on it.
	@export FEEDGATE_STORY_SINCE=$$(date +%s.%N); \
	$(COMPOSE) --project-name feedgate-demo --profile demo up --detach && \
	$(COMPOSE) --project-name feedgate-demo --profile demo run --rm story
	@echo "The stack stays up: Grafana is at http://127.0.0.1:3000. To end it, with its data:"
	@echo "  $(COMPOSE) --project-name feedgate-demo --profile demo down --volumes"

.PHONY: sbom
sbom: $(DEV)  ## Write a CycloneDX bill of each image's Python packages to build/sbom/.
	@mkdir -p build/sbom
	@$(foreach image,$(IMAGES),$(BIN)/cyclonedx-py requirements requirements/$(image).txt \
	  --pyproject $(call pyproject_of,$(image)) --mc-type application --output-reproducible --output-format JSON \
	  --output-file build/sbom/$(image).cdx.json 2>/dev/null;)
	@ls build/sbom/*

.PHONY: licences
licences: $(DEV)  ## Write docs/ref/licences.md from what is installed.
	@mkdir -p build && $(BIN)/python -m tests.supply.licences > build/licences.md
	@mv build/licences.md docs/ref/licences.md

.PHONY: proto
proto: $(DEV)  ## Generate feedgate_contracts from proto/.
	@$(BIN)/python proto/generate.py

# --- checks -----------------------------------------------------------------

.PHONY: test
test: export FEEDGATE_REQUIRE = $(REQUIRE)
test: $(DEV)  ## Run every test this machine can run (REQUIRE=all: a test left out is a failure).
	@$(BIN)/python -m pytest $(PYTEST)

.PHONY: compose-test
compose-test: export FEEDGATE_REQUIRE = $(REQUIRE)
compose-test: $(DEV)  ## Build the images, bring the stack up on a Docker engine of its own, and play the story (root).
	@$(BIN)/python -m pytest tests/compose/the_stack.py $(PYTEST)

.PHONY: breakages
breakages: $(DEV)  ## Break the rules one by one in a copy, and name the test that notices each.
	@$(BIN)/python -m tests.breakages

.PHONY: faults
faults: $(DEV)  ## Strike every server and service in every way under 40 viewers, and write docs/ref/faults.md (root).
	@$(BIN)/python -m tests.faults --table docs/ref/faults.md

.PHONY: soak
soak: $(DEV)  ## Half an hour with 100 viewers and a fault every minute; the end of docs/ref/faults.md (root).
	@$(BIN)/python -m tests.faults --soak 30 --table docs/ref/faults.md

.PHONY: lint
lint: $(DEV)  ## Check style, types, imports, contracts and what must not be committed.
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/python -m tests.hygiene
	@cd proto && ../$(BIN)/buf lint && ../$(BIN)/buf format -d --exit-code
	@PATH="$(CURDIR)/$(BIN):$$PATH" proto/breaking.sh
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy

.PHONY: format
format: $(DEV)  ## Let the formatters have their way.
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .
	@cd proto && ../$(BIN)/buf format -w

.PHONY: bench
bench: $(DEV)  ## Run every benchmark and write bench/RESULTS.md.
	@$(BIN)/python -m bench all

.PHONY: clean
clean:  ## Remove everything that make has made.
	@rm -rf .venv .servers .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
