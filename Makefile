# Two commands do everything: `make demo` and `make test`. Both need Python 3.11 or newer and nothing else.
# PIP_ARGS goes to pip: on a machine without a GPU,
#   make demo PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
# saves some 4 GB of CUDA libraries.

VENV ?= .venv
PIP_ARGS ?=
DEMO := .demo
BIN := $(VENV)/bin
IS_NEW := 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c $(IS_NEW) 2>/dev/null && echo $$python && break; done)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS)

.DEFAULT_GOAL := help
.PHONY: help demo test lint format docs clean

help:
	@echo "make demo    make a small city, outline its villages, show where the results are"
	@echo "make test    every check: style, types, import contracts, tests"
	@echo "make lint    the checks without the tests"
	@echo "make docs    build the site of the documentation into site/"
	@echo "make format  put the code in the one format"
	@echo "make clean   remove the environment and everything that was made"

$(BIN)/python:
	@$(or $(PYTHON),false) -c $(IS_NEW) 2>/dev/null || { \
		echo "uvsam needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Making the environment $(VENV) (several GB with CUDA, see the top of the Makefile: some minutes)"
	@$(PYTHON) -m venv $(VENV) || { echo "on Debian and Ubuntu: apt install python3-venv" >&2; rm -rf $(VENV); exit 1; }

$(VENV)/installed: $(BIN)/python pyproject.toml
	@$(INSTALL) -e .
	@touch $@

$(VENV)/installed-dev: $(BIN)/python pyproject.toml
	@$(INSTALL) -e ".[dev]"
	@touch $@ $(VENV)/installed

$(VENV)/installed-docs: $(BIN)/python pyproject.toml
	@$(INSTALL) -e ".[docs]"
	@touch $@ $(VENV)/installed

demo: $(VENV)/installed
	@rm -rf $(DEMO)
	$(BIN)/uvsam simulate $(DEMO) --size-m 1200 --gsd 0.6 --periods 2012,2016,2020 --seed 7
	$(BIN)/uvsam predict $(DEMO)/city_2020.tif --out $(DEMO)/villages.gpkg --preview $(DEMO)/villages.png
	@echo
	@echo "Villages: $(CURDIR)/$(DEMO)/villages.gpkg (open it in QGIS)"
	@echo "Picture:  $(CURDIR)/$(DEMO)/villages.png"
	@echo "Truth:    $(CURDIR)/$(DEMO)/truth.gpkg, to compare with:"
	@echo "  $(BIN)/uvsam evaluate $(DEMO)/villages.gpkg $(DEMO)/truth.gpkg --truth-where 'period = 2020'"

lint: $(VENV)/installed-dev
	PATH="$(abspath $(BIN)):$$PATH" pre-commit run --all-files

test: lint
	$(BIN)/pytest -n 2 --dist loadfile --durations 25

docs: $(VENV)/installed-docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "Site: $(CURDIR)/site/index.html"

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) $(DEMO) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
