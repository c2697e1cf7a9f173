# neurolab: `make lab` opens the course, `make test` checks it, `make book` builds the site.
# Each makes .venv when it is not there; later runs start at once. Windows and conda: see README.md.

VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.neurolab-installed
# The Python that the course was tested with comes first; `make PYTHON=/path/to/python lab` overrules.
PYTHON ?=
# For the command that is run, as in `make ARGS=--no-browser lab`.
ARGS   ?=
SHELL  := /bin/sh

.DEFAULT_GOAL := help
.PHONY: help lab test test-extras book setup lint unit notebooks format clean

help: ## show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

lab: $(STAMP) ## open the course in JupyterLab, on chapter 0 (ARGS=--no-browser on a remote machine)
	$(BIN)/python -m neurolab lab $(ARGS)

test: $(STAMP) ## run every check: lint, types, tests, browser, notebooks
	$(MAKE) --no-print-directory lint
	$(MAKE) --no-print-directory notebooks
	$(MAKE) --no-print-directory unit

test-extras: $(STAMP) ## install the extra runtimes and readers, and test those that install here
	$(BIN)/python tests/extras/run.py

book: $(STAMP) ## build the static site into build/site
	$(BIN)/python -m neurolab book

setup: $(STAMP) ## make .venv and install, nothing else

lint: $(STAMP) ## ruff and mypy only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(STAMP) ## unit and browser tests only
	$(BIN)/python -m pytest tests

notebooks: $(STAMP) ## run every cell of every chapter
	$(BIN)/python -m pytest --nbval-lax notebooks

format: $(STAMP) ## let ruff mend layout and import order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what was built (not .venv, not my-course)
	rm -rf book/_build build .cache .pytest_cache .mypy_cache .ruff_cache

# The stamp is written last, so an install that failed half-way is done again; it is older than the two
# lists only when one of them changed.
$(STAMP): pyproject.toml constraints.txt
	@rm -f $@
	@python="$(PYTHON)"; \
	if [ -z "$$python" ]; then \
	    for name in python3.11 python3.12 python3.13 python3 python; do \
	        if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	            python="$$name"; break; \
	        fi; \
	    done; \
	fi; \
	if ! "$(BIN)/python" -m pip --version >/dev/null 2>&1; then \
	    if [ -z "$$python" ]; then \
	        echo "neurolab needs Python 3.11 or newer, and none was found as python3.11, python3 or python." >&2; \
	        echo "Debian and Ubuntu: sudo apt install python3 python3-venv. macOS: brew install python@3.11." >&2; \
	        echo "Elsewhere: see README.md for the conda way. Then run make again." >&2; \
	        exit 1; \
	    fi; \
	    echo "Making $(VENV) with $$("$$python" --version) ..."; \
	    "$$python" -m venv "$(VENV)" || exit 1; \
	fi
	@echo "Installing the pinned packages into $(VENV): some minutes the first time, about 2 GB on disk ..."
	@$(BIN)/python -m pip install --progress-bar on -c constraints.txt -e '.[fast,hub,nir,test]'
	@touch $@
