PYTHON ?= python3
BIN := .venv/bin
RUN := runs/mnist-$(shell date +%Y%m%d-%H%M%S)

.PHONY: demo check types pure test release docs results clean

demo: .venv/demo  ## Find where three digit classifiers disagree; ends by naming the report to open.
	$(BIN)/xplore run configs/mnist.toml --out $(RUN)

check: .venv/dev  ## While you work, in three minutes: style, imports, types, and the tests that start no process.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory -j 2 types pure

types:
	$(BIN)/pyright

pure:
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow" --hypothesis-profile dev tests

# A worker that crashes ends the run: by files, pytest-xdist 3.8 may wait for its successor for ever.
# Files come in the order of tests/conftest.py: the slow ones first, so that both workers end together.
test: .venv/dev  ## The whole test suite, in twelve minutes on two cores.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

release: .venv/dev  ## Before a version, hours: what takes too long for the suite; writes docs/results/release.md.
	$(BIN)/python scripts/release.py

docs: .venv/dev  ## The documentation as a site, in site/; the notebooks are run.
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "open site/index.html"

results: .venv/dev  ## The figures in docs/results, by the scripts that write them.
	$(BIN)/python scripts/results_mnist.py
	$(BIN)/python scripts/bench.py step --page --domain mnist_light mnist
	$(BIN)/python scripts/bench.py campaign --page
	$(BIN)/python scripts/gallery.py

.venv/demo: pyproject.toml
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[demo]'
	touch $@

.venv/dev: pyproject.toml
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv runs dist site
