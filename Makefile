# make demo: set up and run the main job.  make test: set up and run the tests.  Nothing else is needed but Python 3.11+.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test lint bench docs clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "otoyol needs Python 3.11 or newer; set PYTHON=/path/to/python" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	$(BIN)/python -c 'import otoyol, pytest, torch, torchvision, timm'
	$(BIN)/python -m compileall -q src  # an editable install has no bytecode, and start-up wants it
	touch $@

demo: setup
	$(BIN)/python recipes/demo.py --out out/demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n auto --dist worksteal
	$(MAKE) docs

docs: setup
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

bench: setup
	for b in benchmarks/*.py; do case $$b in */_*|*/record.py) ;; *) echo "== $$b"; $(BIN)/python $$b || exit 1;; esac; done

clean:
	rm -rf $(VENV) out build docs/_build docs/_generated .mypy_cache .ruff_cache .hypothesis
