# Two targets are all a newcomer needs: `make up` and `make test`. Both need python3 (3.11 or later) and make only.

SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CHROMIUM ?=
TEST_PROCESSES ?= 2
# `check --deploy` reads production-like settings; nothing connects to these addresses.
DEPLOY_ENV = DB_POOL_MAX=0 DATABASE_URL=postgres://check@127.0.0.1:9/check REDIS_URL=redis://127.0.0.1:9/0 \
	SECRET_KEY=0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ API_KEY_PEPPER=check-check-check-check \
	CREDENTIAL_KEYS=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE= PUBLIC_URL=https://router.example ALLOWED_HOSTS=router.example

.PHONY: help up test reset check lint types imports migrations-check deploy-check fmt messages test-one clients chaos bench bench-routing recorded fuzz translation lock install chromium

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | \
		awk -F'|' '{printf "%-24s%s\n", $$1, $$2}'

up: install ## start everything on this machine (PORT=8000); Ctrl-C stops it, the data stays
	@exec $(BIN)/python manage.py up

reset: install ## forget all data of `make up`
	@$(BIN)/python manage.py reset $(if $(YES),--yes)

test: install chromium ## run all tests, in two processes (TEST_PROCESSES=4)
	@CHROMIUM="$(CHROMIUM)" $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadgroup $(ARGS)

test-one: install ## run some tests: make test-one T=tests/billing
	@CHROMIUM="$(CHROMIUM)" $(BIN)/python -m pytest $(T) $(ARGS)

check: lint types imports migrations-check deploy-check ## all that a change needs besides its tests

lint: install ## style
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .

types: install ## strict types
	@$(BIN)/python -m mypy

imports: install ## who may import whom
	@$(BIN)/python -c 'from importlinter.cli import lint_imports_command as lint; lint()' --no-cache

migrations-check: install ## no model without its migration
	@$(DEPLOY_ENV) $(BIN)/python -W ignore:"Got an error checking a consistent migration history" \
		manage.py makemigrations --check --dry-run

deploy-check: install ## Django's own checks with production settings
	@$(DEPLOY_ENV) $(BIN)/python manage.py check --deploy --fail-level WARNING

fmt: install ## format and sort imports
	@$(BIN)/python -m ruff check --fix-only --quiet .
	@$(BIN)/python -m ruff format .

messages: install ## collect the texts of all pages and compile the Chinese catalogue (needs GNU gettext)
	@$(BIN)/python manage.py messages

recorded: install ## play every recorded exchange between all dialects and count (needs the recordings beside this folder)
	@RECORDED=all $(BIN)/python -m pytest -s tests/scenarios/recorded $(ARGS)

fuzz: install ## feed the codecs a million damaged inputs (ARGS='--inputs 5000000 --seed 1')
	@$(BIN)/python -m tests.fuzz $(ARGS)

translation: install ## write docs/translation.md again, from the codecs
	@$(BIN)/python -m tests.translation $(ARGS)

clients: install ## run the real coding agents against Router One (needs Node.js 20; installs 1.1 GB into .clients once)
	@$(BIN)/python -m tests.clients $(ARGS)

chaos: install ## kill every part under load, for minutes (make test does it for seconds)
	@CHAOS=long $(BIN)/python -m pytest -v tests/chaos $(ARGS)

bench-routing: install ## routing: regret in a simulation, what a decision costs, how soon processes agree
	@$(BIN)/python -m bench.routing_sim
	@DJANGO_SETTINGS_MODULE=routerone.settings $(BIN)/python -m bench.routing_step
	@DJANGO_SETTINGS_MODULE=routerone.settings $(BIN)/python -m bench.routing_convergence

bench: install ## ours beside nginx and other gateways: cost, delay, memory (ARGS="--quick --only ours,nginx --scenario plain")
	@$(BIN)/python -m bench $(ARGS)

lock: install ## choose new versions of everything: rewrites requirements.lock
	@$(BIN)/python -m uv pip compile -q --universal --generate-hashes --no-header \
		--no-annotate --python-version 3.11 --extra dev --upgrade pyproject.toml -o requirements.lock
	@! grep -n '://' requirements.lock

# --- set-up -----------------------------------------------------------------------------------------------------------
install: $(STAMP) ## make .venv from requirements.lock (done by the others where needed)

$(STAMP): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Router One needs Python 3.11 or later; choose one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo "This Python cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "installing into $(VENV) (once, about half a minute)"
	@$(BIN)/python -c 'import uv' 2>/dev/null || $(BIN)/python -m pip install -q --disable-pip-version-check --no-compile uv
	@test -w "$${UV_CACHE_DIR:-$$HOME}" || export UV_NO_CACHE=1; \
		$(BIN)/python -m uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock
	@touch $@

# Browser tests drive the system's Chromium. Where it cannot be had they are skipped with one line (and fail in CI).
chromium:
	@test -n "$(CHROMIUM)" || command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	command -v google-chrome >/dev/null || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null || { \
		echo "installing Debian's chromium for the browser tests"; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } \
			>/dev/null 2>&1 || echo "chromium could not be installed"; }
