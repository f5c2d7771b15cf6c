# Two commands for a fresh machine with Python 3.11 and make: `make quickstart` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: quickstart test check bench clean install install-dev services

quickstart: install
	$(BIN)/stalesweep launch sweeps/quickstart.yaml --executor local || [ $$? -eq 3 ]
	$(BIN)/stalesweep fit-laws quickstart

test: install-dev services
	$(BIN)/python -m pytest

# What CI runs first and you run before a commit: no services, under two minutes.
check: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -m "not slow" tests/unit

bench: install-dev
	tests/benchmarks/trl/setup
	$(BIN)/python -m tests.benchmarks.bench_worker
	$(BIN)/python -m tests.benchmarks.bench_cli
	$(BIN)/python -m tests.benchmarks.bench_quickstart

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[postgres,dev]'
	touch $@ $(VENV)/.installed

# Slurm, for tests/cluster. Postgres comes with the development packages.
services:
	slurm/install-debian

clean:
	rm -rf $(VENV) .venv-trl .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist stalesweep-runs stalesweep.db*
