# Each target sets itself up. A fresh clone needs Python 3.11+ (with venv), make and a package index.

PYTHON ?= python3
RUN := .venv/bin

# Pinned, so that everybody's lock file is read by the program that wrote it.
UV_VERSION := 0.13.9
export UV_PYTHON_DOWNLOADS := never
# A site's own certificate authority stands in the system's store, where there is one.
CERTIFICATES := $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt)
export UV_SYSTEM_CERTS ?= $(if $(CERTIFICATES),1,0)
UV := env -u VIRTUAL_ENV .uv/bin/uv

# Every program would compile all that it imports anew, the gateway's reading processes included.
unexport PYTHONDONTWRITEBYTECODE

# Test processes: more than cores, for much of a test is waiting for servers.
WORKERS ?= 6
# Who has nothing left takes from who has most: else one of them works on alone for half a minute.
PARALLEL := -n $(WORKERS) --dist worksteal

.PHONY: help setup demo test soak check bench docs format coverage clean

help:
	@echo 'make demo    run a real job by mail on this machine, from request to checked reply'
	@echo 'make test    every test that this machine can run'
	@echo 'make check   format, lint, types, layers and docs'
	@echo 'make soak    the long proofs at full count (MAILGATE_SEED=N repeats a run)'
	@echo 'make bench   measure, each figure against its reference'
	@echo 'make docs    write the generated pages anew;  make format, coverage, clean: as they say'

demo: .venv/.demo
	@$(RUN)/python etc/demo/demo.py

test: .venv/.dev
	$(RUN)/pytest $(PARALLEL)

soak: .venv/.dev
	MAILGATE_SOAK=1 $(RUN)/pytest $(PARALLEL) -m soak --timeout=7200

check: .venv/.dev
	$(RUN)/ruff format --check
	$(RUN)/ruff check
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/pytest -q tests/test_docs.py tests/test_house.py

bench: .venv/.dev
	$(RUN)/python -m tests.bench

docs: .venv/.dev
	$(RUN)/python docs/generate.py

format: .venv/.dev
	$(RUN)/ruff format
	$(RUN)/ruff check --fix

coverage: .venv/.dev
	$(RUN)/pytest $(PARALLEL) --cov --cov-report=term

clean:
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* dist demo

setup: .venv/.dev

.venv/.demo: uv.lock pyproject.toml .uv/.made
	@echo 'setting up .venv (what the gateway and its demo need)' >&2
	@$(call install,--no-dev --group demo)
	@touch $@

.venv/.dev: uv.lock pyproject.toml .uv/.made
	@echo 'setting up .venv (what the tests need)' >&2
	@$(call install,--group dev --group demo)
	@touch $@ .venv/.demo

# Where pip or uv was given an index of its own (a mirror), the lock's versions and hashes come from
# there; else the lock's own addresses are used.
MIRROR := $$(.uv/bin/pip config list 2>/dev/null | sed -nE "s/^(:env:|global|install)\.index-url='(.*)'$$/\2/p" | tail -n 1)
define install
mirror=$${UV_DEFAULT_INDEX:-$${UV_INDEX_URL:-$(MIRROR)}}; \
if [ -z "$$mirror" ]; then \
    $(UV) sync --quiet --locked --inexact --python .uv/bin/python $(1); \
else \
    $(UV) venv --quiet --allow-existing --python .uv/bin/python .venv && \
    $(UV) export --quiet --frozen --no-emit-project $(1) --output-file .uv/requirements.txt && \
    $(UV) pip install --quiet --python $(RUN)/python --default-index "$$mirror" \
        --require-hashes -r .uv/requirements.txt && \
    $(UV) pip install --quiet --python $(RUN)/python --default-index "$$mirror" --no-deps -e .; \
fi
endef

.uv/.made: Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo 'mailgate needs Python 3.11 or newer as "$(PYTHON)"; name another: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo '$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@echo 'setting up .uv (the installer)' >&2
	@$(PYTHON) -m venv .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv==$(UV_VERSION)'
	@touch $@
