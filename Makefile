PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test check screens gpu clean

demo: $(INSTALLED)
	@$(BIN)/kocr-tui demo

test: $(INSTALLED)
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

screens: $(INSTALLED)
	$(BIN)/python docs/screens.py
	$(BIN)/python docs/page.py

gpu: $(INSTALLED)
	$(BIN)/pytest tests/gpu -rs
	$(BIN)/python benchmarks/gpu_train_step.py
	$(BIN)/python benchmarks/gpu_tune.py

clean:
	rm -rf .venv build dist *.egg-info

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
