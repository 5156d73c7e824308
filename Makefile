# Thin aliases of the `ialp` command line; each sets up its environment first.
#
#   make train ENV=steam [DATA=folder] [PRESET=quick|full] [SEEDS=n] [OUT=folder] [RESUME=1] [ARGS="--online.users 256"]
#   make check ENV=steam | make report OUT=runs/steam | make test | make lint | make clean
#   make vllm-env [VLLM=auto|gpu|cpu] | make test-vllm

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ENV ?= synthetic
PRESET ?= quick

# vLLM's pins and JAX's do not meet: an environment of its own, which talks through files.
VLLM_VENV := .venv-vllm
VLLM ?= auto

.PHONY: train check report envs test test-fast lint format clean vllm-env test-vllm FORCE

train: $(VENV)/installed
	$(BIN)/ialp train $(ENV) --preset $(PRESET) $(if $(DATA),--data $(DATA)) $(if $(OUT),--out $(OUT)) \
	  $(if $(SEEDS),--seeds $(SEEDS)) $(if $(filter 1 true yes,$(RESUME)),--resume) $(ARGS)

check: $(VENV)/installed
	$(BIN)/ialp check $(ENV) $(if $(DATA),--data $(DATA)) $(ARGS)

report: $(VENV)/installed
	$(BIN)/ialp report $(if $(OUT),$(OUT),runs/$(ENV))

envs: $(VENV)/installed
	$(BIN)/ialp envs

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

test-fast: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow" $(ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "ialp_jax needs Python 3.11 or newer; point to one with make PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -e ".[dev]"
	touch $@

vllm-env: $(VLLM_VENV)/installed

test-vllm: $(VLLM_VENV)/installed
	$(VLLM_VENV)/bin/python -m pytest tests/vllm $(ARGS)

# The stamp holds the variant, so that VLLM=gpu after VLLM=cpu makes it anew.
$(VLLM_VENV)/installed: pyproject.toml $(wildcard requirements/vllm*) \
  $(if $(filter-out auto $(shell cat $(VLLM_VENV)/installed 2>/dev/null),$(VLLM)),FORCE)
	PYTHON=$(PYTHON) sh requirements/vllm.sh $(VLLM_VENV) $(VLLM)

clean:
	rm -rf $(VENV) $(VLLM_VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis
