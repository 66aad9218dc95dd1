# Two commands for a fresh machine: `make demo` and `make test`. Each sets everything up first,
# and a second call does no set-up again. Needed: Python 3.11 or 3.12 with headers, a C++ compiler.

VENV   ?= .venv
# A name on the path may be a shim for a version that is not there: ask each whether it runs.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' \
	2>/dev/null && { echo $$p; break; }; done)
CORES  ?= $(shell nproc)
SLOTS  ?= $(CORES)
# Processes that share the tests, each with one thread. One of them mostly waits for Slurm.
TESTERS ?= 3
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PIP    := $(BIN)/python -m pip --disable-pip-version-check
DEMO_DATA := trees landcover cluttered-digits software-en-de
TEST_DATA := $(DEMO_DATA) control-scenes

.PHONY: help setup demo test lint docs slurm latex browser triton clean

help:
	@echo "make demo    set up, train a small grid in all three frameworks, show table and figure"
	@echo "make test    set up, then lint, type check and run the tests"
	@echo "make docs    set up, then make HTML of docs/ and the docstrings in docs/_build"
	@echo "make setup   only set up $(VENV)"
	@echo "make slurm latex browser"
	@echo "             install from Debian's packages what some tests need (root only)"
	@echo "make triton  install the compiler of the GPU kernels where torch did not bring it"
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
	@echo "  $(BIN)/study report grids/demo          all of it: results/report/index.html"
	@echo "  README.md                               your own grid, your cluster, COCO"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	$(BIN)/python -m sphinx -b html -q -W --keep-going -n docs docs/_build
	@echo "The pages are in docs/_build/index.html."

test: lint slurm latex browser triton
	$(BIN)/study data prepare $(TEST_DATA)
	$(BIN)/python -m pytest -n $(TESTERS)

# Programs that some tests need, from Debian's packages: Slurm (the launcher), LaTeX (the tables), a
# browser (the report). Where they cannot be installed those tests are skipped. What apt may start by
# itself is in nobody's way: the cluster of the tests has its own ports, sockets and folder.
APT     := DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300
INSTALL := $(APT) install -y --no-install-recommends

# $(call debian,name,condition that tells that it is there,packages)
define debian
@PATH=$$PATH:/usr/sbin; \
has() { for p; do command -v $$p || return 1; done; }; \
{ $(2); } >/dev/null 2>&1 && exit 0; \
without() { echo "$(1) is not installed, so its tests will be skipped: $$1"; exit 0; }; \
command -v apt-get >/dev/null || without "this machine has no apt-get"; \
[ "$$(id -u)" = 0 ] || without "only root may install it (sudo make $@)"; \
log=$$(mktemp); \
{ $(INSTALL) $(3) || { $(APT) update && $(INSTALL) $(3); }; } >$$log 2>&1 \
|| { tail -n 5 $$log; rm $$log; without "apt-get failed"; }; \
rm $$log; echo "Installed $(1) for the tests."
endef

slurm:
	$(call debian,Slurm,has sbatch slurmdbd munged mariadbd,slurm-wlm slurmdbd munge mariadb-server)

latex:
	$(call debian,LaTeX,has pdflatex && kpsewhich booktabs.sty,texlive-latex-recommended)

browser:
	$(call debian,Chromium,has chromium,chromium)

# torch for CUDA brings the Triton that fits it. Beside torch for CPUs, the tests of the kernels need
# one: they run them in its interpreter and compile them for a GPU.
TRITON := 3.9.0
triton: setup
	@$(BIN)/python -c "import triton" 2>/dev/null \
	|| $(PIP) install --quiet --no-deps triton==$(TRITON) \
	|| echo "Triton is not installed, so its tests will be skipped."

clean:
	rm -rf $(VENV)
