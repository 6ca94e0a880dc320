# Two commands do everything on a fresh machine that reaches PyPI:
#   make train   sets up .venv and trains a few-shot adapter on the embedded data
#   make test    sets up .venv and runs all checks
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready

.PHONY: train test test-all lint docs bundles clean

train: $(READY)
	$(RUN) -m monai.bundle run --config_file bundles/ept_derm/configs/train.yaml --overwrite true

test: lint
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

# What takes minutes besides: processes killed at random moments, every bad input, the site, the notebooks.
test-all: test
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS) --dist loadfile -m slow

# The site, in build/docs/index.html; it needs no network, neither to be made nor to be read.
docs: $(READY)
	$(RUN) -m sphinx -q -W --keep-going -c docs . build/docs

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

# Writes the files of all bundles, after a change of bundles/common or a bundle.yaml.
bundles: $(READY)
	$(RUN) -m tools.bundles

# Installed once; again when the requirements change. Afterwards nothing needs the network.
$(READY): pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -e ".[test]"
	@touch $(READY)

clean:
	rm -rf $(VENV) build .pytest_cache .ruff_cache .mypy_cache *.egg-info
