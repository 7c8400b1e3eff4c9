# Everything here sets itself up: Python 3.11 or newer and make are enough to begin with.
#   make demo         simulate a radial cine, reconstruct it with every method, write pictures to demo/ (made anew each time)
#   make test         the tests, in a virtual screen where the system has one
#   make test-all     the same with the slow ones
#   make test QT=pyside6   the tests with the other Qt binding, in an environment of its own
#   make fuzz         10,000 damaged files of each kind that is read, an hour of one core; MUTANTS for another number
#   make lint         ruff, mypy, import-linter, typos
#   make hooks        have git run the quick part of lint before each commit
#   make bench        benchmarks, one after the other; BENCH=benchmarks/NAME.py for one (gpu.py runs only so)
#   make extractor    simulate scenes into scenes/ and train DynRes on them, an hour of one core
#   make screenshots  pictures of the viewer for the docs
#   make docs         regenerate docs/reference
#   make clean        remove the virtual environment and what tools left behind

SHELL := /bin/bash
# The Qt binding of the viewer: pyqt6 or pyside6. Two in one environment get in each other's way.
QT ?= pyqt6
VENV ?= $(if $(filter pyqt6,$(QT)),.venv,.venv-$(QT))
BIN := $(VENV)/bin
# "make CONSTRAINTS= test" takes the newest versions instead of the tested ones.
CONSTRAINTS ?= constraints.txt
PIP = $(BIN)/python -m pip install --disable-pip-version-check -qq $(addprefix -c ,$(CONSTRAINTS))
INPUTS := pyproject.toml hatch_build.py $(CONSTRAINTS)
# OUT: where the demo goes. ARGS: more arguments for pytest or a benchmark. BENCH: the benchmarks to run.
# MUTANTS: damaged files of each format.
OUT ?= demo
ARGS ?=
MUTANTS ?= 10000
BENCH ?= $(filter-out benchmarks/gpu%,$(wildcard benchmarks/*.py))

VIEWER := $(if $(filter pyqt6,$(QT)),all,$(QT))
# qtpy and pytest-qt read them; the second overrides qt_api of pyproject.toml.
export QT_API := $(QT)
export PYTEST_QT_API := $(QT)

.PHONY: demo test test-all fuzz lint hooks bench extractor screenshots docs clean
.DELETE_ON_ERROR:

demo: $(VENV)/.base
	$(if $(filter demo,$(OUT)),rm -rf demo)
	$(BIN)/napari-dainr demo -o $(OUT)

# The viewer's tests share one screen and run one after the other; all others side by side.
test: $(VENV)/.dev $(VENV)/.system
ifeq ($(ARGS),)
	bash tools/with-screen.sh $(BIN)/python -m pytest -m "not slow" --ignore=tests/gui -n auto --maxprocesses=4 --dist=loadfile
	bash tools/with-screen.sh $(BIN)/python -m pytest -m "not slow" tests/gui
else
	bash tools/with-screen.sh $(BIN)/python -m pytest -m "not slow" $(ARGS)
endif

test-all: $(VENV)/.dev $(VENV)/.system
	bash tools/with-screen.sh $(BIN)/python -m pytest $(ARGS)

fuzz: $(VENV)/.dev
	NAPARI_DAINR_MUTANTS=$(MUTANTS) $(BIN)/python -m pytest -n auto --dist=worksteal tests/io/test_fuzz.py tests/io/test_fuzz_documents.py $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/typos

hooks: $(VENV)/.dev
	git config core.hooksPath tools/hooks

bench: $(VENV)/.dev $(VENV)/.system
	for script in $(BENCH); do echo "== $$script"; bash tools/with-screen.sh $(BIN)/python $$script $(ARGS) || exit 1; done

extractor: $(VENV)/.base
	$(BIN)/python tools/train_extractor.py --work scenes -o resources/dynres.safetensors

screenshots: $(VENV)/.dev $(VENV)/.system
	bash tools/with-screen.sh $(BIN)/python docs/make_screenshots.py

docs: $(VENV)/.dev
	$(BIN)/python docs/make_reference.py

clean:
	rm -rf $(VENV) .venv-pyside6 build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	rm -rf napari_dainr/napari.yaml napari_dainr/resources
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: a second run installs nothing unless what is to be installed has changed.
$(VENV)/.made:
	bash tools/make-venv.sh "$(or $(PYTHON),$(shell bash tools/find-python.sh))" $(VENV)
	touch $@

# The engine and the command line, without Qt.
$(VENV)/.base: $(VENV)/.made $(INPUTS)
	@echo "Installing napari-dainr into $(VENV) (some minutes the first time)"
	$(PIP) -e .
	touch $@

# The viewer, the tests and the linters.
$(VENV)/.dev: $(VENV)/.made $(INPUTS)
	@echo "Installing napari-dainr with viewer and test tools into $(VENV) (some minutes the first time)"
	$(PIP) -e ".[$(VIEWER)]" --group dev
	touch $(VENV)/.base $@

$(VENV)/.system: $(VENV)/.made tools/system-packages.sh
	bash tools/system-packages.sh
	touch $@
