PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup setup-check system demo test coverage soak check bench proto up down compose-test clean

setup: $(VENV)/.installed
setup-check: $(VENV)/.installed-check

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Archipelago needs Python 3.11 to 3.13; run make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torch,test]'
	touch $@

$(VENV)/.installed-check: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torch,test,check]'
	touch $@

system:
	sh scripts/install_system_packages.sh

demo: setup
	$(BIN)/python -m launcher.demo $(ARGS)

TESTS := pytest -n 2 --no-loadscope-reorder

test: setup system
	$(BIN)/python -m $(TESTS) $(ARGS)

# The same tests, with the lines that they reach in every process; half as long again.
coverage: setup system
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m $(TESTS) $(ARGS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --skip-covered --skip-empty --fail-under=85

# One part: make soak ARGS='-k NAME'. Parts take less than an hour each and keep nothing between them.
soak: setup system
	$(BIN)/python -m pytest -m soak --timeout 3600 $(ARGS)

check: setup-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	BIN=$(BIN) sh scripts/check_generated_code.sh

proto: setup-check
	BIN=$(BIN) sh scripts/generate_code.sh

bench: setup
	$(BIN)/python -m benchmarks $(ARGS)

up: setup
	$(BIN)/flow party up $(ARGS)

down: setup
	$(BIN)/flow party down $(ARGS)

compose-test: setup
	$(BIN)/python -m pytest -m compose tests/e2e/deploy $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
