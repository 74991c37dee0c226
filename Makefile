# Two commands set everything up: `make demo` and `make test`. Needed: Python 3.11+ with venv, and make.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
ARGS ?=
JOBS ?= auto

.PHONY: demo test suite test-pi test-packages dist deb bench lint format clean

$(VENV)/.run: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

demo: $(VENV)/.run
	$(BIN)/nportpy demo $(ARGS)

test: lint suite

# A process for each processor. What lives in real time stays in one of them: see pytest_collection_modifyitems.
suite: $(VENV)/.test
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test
	$(BIN)/python -m tests.bench $(ARGS)

$(VENV)/.dist: pyproject.toml $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dist]'
	@touch $@

# What packages are made of; folders too, since a file that is gone changes nothing else.
SOURCES = pyproject.toml README.md CHANGELOG.md $(shell find nportpy etc -name __pycache__ -prune -o -print)

dist: dist/.wheel
dist/.wheel: $(VENV)/.dist $(SOURCES)
	rm -rf build/share dist
	$(BIN)/python etc/packaging/generate.py build/share
	$(BIN)/python -m build --no-isolation
	@touch $@

# A package for each release of Debian and each processor. DEB="--release 13 --arch arm64" makes that one.
deb: dist/.deb
dist/.deb: dist/.wheel
	$(BIN)/python etc/packaging/deb.py dist/*.whl dist $(DEB)
	@touch $@

test-packages: $(VENV)/.test dist/.deb
	$(BIN)/python -m pytest -m packages --packages tests/packaging $(ARGS)

test-pi: $(VENV)/.test dist/.deb
	$(BIN)/python -m pytest -m pi --pi tests/pi $(ARGS)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
