# One command for everything. `make run` and `make test` work on a machine with Python 3.11+.
PY := .venv/bin/python
VIEWER := $(wildcard app/viewer/frontend/*)

.PHONY: run serve install test lint clean
run: .venv/installed
	@$(PY) -m app

# Without PyTorch: everything but retraining, in a fifth of the space.
serve: .venv/installed-serve
	@$(PY) -m app

install: .venv/installed

# A part of the tests (ARGS) is asked for no share of the code.
test: .venv/installed-dev
	@sh scripts/install-chromium
	$(PY) -m coverage erase
	$(PY) -m coverage run -m pytest $(ARGS)
	$(PY) -m coverage combine -q
	$(PY) -m coverage report --include='core/*,app/*' --fail-under=$(if $(ARGS),0,85)

lint: .venv/installed-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	sh scripts/with-node -m app.viewer.check

.venv/installed-serve: requirements-serve.txt constraints.txt scripts/install scripts/with-node $(VIEWER)
	sh scripts/install requirements-serve.txt
	@touch $@

.venv/installed: requirements.txt requirements-serve.txt constraints.txt scripts/install scripts/with-node $(VIEWER)
	sh scripts/install requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	sh scripts/install requirements-dev.txt
	@touch $@

clean:
	rm -rf .venv node_modules
