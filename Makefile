# make demo: set up and run everything once. make test: lint, layers, types, documentation, tests. make docs: build/site.
# make bench: how long commands take to start and to answer, scanning, a training episode; build/bench/*.json.
# With BEFORE=DIR beside the files of another version, as ratios.
# make esc50 ESC50=DIR: train a recipe on ESC-50 and test it; make best ESC50=DIR: the most accurate one. make recognizer
# RECORDINGS=DIR, make event-network RECORDINGS=DIR: retrain the shipped recognizer, and the network that detects events.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := -c requirements.txt -c requirements-dev.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo esc50 best recognizer event-network test lint types docs unit coverage soak bench pins clean

demo: $(VENV)/.installed
	$(BIN)/fewshot-audio demo --output demo

# ESC50 is the folder of the published recordings (meta/esc50.csv, audio/), SPLITS a published splits.npy (without it, the split
# is made by seed). Finished work is kept.
DATA ?= data
EXPERIMENTS ?= experiments
RECIPE ?= fast
ENCODER ?= Hybrid
PAIR = $(EXPERIMENTS)/config-$(RECIPE)-$(ENCODER)
TRAIN = $(BIN)/fewshot-audio train -e $(PAIR)/experiment_config.json -m $(PAIR)/model_config.json \
	--data-root $(DATA) --output $(EXPERIMENTS) --resume

esc50: $(VENV)/.installed
	@test -n "$(ESC50)" || { echo "make $@ ESC50=DIR: the folder of ESC-50, with meta/esc50.csv and audio/"; exit 1; }
	$(BIN)/fewshot-audio prepare esc50 --source "$(ESC50)" --data-root $(DATA) $(if $(SPLITS),--splits "$(SPLITS)")
	$(BIN)/fewshot-audio configs --dataset ESC-50-master --recipe $(RECIPE) --encoder $(ENCODER) -o $(PAIR)
	$(TRAIN)

# The recipe "best": runs of three encoders, joined into one network, tested with 5 shots and with 1.
best:
	for encoder in CNN Hybrid ResNet12; do $(MAKE) esc50 RECIPE=best ENCODER=$$encoder || exit 1; done
	test -e $(EXPERIMENTS)/best || $(BIN)/fewshot-audio join $(EXPERIMENTS)/ESC-50-master_best_*/run-* -o $(EXPERIMENTS)/best
	for shots in 5 1; do $(BIN)/fewshot-audio evaluate $(EXPERIMENTS)/best --data-root $(DATA) --n-shot $$shots || exit 1; done

# RECORDINGS is a folder of collections: ESC-50 as published (ESC-50-master), the others as folders of classes. What was
# learned of each has a license, which the model card repeats.
FREE_LICENSES = "Notes of the sound font FluidR3 GM: MIT." "Arabic command words by 30 people: CC BY 4.0." \
	"Read sentences of speechocean762: free for commercial and non-commercial use."
LICENSES = $(FREE_LICENSES) "Hits of Hydrogen's drum kits: GPL or CC BY-SA, per kit." \
	"ESC-50 (Piczak 2015) and UrbanSound8K (Salamon 2014): CC BY-NC 3.0, so use the weights for non-commercial purposes."
COLLECTIONS ?= drumkit instruments readers speakers urban words
RECOGNIZER_DATA := $(DATA)/any-sound
FRONT_END := --n-fft 512 --hop 256 --n-mels 64 --fill silence --min-clips 1 --way 2 --data-root $(RECOGNIZER_DATA)
recognizer: $(VENV)/.installed
	@test -n "$(RECORDINGS)" || { echo "make $@ RECORDINGS=DIR: a folder of collections, see the Makefile"; exit 1; }
	$(BIN)/fewshot-audio prepare esc50 --source "$(RECORDINGS)/ESC-50-master" $(FRONT_END) $(if $(SPLITS),--splits "$(SPLITS)")
	for name in $(COLLECTIONS); do \
		$(BIN)/fewshot-audio prepare folder --source "$(RECORDINGS)/$$name" --name $$name $(FRONT_END) --pad || exit 1; \
	done
	$(BIN)/python -m fewshot_audio.cli.any_sound any_sound ESC-50-master $(COLLECTIONS) --measured-on ESC-50-master \
		--exclude urban/dog_bark urban/engine_idling --weight ESC-50-master=3 urban=1.5 --data-root $(RECOGNIZER_DATA) -o $(EXPERIMENTS)/any-sound \
		--license $(LICENSES)
	$(BIN)/python -m fewshot_audio.cli.any_sound any_sound_permissive instruments readers speakers words --measured-on ESC-50-master \
		--data-root $(RECOGNIZER_DATA) -o $(EXPERIMENTS)/any-sound-permissive --license $(FREE_LICENSES)

BACKGROUND = sea_waves rain wind crickets crackling_fire train washing_machine helicopter thunderstorm airplane engine vacuum_cleaner \
	pouring_water hand_saw toilet_flush chainsaw
CITY = air_conditioner engine_idling street_music children_playing drilling jackhammer
event-network: $(VENV)/.installed
	@test -n "$(RECORDINGS)" || { echo "make $@ RECORDINGS=DIR: a folder of collections, see the Makefile"; exit 1; }
	$(BIN)/python -m fewshot_audio.cli.event_network $(foreach name,ESC-50-master $(COLLECTIONS),"$(RECORDINGS)/$(name)") \
		--background $(BACKGROUND:%=ESC-50-master/%) $(CITY:%=urban/%) \
		--weight ESC-50-master=4 instruments=1.5 words=1.5 speakers=0.5 readers=0.5 --license $(LICENSES)

test: lint types docs unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: $(VENV)/.dev
	$(BIN)/mypy

# Warnings are errors, except the theme's notice about its own future.
docs: export NO_MKDOCS_2_WARNING := 1
docs: $(VENV)/.dev
	$(BIN)/mkdocs build --strict --quiet

# One thread per worker: two busy thread pools on two cores would wait for each other.
unit: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

# The same with the share of lines that tests reach.
coverage: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal --cov --cov-report=term

soak: $(VENV)/.dev
	$(BIN)/pytest -m soak

BENCH := build/bench
bench: $(VENV)/.dev
	for name in startup recognize scan; do $(BIN)/python -m benchmarks.$$name --json $(BENCH)/$$name.json || exit 1; done
	$(BIN)/python -m benchmarks.train_step --scenario plain --repetitions 9 --json $(BENCH)/train_step.json
	$(if $(BEFORE),$(BIN)/python -m benchmarks.compare $(BENCH) "$(BEFORE)")

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml requirements.txt requirements-dev.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet $(CONSTRAINTS) -e .
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/pip install --quiet $(CONSTRAINTS) -e '.[dev]'
	touch $@

# Write new exact pins: the runtime's, and those that development adds. TORCH chooses the build to pin.
TORCH ?= torch==2.13.0
pins:
	rm -rf build/pins
	$(PYTHON) -m venv build/pins
	build/pins/bin/pip install --quiet '$(TORCH)' .
	build/pins/bin/pip freeze --exclude fewshot-audio | sed 's/+cpu$$//' > requirements.txt
	build/pins/bin/pip install --quiet '.[dev]'
	build/pins/bin/pip freeze --exclude fewshot-audio | sed 's/+cpu$$//' | grep -vxFf requirements.txt > requirements-dev.txt

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage* src/*.egg-info
