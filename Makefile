# Every target installs what it needs into .venv first.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help .venv demo readme test test-full lint bench clean

help: ## print this list
	@awk -F ':.*## ' '/^[.a-z]+:.*## / { printf "%-11s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv: $(INSTALLED) ## install the project and its tools

# A venv without this mark is one whose installation did not finish.
$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	SAM2_BUILD_CUDA=0 $(BIN)/pip install -e '.[dev]'
	touch $@

# Forced, report prints its table also where nothing has changed.
demo: $(INSTALLED) ## run the whole method on the drawn data set, print its table
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro --glob 'gallery@*' runtime
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro --force --single-item report

readme: demo ## rewrite the results that README.md and docs/mini.md show
	$(BIN)/python -m docs.show_results

# A file stays in one process, so that what its tests share is made once.
test: $(INSTALLED) ## run the tests, with branch coverage
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 2 --dist loadfile --cov

test-full: $(INSTALLED) ## run the minutes-long tests of the models at full size
	$(BIN)/python -m pytest -m full_size

lint: $(INSTALLED) ## check style, format, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# Without the addopts of pyproject.toml: they skip benchmarks and slow down what is timed.
bench: $(INSTALLED) ## time the slow parts, print ratios
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=$$(nproc) $(BIN)/python -m pytest tests/benchmarks -s --benchmark-only -o addopts=

clean: ## remove what the tools left; .venv and all that dvc made stay
	rm -rf build *.egg-info .coverage .coverage.* .hypothesis .benchmarks
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find pipeline storage stages tests docs -name __pycache__ -type d -prune -exec rm -rf {} +
