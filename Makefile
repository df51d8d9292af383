# make demo: set up and run everything once. make test: lint, types, tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := -c requirements.txt -c requirements-dev.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint types unit soak pins clean

demo: $(VENV)/.installed
	$(BIN)/fewshot-audio demo --output demo

test: lint types unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

# One thread per worker: two busy thread pools on two cores wait for each other.
unit: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal --cov --cov-report=term

soak: $(VENV)/.dev
	$(BIN)/pytest -m soak

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml requirements.txt requirements-dev.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet $(CONSTRAINTS) -e .
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/pip install --quiet $(CONSTRAINTS) -e '.[dev]'
	touch $@

# Write the exact pins anew: the runtime's, and what development adds. TORCH picks the build to pin.
TORCH ?= torch==2.13.0
pins:
	rm -rf build/pins
	$(PYTHON) -m venv build/pins
	build/pins/bin/pip install --quiet '$(TORCH)' .
	build/pins/bin/pip freeze --exclude fewshot-audio | sed 's/+cpu$$//' > requirements.txt
	build/pins/bin/pip install --quiet '.[dev]'
	build/pins/bin/pip freeze --exclude fewshot-audio | sed 's/+cpu$$//' | grep -vxFf requirements.txt > requirements-dev.txt

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .mypy_cache .ruff_cache .coverage* src/*.egg-info
