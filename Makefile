# `make help` lists the targets.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# A folder of real reviews (amazon.train.ft.txt.bz2 ...) for the tests that use them.
SENTIMENT_DATA ?=
export SENTIMENT_DATA
# For `make up`: the server's port, and GPU=1 for a gpu worker where no CUDA is found.
PORT ?= 4200
GPU ?=
# Left to `make e2e`: whole commands, servers and workers; training in several processes; what takes long.
SLOW = tests/e2e tests/sentiment/training/test_distributed.py tests/sentiment/scoring/test_scoring_memory.py \
	tests/sentiment/text/test_cached_tokenizer.py::test_real_reviews \
	tests/flows/run/test_plan.py::test_no_reason_shows_internals
# For `make chaos`: how many runs are disturbed.
N ?= 200

define HELP
make run          install, and train on generated reviews
make test         install, and run the tests (ARGS=tests/sentiment for some)
make up           a Prefect server, deployments, workers (PORT=4200, GPU=1)
make down         stop them
make install      only install, into .venv
make lint         style and types
make format       auto-fixes
make e2e          tests of whole commands, of a server with workers, and of kills
make e2e-postgres the same, on PostgreSQL
make chaos        disturb runs at random, N=200 times (docs/reliability.md)
make screenshots  the README's pictures
make clean        remove .venv
endef
export HELP

.PHONY: help run up down test e2e e2e-postgres chaos lint format install clean screenshots

help:
	@echo "$$HELP"

run: install
	$(BIN)/sentiment run --preset sample

up: install
	$(BIN)/sentiment up --port $(PORT) $(if $(filter 1,$(GPU)),--gpu)

down: install
	$(BIN)/sentiment down

test: install
	$(BIN)/python -m pytest -n auto --dist loadfile $(SLOW:%=--deselect %) $(ARGS)

e2e: install
	$(BIN)/python -m pytest -n 2 --dist loadfile $(SLOW) $(ARGS)

e2e-postgres: install
	E2E_DATABASE=postgresql $(BIN)/python -m pytest -n 2 --dist loadfile tests/e2e/operation $(ARGS)

chaos: install
	CHAOS_ROUNDS=$(N) CHAOS_SEED=$${CHAOS_SEED:-$$(date +%s)} $(BIN)/python -m pytest -q -s tests/e2e/operation/test_chaos.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

screenshots: install
	$(BIN)/python tools/screenshots.py docs/images

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  --config-settings editable_mode=compat -e ".[dev]"  # compat: type checkers find the package
	touch $@

clean:
	rm -rf $(VENV)
