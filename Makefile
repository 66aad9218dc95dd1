# Two commands for a fresh machine: `make demo` and `make test`. Each sets everything up first,
# and a second call does no set-up again. Needed: Python 3.11 or 3.12 with headers, a C++ compiler.

VENV   ?= .venv
# A name on the path may be a shim for a version that is not there: ask each whether it runs.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' \
	2>/dev/null && { echo $$p; break; }; done)
CORES  ?= $(shell nproc)
SLOTS  ?= $(CORES)
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PIP    := $(BIN)/python -m pip --disable-pip-version-check
DEMO_DATA := trees landcover software-en-de

.PHONY: help setup demo test lint clean

help:
	@echo "make demo    set up, train a small grid in all three frameworks, show table and figure"
	@echo "make test    set up, then lint, type check and run the tests"
	@echo "make setup   only set up $(VENV)"
	@echo "make clean   remove $(VENV); prepared data and pip's cache stay"

setup: $(READY)

# torch comes first, since mmcv compiles its ops against it.
$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or 3.12 is needed (PYTHON=... names one)"; exit 2; }
	@command -v c++ >/dev/null || { echo "error: a C++ compiler is needed (Debian: apt-get install g++)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint requirements.lock setuptools wheel ninja packaging numpy torch
	@echo "Installing the frameworks; the first time on a machine mmcv's ops are compiled (about 10 minutes on 2 cores)."
	MMCV_WITH_OPS=1 MAX_JOBS=$(CORES) $(PIP) install --quiet --no-deps --no-build-isolation --requirement requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	$(BIN)/study data prepare $(DEMO_DATA)
	$(BIN)/study run grids/demo --slots $(SLOTS)
	$(BIN)/study table grids/demo
	$(BIN)/study plot grids/demo --out results
	@echo
	@echo "The figures are in results/demo. Where to look next:"
	@echo "  $(BIN)/study status grids/demo          what became of each run"
	@echo "  $(BIN)/study inspect RUN                one run: configuration, curve, result, provenance"
	@echo "  $(BIN)/study logs RUN                   its log"
	@echo "  README.md                               your own grid, your cluster, COCO"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/study data prepare $(DEMO_DATA)
	$(BIN)/python -m pytest

clean:
	rm -rf $(VENV)
