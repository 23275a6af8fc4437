# The same few commands everywhere, in CI too: make check test test-cluster test-faults study bench server docs
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
# What a study needs, without the tools of tests: make study, server and findings install no more.
STUDY := .venv/installed-study
# Two processes run tests, each a whole file: in the tests of studies, most of the time is Ray starting and ending.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: study findings server docs test test-fast test-cluster test-faults check bench bench-long bench-gpu clean

# A first result: eMargin and InfoNCE on simulated sleep EEG, and the report.
study: $(STUDY)
	$(BIN)/python -m study.run --preset first

# MLflow shows the studies in runs/ at http://127.0.0.1:5000.
server: $(STUDY)
	$(BIN)/python -m study.server

# The numbers, tables and figures of docs/findings.md, from the studies that docs/findings/keep.sh copied there.
findings: $(STUDY)
	$(BIN)/python -m analysis.findings docs/findings README.md

# The documentation as a site, which needs no network: open build/site/index.html. Every warning is an error.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

test: $(INSTALLED)
	$(PYTEST) --ignore tests/cluster -m 'not faults'

# Tests with real servers and nodes. They need Debian's postgresql and iproute2, and root for the nodes; a test whose
# needs are not met is skipped.
test-cluster: $(INSTALLED)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		! { command -v ip && ls /usr/lib/postgresql/*/bin/initdb; } >/dev/null 2>&1; then \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends postgresql iproute2 >/dev/null; } \
		|| echo "PostgreSQL or iproute2 cannot be installed: tests that need them are skipped"; fi
	$(PYTEST) tests/cluster

# Real faults in real studies: workers, nodes and drivers are killed and disks fill up, on clusters of three nodes.
# It takes 20 minutes.
test-faults: $(INSTALLED)
	$(BIN)/python -m pytest tests/study -m faults

test-fast: $(INSTALLED)
	$(PYTEST) --ignore tests/cluster -m 'not slow'

check: $(INSTALLED) docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)
	@for name in $$(cd benchmarks && ls *.py | sed -n 's/^\([a-z][a-z_]*\)\.py$$/\1/p' | grep -vE '^(common|published|plain_baselines|plain_tune|scale|scale_trial)$$'); do \
		$(BIN)/python -m benchmarks.$$name || exit 1; done

bench-long: $(INSTALLED)
	$(BIN)/python -m benchmarks.memory --long && $(BIN)/python -m benchmarks.growth --long && $(BIN)/python -m benchmarks.study --long && \
		$(BIN)/python -m benchmarks.plain_tune && $(BIN)/python -m benchmarks.scale --at-once 10,100

bench-gpu: $(INSTALLED)
	$(BIN)/python -m benchmarks.gpu

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(STUDY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[study]'
	touch $@

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ $(STUDY)
