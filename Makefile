# One command for everything. `make run` and `make test` work on a machine with Python 3.11+.
PY := .venv/bin/python
VIEWER := $(wildcard app/viewer/frontend/*)

.PHONY: run serve clinic cloud install test coverage lint docs release clean
run: .venv/installed
	@$(PY) -m app

# Without PyTorch: everything but retraining, in a fifth of the space.
serve: .venv/installed-serve
	@$(PY) -m app

# A clinic, or an emulated cloud, as plain processes: docs/operations.md, Without containers.
clinic cloud: .venv/installed-dev
	@$(PY) -m scripts.set_up $@

install: .venv/installed

# All in two processes; a part of them (ARGS) in one. Python compiles a module for all of the many
# programs that the tests start, not for each.
test: .venv/installed-dev
	@sh scripts/install-chromium
	unset PYTHONDONTWRITEBYTECODE; \
	$(PY) -m pytest $(if $(ARGS),$(ARGS),-n 2 --dist loadfile --no-loadscope-reorder)

# How much of the code the tests run. Counting makes them a third slower: nightly.
coverage: .venv/installed-dev
	@sh scripts/install-chromium
	$(PY) -m coverage erase
	$(PY) -m coverage run -m pytest
	$(PY) -m coverage combine -q
	$(PY) -m coverage report --include='core/*,app/*' --fail-under=85

lint: .venv/installed-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	sh scripts/with-node -m app.viewer.check
	sh scripts/check-deploy

# The documentation as a site, in site/: pages from the code by the program's own environment, which
# needs no PyTorch for it, the rest by MkDocs in one of its own. A link that leads nowhere fails.
docs: $(if $(wildcard .venv/installed),.venv/installed,.venv/installed-serve) .venv-docs/installed
	$(PY) -m scripts.site
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet
	@$(PY) -m scripts.site.links
	@echo "The site is in site/: open site/index.html by a web server, such as: $(PY) -m http.server -d site"

.venv-docs/installed: requirements-docs.txt
	.venv/bin/python -m venv --clear .venv-docs
	.venv/bin/uv pip install --quiet --python .venv-docs/bin/python --require-hashes -r requirements-docs.txt
	@touch $@

.venv/installed-serve: requirements-serve.txt constraints.txt requirements-install.txt scripts/install scripts/with-node $(VIEWER)
	sh scripts/install requirements-serve.txt
	@touch $@

.venv/installed: requirements.txt requirements-serve.txt constraints.txt requirements-install.txt scripts/install scripts/with-node $(VIEWER)
	sh scripts/install requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	sh scripts/install requirements-dev.txt
	@touch $@

# The archive of a release in dist/: it starts without Node.
release: .venv/installed
	sh scripts/release

clean:
	rm -rf .venv .venv-docs node_modules site
