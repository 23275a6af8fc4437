# The same few commands everywhere: make check test study bench
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: study test test-fast check bench clean

# A first result: simulated sleep EEG, eMargin beside InfoNCE, and the report.
study: $(INSTALLED)
	$(BIN)/python -m study.run --preset first

test: $(INSTALLED)
	$(BIN)/python -m pytest

test-fast: $(INSTALLED)
	$(BIN)/python -m pytest -m 'not slow'

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)
	@for name in $$(cd benchmarks && ls *.py | sed -n 's/^\([a-z][a-z_]*\)\.py$$/\1/p' | grep -v '^common$$'); do \
		$(BIN)/python -m benchmarks.$$name || exit 1; done

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
