# Every target installs what it needs into .venv first, in the versions of constraints.txt.
# `make CONSTRAINTS= ...` takes the newest instead.

PYTHON ?= python3
VENV := .venv
CONSTRAINTS := constraints.txt
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
RUNS := $(VENV)/.installed-stages
CORES = $(shell getconf _NPROCESSORS_ONLN)
PARTS = $(shell seq $(CORES))
# Stages run the python of the PATH. Each stage for itself: those before it have just run.
REPRO := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc --wait-for-lock repro --single-item --glob

# Pins what pip builds from source, such as sam2, too: pip before 25.3 reads the first variable,
# later versions the second.
PINNED := $(if $(CONSTRAINTS),PIP_CONSTRAINT=$(CONSTRAINTS) PIP_BUILD_CONSTRAINT=$(CONSTRAINTS))

.DEFAULT_GOAL := help
.PHONY: help .venv demo demo-heads demo-entropies results results-drawn results-photographs reproduce docs test test-slow test-full test-stores lint bench bench-full site wheel constraints clean

help: ## print this list
	@awk -F ':.*## ' '/^[.a-z-]+:.*## / { printf "%-12s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv: $(INSTALLED) ## install the project and its tools

# Without these marks, an installation in .venv did not finish.
PIP_INSTALL = SAM2_BUILD_CUDA=0 $(PINNED) $(BIN)/pip install $(PIP_OPTIONS) $(CONSTRAINTS:%=-c %)
$(RUNS): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) -e '.[stages,demo]'
	touch $@

$(INSTALLED): $(RUNS)
	$(PIP_INSTALL) -e '.[dev]'
	touch $@

# Stages that do not need each other run side by side, as jobs of make, which Ctrl-C ends together.
# Each core extracts a part of the shards. Nothing may run beside `runtime`, which measures.
demo: $(RUNS) ## run the whole method on the drawn data set, print its table
	$(REPRO) shapes 'prepare@*'
	$(MAKE) --no-print-directory --jobs $(PARTS:%=demo-part.%)
	$(MAKE) --no-print-directory --jobs demo-heads demo-entropies
	$(REPRO) 'evaluate@*' 'gallery@*' runtime report
	$(BIN)/usam report

demo-part.%:
	$(BIN)/usam fill --shard-range $*/$(words $(PARTS))

demo-heads:
	$(REPRO) 'extract_train@*' 'tune@*' 'train@*'

demo-entropies:
	$(REPRO) 'embed@*' 'extract@*' 'entropy@*'

# Folder of photographs of COCO, with `images` and `annotations.json`, that docs count, too.
PHOTOGRAPHS = ../shared/samples/photographs
results: $(INSTALLED) ## make the shipped heads and what README and docs show, by the next two targets
	$(MAKE) --no-print-directory results-drawn
	$(if $(wildcard data/BSDS500),$(MAKE) --no-print-directory results-photographs,@echo "data/BSDS500 is not here: what README and docs say of photographs stays")
	$(BIN)/python -m tools.show_family $(wildcard $(PHOTOGRAPHS))
	$(BIN)/python -m tools.show_changed

# A run with other params, in the place of params.yaml.
define run-params
	git diff --quiet HEAD -- params.yaml || { echo "params.yaml must have no changes: its place is needed" >&2; exit 1; }
	cp params/$(1).yaml params.yaml
	$(MAKE) --no-print-directory demo
endef

results-drawn: $(INSTALLED) ## run params/results.yaml: drawn scenes
	$(call run-params,results)
	$(BIN)/usam heads export shapes_train storage/head_files/mini.safetensors --half
	$(BIN)/python -m tools.choose_scenes
	$(BIN)/python -m tools.show_predictions
	$(BIN)/python -m tools.show_answers $(wildcard $(PHOTOGRAPHS))
	$(BIN)/python -m tools.show_results drawn
	$(BIN)/python -m tools.show_annotations $(wildcard $(PHOTOGRAPHS))
	$(BIN)/python -m tools.show_notebook
	git checkout --quiet HEAD -- params.yaml

results-photographs: $(INSTALLED) ## run params/photographs.yaml: data/BSDS500, as its authors publish it
	$(call run-params,photographs)
	$(BIN)/usam heads export bsds_val storage/head_files/mini-photos.safetensors --half
	$(BIN)/python -m tools.show_results photographs
	$(BIN)/python -m tools.show_growth
	git checkout --quiet HEAD -- params.yaml

