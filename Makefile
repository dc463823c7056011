# make run   install and train on generated reviews     make test   install and run all tests
# make lint  style and types                            make clean  remove the environment

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Real reviews for the tests that can use them: a folder with amazon.train.ft.txt.bz2 and so on.
SENTIMENT_DATA ?=
export SENTIMENT_DATA

.PHONY: run test lint format install clean

run: install
	$(BIN)/sentiment run --preset sample

test: install
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV)
