# Two commands set everything up: `make demo` and `make test`. Needed: Python 3.11+ with venv, and make.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
ARGS ?=
# Half of the tests wait more than they work, for real time and for other programs.
JOBS ?= $(shell expr $$(nproc) + 4)

# What is compiled once is not compiled again by each of a few hundred processes, whatever the environment says.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test suite check fast test-pi test-packages dist deb audit bench docs lint style types format clean

$(VENV)/.run: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

demo: $(VENV)/.run
	$(BIN)/nportpy demo $(ARGS)

# The types take one core for a minute, in which the first tests wait more than they work.
test: style
	$(MAKE) --no-print-directory --jobs=2 types suite

# A file stays in one process, as its tests share what they started; tests/conftest.py says what begins first.
suite: $(VENV)/.test
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

# What needs no other program, no real time and no patience.
check: $(VENV)/.test
	$(MAKE) --jobs=2 --output-sync=target lint fast

fast: $(VENV)/.test
	$(BIN)/python -m pytest -n auto --dist loadfile --hypothesis-profile=check -m "not (peer or real or process or long)" $(ARGS)

lint: style types

style: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test
	$(BIN)/python -m tests.bench $(ARGS)

$(VENV)/.dist: pyproject.toml $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dist,full,tls]'
	@touch $@

# What packages are made of; folders too, since a file that is gone changes nothing else.
SOURCES = pyproject.toml README.md CHANGELOG.md $(shell find nportpy etc -name __pycache__ -prune -o -print)

dist: dist/.wheel
dist/.wheel: $(VENV)/.dist $(SOURCES)
	rm -rf build/share dist
	$(BIN)/python etc/packaging/generate.py build/share
	$(BIN)/python -m build --no-isolation
	$(BIN)/python etc/packaging/sbom.py dist/nportpy.cdx.json
	@touch $@

# Known flaws of what a release is made of; exit code 75 of the program, 2 of make: nobody could be asked.
audit: $(VENV)/.audit
	$(BIN)/python etc/packaging/audit.py
$(VENV)/.audit: pyproject.toml $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[full,tls,audit]'
	@touch $@

# A package for each release of Debian and each processor. DEB="--release 13 --arch arm64" makes that one.
deb: dist/.deb
dist/.deb: dist/.wheel
	$(BIN)/python etc/packaging/deb.py dist/*.whl dist $(DEB)
	@touch $@

test-packages: $(VENV)/.test dist/.deb
	$(BIN)/python -m pytest -m packages --packages -o faulthandler_timeout=1500 tests/packaging $(ARGS)

test-pi: $(VENV)/.test dist/.deb
	$(BIN)/python -m pytest -m pi --pi -o faulthandler_timeout=1500 tests/pi $(ARGS)

# A site in build/site; a broken link ends it. It needs no network.
docs: $(VENV)/.test
	$(BIN)/python -m mkdocs build --quiet $(ARGS)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
