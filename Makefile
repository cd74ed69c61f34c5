# Two commands do all set-up on a fresh machine: `make quickstart` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help quickstart test test-slow lint bench wheel clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; say which: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

quickstart: $(READY)  ## Install, then run the whole loop on the bundled model (minutes on a laptop)
	$(BIN)/rft run quickstart --out runs/quickstart

test: $(READY)  ## Install, then run the fast tests
	$(BIN)/python -m pytest -m 'not slow'

test-slow: $(READY)  ## Run the slow tests: real kills, real training, the built wheel
	$(BIN)/python -m pytest -m slow

lint: $(READY)  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)  ## Measure the ratios that BENCHMARKS.md records
	$(BIN)/python tests/bench.py

wheel: $(READY)  ## Build the wheel into dist/
	$(BIN)/python -m build --outdir dist .

clean:  ## Remove the virtual environment and what was built
	rm -rf $(VENV) build dist
