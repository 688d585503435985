# `make` lists the targets. PYTHON is the interpreter that the environment is made from, 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup check test slow kills demo docs bench clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(INSTALLED)  ## make .venv with the tested versions of everything (nothing to do when it is current)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vosbench needs Python 3.11 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint constraints.txt
	@touch $@

check: setup  ## lint, formatting, types, and that every configuration composes
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest --quiet tests/test_configs.py

test: setup  ## all tests but the slow ones; those on real video too when VOSBENCH_DATA names their folder
	$(BIN)/pytest --numprocesses auto --dist worksteal -m "not slow"

slow: setup  ## the slow tests: the demo, Slurm, Ray, a pretend GPU
	$(BIN)/pytest --numprocesses auto --dist worksteal -m slow
	$(BIN)/pytest --numprocesses auto --dist worksteal tests/devices

kills: setup  ## work that is killed at 20 random moments ends as undisturbed work, half an hour
	$(BIN)/pytest --numprocesses auto --dist worksteal tests/kills

demo: setup  ## train, predict, score and report on the embedded data set, in minutes on a CPU
	$(BIN)/vosbench demo

docs: setup  ## build the documentation site into site/; broken links and pages outside of the navigation are errors
	NO_MKDOCS_2_WARNING=1 PATH=$(BIN):$$PATH $(BIN)/mkdocs build --quiet --strict

bench: setup  ## time and memory against plain implementations
	$(BIN)/pytest tests/benchmarks -s

clean:  ## remove caches and built packages (runs, data and .venv stay)
	rm -rf dist site .mypy_cache .pytest_cache .ruff_cache .benchmarks
	find vosbench methods datasets evaluation conf tests -name __pycache__ -prune -exec rm -rf {} +
