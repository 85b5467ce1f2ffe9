# Every target sets up everything it needs itself, in .venv.
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
OUT ?= demo_out
DATA ?= ../shared/data
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint docs bench clean

demo: $(STAMP)
	$(BIN)/speck-adacal demo --out $(OUT) --force

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not long" -n 2

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Needs MNIST and CIFAR-10 (`speck-adacal datasets fetch`) and the networks in DATA.
bench: $(STAMP)
	$(BIN)/python benchmarks/bench_neuron.py
	$(BIN)/python benchmarks/bench_search.py --weights $(DATA)/cifar10_resnet20_akamaster.npz
	$(BIN)/python benchmarks/bench_twin.py --data $(DATA)
	$(BIN)/python benchmarks/bench_end_to_end.py
	$(BIN)/python benchmarks/compare_simulators.py --data $(DATA)
	$(BIN)/python benchmarks/compare_peers.py
	$(BIN)/python benchmarks/speed_figure.py
	$(BIN)/python benchmarks/headline_figure.py
	$(BIN)/python scripts/update_docs.py

docs: $(STAMP)
	$(BIN)/mkdocs build --strict

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) $(OUT) build dist
