# Two commands for a fresh machine with Python 3.11 and make: `make quickstart` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

GPU_VENV ?= .venv-gpu
# Test files are dealt out to so many processes, each with services of its own. Three keep two cores busy: tests wait for
# Slurm, databases and jobs a third of the time.
TEST_PROCESSES ?= 3
# One thread each: threads of BLAS cost the small fits four times their time, and a fork may hang on them.
PYTEST := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

.PHONY: quickstart test test-vllm gpu-test check bench faults fuzz mutants hour clean install install-dev services

quickstart: install
	$(BIN)/stalesweep launch sweeps/quickstart.yaml --executor local || [ $$? -eq 3 ]
	$(BIN)/stalesweep fit-laws quickstart

test: install-dev services
	-$(PIP) -e '.[gym]' # compiles pycosat: without a C compiler the tests of tests/end_to_end/test_gym_task.py fail
	$(PYTEST)

# vLLM pins its own transformers, so it has environments of its own: its CPU build, which tests everything but CUDA ...
test-vllm:
	tests/worker/rollout/install-vllm-cpu
	.venv-vllm/bin/python -m pytest -q -m vllm tests/worker/rollout/test_samplers.py tests/worker/rollout/test_vllm.py \
		tests/end_to_end/test_vllm_sweep.py

# ... and the real one, for a machine with a GPU or two (docs/gpu.md).
gpu-test:
	[ -x $(GPU_VENV)/bin/python ] || $(PYTHON) -m venv $(GPU_VENV)
	$(GPU_VENV)/bin/python -m pip install --quiet -e '.[lora,postgres,vllm]' 'pytest>=8.4' 'hypothesis>=6.150'
	$(GPU_VENV)/bin/python -m pytest -m gpu tests/gpu tests/worker/rollout/test_samplers.py

# What CI runs first and you run before a commit: no services, under two minutes.
check: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -q -m "not slow and not services"

bench: install-dev services
	tests/benchmarks/trl/setup
	$(BIN)/python -m tests.benchmarks.bench_worker
	$(BIN)/python -m tests.benchmarks.bench_smollm2
	$(BIN)/python -m tests.benchmarks.bench_pipelines --k 2 8
	$(BIN)/python -m tests.benchmarks.bench_cli
	$(BIN)/python -m tests.benchmarks.bench_quickstart
	$(BIN)/python -m tests.benchmarks.bench_startup
	$(BIN)/python -m tests.benchmarks.bench_store
	$(BIN)/python -m tests.benchmarks.bench_journal
	$(BIN)/python -m tests.benchmarks.bench_large
	$(BIN)/python -m tests.benchmarks.bench_cluster
	$(BIN)/python -m tests.benchmarks.bench_calibration
	$(BIN)/python -m tests.benchmarks.bench_search

# Do the tests bite? Some forty faults made by hand, each with the tests that must find it ...
faults: install-dev
	$(BIN)/python -m tests.deliberate_faults

# ... whatever a file holds, does it end in a message? 10,000 examples for each property, other ones each time ...
fuzz: install-dev
	HYPOTHESIS_PROFILE=fuzz $(PYTEST) tests/base/test_safe_text.py tests/data/test_any_import.py \
		tests/grid/test_any_grid.py tests/rundir/test_any_journal.py

# ... and a random sample of the small changes of a room that mutmut can make, e.g. `make mutants ROOM=grid SAMPLE=100
# SEED=1`; what survives is listed.
ROOM ?= grid
SAMPLE ?= 100
SEED ?= 0
ALSO ?=
mutants: install-dev
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -P tests/mutants.py $(ROOM) --also $(ALSO) --sample $(SAMPLE) \
		--seed $(SEED)

# A sweep under random faults beside an undisturbed twin: `make hour ON=postgres SEED=2 MINUTES=60`. Needs root and cc.
ON ?= sqlite
MINUTES ?= 60
hour: install-dev services
	$(BIN)/python -m tests.hour_of_faults --on $(ON) --seed $(SEED) --minutes $(MINUTES)

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

# Slurm, for tests/cluster, and a browser for tests/end_to_end/test_report.py, where any Chromium will do. Postgres
# comes with the development packages.
services:
	slurm/install-debian
	-slurm/install-debian chromium-headless-shell

clean:
	rm -rf mutants $(VENV) $(GPU_VENV) .venv-trl .venv-vllm .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist stalesweep-runs stalesweep.db*
