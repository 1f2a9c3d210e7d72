.PHONY: demo test test-gpu lint docs bench campaign stack-up stack-down environment clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

environment: $(VENV)/.ready

$(VENV)/.ready: .ci/requirements.txt pyproject.toml runtime/pyproject.toml
	@bash .ci/environment.sh "$(PYTHON)" "$(VENV)"

demo: environment
	@$(BIN)/python examples/demo.py

test: environment
	@bash .ci/test.sh $(ARGS)

test-gpu: environment
	@bash .ci/test-gpu.sh $(ARGS)

lint: environment
	@bash .ci/lint.sh

docs: environment
	@$(BIN)/python .ci/reference.py

bench: environment
	@$(BIN)/python tests/bench/run.py $(ARGS)

campaign: environment
	@bash .ci/campaign.sh $(ARGS)

stack-up: environment
	@bash tests/support/stack.sh up

stack-down:
	@bash tests/support/stack.sh down

clean:
	rm -rf .venv .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
