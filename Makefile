# Everything runs from .venv, which `setup` makes from the locked requirements.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := demo
SCENES ?= 48
TESTERS ?= 2
EXAMPLES ?= 50
COMPILE ?= --compile-bytecode
FAULTS ?= 100
SEED ?= 0
FAULTS_FOLDER ?= faults
FUZZ ?= 10000
FUZZ_FOLDER ?= fuzz
BENCH_HISTORY ?= docs/bench-history.jsonl
BENCH_PYTHON ?= $(BIN)/python
BENCH_PRESET ?= vlm-fo1-3b
BENCH_DEVICE ?= cuda
BENCH_TABLE ?= bench-gpu.md
QUICK = -m "not slow" -n $(TESTERS) --dist loadscope --no-loadscope-reorder

export TOKENIZERS_PARALLELISM := false

.PHONY: help setup demo serve label-studio test quick fuzz fuzz-http faults bench bench-gpu check docs format lock lowest newest clean
help: ## Show this list
	@grep -hE '^[a-z -]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(READY) ## Make .venv with the locked versions of everything

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "fo1-data needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "making $(VENV): two to four minutes the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install $(COMPILE) --python $(BIN)/python --requirement requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

demo: $(READY) ## Label a generated corpus with the bundled model; dataset and report under demo/
	@rm -rf $(DEMO)
	$(BIN)/fo1 scenes --count $(SCENES) --seed 70000 --out $(DEMO)/corpus
	$(BIN)/fo1 label $(DEMO)/corpus --out $(DEMO)/dataset --labels brief_caption,ground
	$(BIN)/fo1 report $(DEMO)/dataset --out $(DEMO)/report.html
	$(BIN)/fo1 dataset info $(DEMO)/dataset
	@echo
	@echo "corpus   $(DEMO)/corpus          $(SCENES) generated scenes with gold"
	@echo "dataset  $(DEMO)/dataset         Parquet; datasets.load_dataset(\"$(DEMO)/dataset\") reads it"
	@echo "report   $(DEMO)/report.html     open it in a browser"

serve: $(READY) ## Run the service with everything embedded; prints the first admin key once
	$(BIN)/fo1 serve

label-studio: $(READY) ## Run a real Label Studio on loopback; prints its address, admin and token
	$(BIN)/python -m services.label_studio.server

test: $(READY) ## Run every test that needs no GPU
	$(BIN)/python -m pytest -n $(TESTERS) --dist loadscope --no-loadscope-reorder --durations=40 --durations-min=4

quick: $(READY) ## Run the tests to run at every change: every package, in under two minutes on two cores
	$(BIN)/python -m pytest $(QUICK)

fuzz: $(READY) ## FUZZ odd inputs for everything that reads what others wrote; goes on where it stopped
	PYTHONPATH=$(CURDIR):$(CURDIR)/tests/services:$(CURDIR)/tests/services/review:$(CURDIR)/tests \
		$(BIN)/python tests/fuzz/fuzz.py --inputs $(FUZZ) --seed $(SEED) --folder $(FUZZ_FOLDER)

fuzz-http: $(READY) ## Schemathesis on the HTTP API of a fresh service, EXAMPLES a test (about half an hour)
	$(BIN)/python tests/services/fuzz_service.py --max-examples $(EXAMPLES)

faults: $(READY) ## Kill, stop, starve and damage the parts of the loop until FAULTS faults were done; goes on where it stopped
	PYTHONPATH=$(CURDIR):$(CURDIR)/tests/actors:$(CURDIR)/tests/services:$(CURDIR)/tests/services/review:$(CURDIR)/tests \
		$(BIN)/python tests/faults/inject.py --faults $(FAULTS) --seed $(SEED) --folder $(FAULTS_FOLDER)

bench: $(READY) ## Measure engine, Ray, reader and sizes (about 6 minutes), and compare with the last time
	$(BIN)/fo1 bench engine --images 8 --loop-images 2 --threads 1 --history $(BENCH_HISTORY)
	$(BIN)/fo1 bench engine --images 8 --loop-images 1 --rounds 1 --history $(BENCH_HISTORY)
	$(BIN)/fo1 bench pipeline --count 100 --labels brief_caption --history $(BENCH_HISTORY)
	$(BIN)/fo1 bench reader --count 512 --history $(BENCH_HISTORY)
	$(BIN)/fo1 bench size --history $(BENCH_HISTORY)
	$(BIN)/fo1 bench --compare $(BENCH_HISTORY)

# Without network or .venv: BENCH_PYTHON=python3 takes a Python that has torch, transformers and the other
# dependencies of pyproject.toml. `timeout` is there in case a part hangs; the table has what was measured.
bench-gpu: ## Measure the engine on a GPU with 3B shapes, in at most 8 minutes; table in BENCH_TABLE
	PYTHONPATH=. timeout 480 $(BENCH_PYTHON) \
		-m fo1_data.cli.main bench engine --preset $(BENCH_PRESET) --random-weights --device $(BENCH_DEVICE) --seconds 420 --table $(BENCH_TABLE)
	@cat $(BENCH_TABLE)

check: $(READY) ## Format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY) ## Build the documentation site into site/; a warning fails it
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

format: $(READY) ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## Resolve requirements.txt anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header \
		--extra all --extra tracks --group dev --group docs pyproject.toml --output-file requirements.txt

# The quick tests on the lowest and the newest versions that pyproject.toml allows, in environments of their own.
lowest: RESOLUTION := lowest-direct
newest: RESOLUTION := highest
lowest newest: $(READY) ## Run the quick tests on the lowest, or the newest, versions allowed
	$(BIN)/uv venv --quiet --clear --python $(PYTHON) .venv-$@
	$(BIN)/uv pip compile --quiet --no-header --python .venv-$@/bin/python --resolution $(RESOLUTION) \
		--extra all --extra tracks --group dev pyproject.toml --output-file .venv-$@/requirements.txt
	$(BIN)/uv pip install --quiet --python .venv-$@/bin/python --requirement .venv-$@/requirements.txt
	$(BIN)/uv pip install --quiet --python .venv-$@/bin/python --no-deps --editable .
	.venv-$@/bin/python -m pytest $(QUICK)

clean: ## Remove what demo and tests leave
	rm -rf $(DEMO) $(FAULTS_FOLDER) $(FUZZ_FOLDER) site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