# Wheels of PyTorch with CUDA take 2.7 GB in pip's cache, and unpacked with all others 7 GB.
WHEELS_GB := 10
reproduce: ## on a GPU, fetch COCO and SAM 2.1 and print the paper's numbers beside ours
	@test -e $(RUNS) || df -Pk . | awk 'END { gb = $$4 / 1e6; if (gb < $(WHEELS_GB)) { printf "error: the disk must have room for $(WHEELS_GB) GB of wheels, got %d GB\n", gb; exit 1 } }' >&2
	$(MAKE) --no-print-directory $(RUNS)
	$(BIN)/python -m tools.reproduce $(DEVICE:%=--device %)

docs: $(INSTALLED) ## rewrite the tables of declared rows in docs/
	$(BIN)/python -m tools.declared_tables

# tests/conftest.py says which process runs a file, and when.
# Where Python may not keep what it compiled, each of the many processes would compile it again.
PYTEST = PYTHONDONTWRITEBYTECODE= PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 2 --no-loadscope-reorder -rfEs --ignore=tests/benchmarks
test: $(INSTALLED) ## run the tests, with the branch coverage of all three packages
	$(PYTEST) --cov

# More processes than cores: most of these tests wait, for jobs, for silent workers or a browser.
test-slow: $(INSTALLED) ## run the tests that take minutes or need a server on this machine
	$(PYTEST) -n 4 -m 'slow and not full_size'

test-full: $(INSTALLED) ## run the minutes-long tests: models at full size, training of mini
	$(BIN)/python -m pytest -m full_size

# Users get newer packages than those of constraints.txt: zarr 3.4 needs Python 3.12. This venv has
# the packages that read stores, and those that the tests of stores import; no PyTorch.
STORES := build/stores
REQUIRED = $(shell $(BIN)/python -c "import tomllib; print(*map(repr, tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']))")
$(STORES)/.installed: pyproject.toml | $(RUNS)
	python3.13 -m venv --clear --without-pip $(STORES)
	$(BIN)/pip --python $(STORES)/bin/python install $(PIP_OPTIONS) $(REQUIRED) \
	  beartype grimp hypothesis pytest pytest-benchmark pytest-cov pytest-xdist scipy \
	  numba opencv-python-headless pillow pycocotools pydantic rich ruamel.yaml
	touch $@

test-stores: $(STORES)/.installed ## run the tests of stores under Python 3.13, with the newest packages
	$(STORES)/bin/python -m pytest tests/storage/store tests/storage/split tests/storage/pool/test_publishing.py

lint: $(INSTALLED) ## check style, format, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --num-workers auto
	$(BIN)/lint-imports

# Without the addopts of pyproject.toml: they skip benchmarks and slow down what is timed.
# `python -m tools.bars` makes tables of its record.
bench: $(INSTALLED) ## time the slow parts, hold them to their bars
	mkdir -p build
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=$$(nproc) $(BIN)/python -m pytest tests/benchmarks -s --benchmark-only --benchmark-json=build/bench.json -o addopts=

bench-full: $(INSTALLED) ## time evaluate at the size of COCO val, some minutes
	$(BIN)/python -m tests.benchmarks.full_size

# The site has the demo's report, and its notebooks read the demo's cache.
results/report.html:
	$(MAKE) --no-print-directory demo

site: $(INSTALLED) results/report.html ## build the docs as a site in build/site; a broken link is an error
	$(BIN)/pip install -q -r docs/site/requirements.txt
	mkdir -p build/gallery
	cp results/report.html build/gallery
	$(BIN)/sphinx-build -q -W --keep-going -E -b html -c docs/site docs build/site

# Files of an earlier build in build/lib would end up in the wheel.
wheel: $(INSTALLED) ## build dist/usam_cache-VERSION-py3-none-any.whl
	rm -rf build/lib dist
	$(BIN)/pip wheel . --no-deps --no-build-isolation --wheel-dir dist

# In a separate venv, which has no other packages; a failed renewal leaves .venv as it is.
# PyPI knows no local versions, such as +cpu.
constraints: ## test with the newest versions, then list them in constraints.txt
	rm -rf build/newest
	$(MAKE) VENV=build/newest CONSTRAINTS= lint test
	echo "# What the tests last passed with, by \`make constraints\` under $$($(PYTHON) -V), $$(uname -sm)." >build/constraints.txt
	build/newest/bin/pip list --format=freeze --exclude pip --exclude usam-cache | sed 's/+.*//' | LC_ALL=C sort -f >>build/constraints.txt
	mv build/constraints.txt constraints.txt

clean: ## remove files of the tools; keep .venv and the outputs of dvc
	rm -rf build dist *.egg-info .coverage .coverage.* .hypothesis .benchmarks
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find pipeline storage stages tools tests -name __pycache__ -type d -prune -exec rm -rf {} +
