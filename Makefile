# Needs Python >= 3.11, git and make; everything else goes into .venv, from locks with hashes.
#
#   make demo         one task from request to result, everything embedded    (DEMO="--agent claude-code")
#   make test         all tests but those of real agent CLIs                  (TESTS="tests/unit -k name")
#   make lint         style, import contracts, spelling, types
#   make bench        the benchmarks of docs/benchmarks.md                    (BENCH="submit sse")
#   make peers        other queues, for `make bench BENCH="peers losses"`
#   make chaos        tasks under kill -9 and network faults, docs/reliability.md (TASKS=20000 SEED=1)
#   make test-agents  real agent CLIs against a scripted model server; needs npm
#   make lock         renew requirements/*.lock                               (LOCK="--upgrade")
#   make clean        remove everything that make and the tools have made

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test lint types bench peers chaos test-agents lock clean
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
JOBS := 4
TESTS := tests
DEMO :=
BENCH :=
TASKS := 20000
SEED := 1
BEFORE :=
LOCK :=

# The first one that is new enough and can make virtual environments.
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON := $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c '$(USABLE)' >/dev/null 2>&1 && command -v $$p && break; done)

INSTALL = $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet

help:
	@sed -n 's/^#   make/make/p' Makefile

demo: $(VENV)/run.stamp
	$(BIN)/codeforge demo $(DEMO)

test: $(VENV)/test.stamp
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not agents" $(TESTS)

lint: $(VENV)/dev.stamp
	@test ! -e cmd/__init__.py || { echo "cmd/__init__.py hides the standard library's cmd" >&2; exit 1; }
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell
	@$(MAKE) --no-print-directory types

types: $(VENV)/dev.stamp
	$(BIN)/mypy
	$(BIN)/pyright

bench: $(VENV)/test.stamp
	$(BIN)/python -m benchmarks $(BENCH)

# Each in an environment of its own: their requirements exclude each other.
peers: $(patsubst requirements/peers/%.lock,.venv-peers/%/stamp,$(wildcard requirements/peers/*.lock))

.venv-peers/%/stamp: requirements/peers/%.lock
	"$(PYTHON)" -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes --no-deps -r $<
	@touch $@

chaos: $(VENV)/test.stamp
	$(BIN)/python -m tests.support.chaos_round --tasks $(TASKS) --seed $(SEED) $(if $(BEFORE),--before $(BEFORE))

test-agents: $(VENV)/test.stamp
	if [ -x tests/agents/install.sh ]; then tests/agents/install.sh; fi
	$(BIN)/pytest -m agents tests

lock: $(VENV)/dev.stamp
	$(call compile,dev) --group dev
	$(call compile,test) --group test --constraints requirements/dev.lock
	$(call compile,run) --group build --constraints requirements/dev.lock
	for peer in $(basename $(wildcard requirements/peers/*.in)); do \
		$(BIN)/uv pip compile $$peer.in $(COMPILE) $(LOCK) --output-file $$peer.lock; done

COMPILE := --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
compile = $(BIN)/uv pip compile pyproject.toml $(COMPILE) $(LOCK) --output-file requirements/$(1).lock

# Each stamp is one set of packages, test.lock holds all of run.lock and dev.lock all of test.lock.
# The project itself is installed editable, so only a new pyproject.toml asks for it again.
$(VENV)/run.stamp $(VENV)/test.stamp $(VENV)/dev.stamp: $(VENV)/%.stamp: requirements/%.lock pyproject.toml $(VENV)/made.stamp
	$(INSTALL) --require-hashes --no-deps -r $<
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/made.stamp:
	@test -n "$(PYTHON)" || { echo "CodeForge needs Python >= 3.11 with venv (Debian: apt-get install python3-venv)." >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) .venv-peers build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
