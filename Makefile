# Thin aliases of the `ialp` command line; each sets up its environment first.
#
#   make train ENV=steam [DATA=folder] [PRESET=quick|full] [SEEDS=n] [OUT=folder] [RESUME=1] [ARGS="--online.users 256"]
#   make sweep ENV=steam SPACE=experiments/sweeps/FILE [DATA=folder] [PREFS=folder] [PRESET=quick|full] [OUT=folder] [RAY=1] [ARGS=...]
#   make check ENV=steam | make report OUT=runs/steam | make test | make test-fast | make test-part | make lint | make clean
#   PYTHON=python3.12 VENV=.venv-3.12 with any of them: another interpreter, in an environment of its own
#   make prefs ENV=steam MODEL=folder-or-hub-name [SERVER=http://host:port/v1 | JUDGE=likelihood|embedding] [DATA=folder] [PREFS_OUT=folder] [DRY_RUN=1] [REPLICAS=n]
#              [PLAN_ARGS="--states 300"] [JUDGE_ARGS="--mode list"] [GATE=0]
#   make train ENV=steam PREFS=folder | make train ENV=steam MODEL=... (judges first)
#   make bench [QUICK=1] [DEVICE=cpu|gpu] [PEERS=1] [OUT=folder] [ARGS="--what a2c head --users 1024 --items 3000"]
#   make test-wheel [RESOLUTION=lowest|newest|latest] [TESTS="data report"]: the wheel, outside the repository | make constraints
#   make licences: of everything installed | make audit: known vulnerabilities of the newest versions
#   make load [ARGS="--embedding 8"]: 20 million user-steps, memory and step time
#   make vllm-env [VLLM=auto|gpu|cpu] [RAY=1] | make test-vllm | make bench-prefs | make bench-sweep | make faults
#   make mutants [ARGS="--rooms head --count 10"] | make coverage [ARGS="-m 'not slow'"]

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ENV ?= synthetic

# vLLM's pins and JAX's do not meet: an environment of its own, which talks through files.
VLLM_VENV := .venv-vllm
VLLM_BIN := $(VLLM_VENV)/bin
VLLM ?= auto
PREFS_OUT ?= prefs/$(basename $(notdir $(ENV)))-$(notdir $(MODEL:%/=%))$(JUDGE:%=-%)
# Who judges, and the environment it runs in: vLLM's own, or this one with what the judge needs beside JAX.
JUDGED_BY := $(or $(JUDGE),$(if $(SERVER),openai,vllm))
JUDGE_BIN := $(if $(filter vllm,$(JUDGED_BY)),$(VLLM_BIN),$(BIN))
JUDGE_ENV := $(if $(filter vllm,$(JUDGED_BY)),$(VLLM_VENV)/installed,$(VENV)/installed-$(if $(filter openai,$(JUDGED_BY)),openai,transformers))

.PHONY: train sweep check report envs bench test test-fast test-part lint format clean prefs model-given vllm-env test-vllm bench-prefs bench-sweep faults mutants coverage test-wheel constraints licences audit load FORCE

# A model without a table: it judges first. `=`, so that PREFS_OUT may be set further down.
ifneq ($(MODEL),)
ifeq ($(PREFS),)
PREFS = $(PREFS_OUT)
train sweep: prefs
endif
endif

train: $(VENV)/installed
	$(if $(filter 1 true yes,$(DRY_RUN)),$(error DRY_RUN=1 estimates and trains nothing: use it with make prefs))
	$(BIN)/ialp train $(ENV) $(if $(PRESET),--preset $(PRESET)) $(if $(DATA),--data $(DATA)) $(if $(OUT),--out $(OUT)) \
	  $(if $(PREFS),--prefs $(PREFS)) $(if $(filter 0 false no,$(GATE)),--preferences.gate.enforce False) \
	  $(if $(SEEDS),--seeds $(SEEDS)) $(if $(filter 1 true yes,$(RESUME)),--resume) $(ARGS)

sweep: $(VENV)/installed $(if $(filter 1 true yes,$(RAY)),$(VENV)/installed-ray)
	$(if $(filter 1 true yes,$(DRY_RUN)),$(error DRY_RUN=1 estimates and trains nothing: use it with make prefs))
	$(if $(SEEDS),$(error SEEDS: a sweep's seeds stand in its file, $(SPACE)))
	@test -n "$(SPACE)" || { echo "say what is swept: make sweep SPACE=experiments/sweeps/FILE (there: $$(ls experiments/sweeps))"; exit 1; }
	$(BIN)/ialp sweep $(ENV) --space $(SPACE) $(if $(PRESET),--preset $(PRESET)) $(if $(DATA),--data $(DATA)) $(if $(PREFS),--prefs $(PREFS)) \
	  $(if $(OUT),--out $(OUT)) $(if $(filter 0 false no,$(GATE)),--preferences.gate.enforce False) \
	  $(if $(filter 1 true yes,$(RAY)),--engine ray) $(ARGS)

prefs: model-given $(VENV)/installed $(JUDGE_ENV)
	$(BIN)/ialp prefs plan $(ENV) --out $(PREFS_OUT) $(if $(DATA),--data $(DATA)) $(PLAN_ARGS)
	$(JUDGE_BIN)/ialp prefs judge $(PREFS_OUT) $(JUDGED_BY) $(if $(SERVER),--base-url $(SERVER)) \
	  --model $(MODEL) $(if $(filter 1 true yes,$(DRY_RUN)),--dry-run) \
	  $(if $(filter 0 false no,$(GATE)),--probe 0) $(if $(REPLICAS),--replicas $(REPLICAS)) $(JUDGE_ARGS)
	$(if $(filter 1 true yes,$(DRY_RUN)),,$(BIN)/ialp prefs evaluate $(PREFS_OUT) $(if $(DATA),--data $(DATA)) \
	  $(if $(filter 0 false no,$(GATE)),--gate.enforce False))

model-given:
	@test -n "$(MODEL)" || { echo "say which model judges: make prefs MODEL=folder-or-hub-name"; exit 1; }

check: $(VENV)/installed
	$(BIN)/ialp check $(ENV) $(if $(DATA),--data $(DATA)) $(ARGS)

report: $(VENV)/installed
	$(BIN)/ialp report $(if $(OUT),$(OUT),runs/$(ENV))

envs: $(VENV)/installed
	$(BIN)/ialp envs

bench: $(VENV)/installed $(if $(filter 1 true yes,$(PEERS)),$(VENV)/installed-peers)
	$(BIN)/ialp bench $(if $(DEVICE),--device $(DEVICE)) $(if $(filter 1 true yes,$(QUICK)),--quick) \
	  $(if $(OUT),--out $(OUT)) $(if $(filter 1 true yes,$(PEERS)),--peers experiments/peers/run.py) $(ARGS)

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

test-fast: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow" $(ARGS)

# What depends on the versions of Python and JAX and on the processor, in about five minutes: learning and the policies, and
# a whole study's numbers.
PART := evaluation learning policies serving training/test_training_loop.py \
  study/test_study_end_to_end.py::test_no_number_has_moved
test-part: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile $(PART:%=tests/%) $(ARGS)

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

# What the peers of `make bench PEERS=1` need: PyTorch and Gymnasium.
$(VENV)/installed-peers: $(VENV)/installed
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -e ".[peers]"
	touch $@

# Ray, for `make sweep RAY=1`.
$(VENV)/installed-ray: $(VENV)/installed
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -e ".[ray]"
	touch $@

$(VENV)/installed-openai: $(VENV)/installed
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -e ".[openai]"
	touch $@

# PyTorch and transformers, for the judges `likelihood` and `embedding`.
$(VENV)/installed-transformers: $(VENV)/installed
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -e ".[transformers]"
	touch $@

vllm-env: $(VLLM_VENV)/installed

test-vllm: $(VLLM_VENV)/installed
	$(VLLM_BIN)/python -m pytest tests/vllm $(ARGS)

# Every file operation of what writes here, failed in turn: boundary, fault, outcome; TMPDIR=/dev/shm is fastest.
faults: $(VENV)/installed-dev
	$(BIN)/python tests/reference/fault_cases.py $(ARGS)

# Wrong code that no test of its room notices, in a random sample of all one-place changes of the traced rooms.
mutants: $(VENV)/installed-dev
	JAX_COMPILATION_CACHE_DIR=$${TMPDIR:-/tmp}/ialp-mutants-$$(id -u) JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 \
	  JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1 $(BIN)/python experiments/mutants.py $(ARGS)

# Lines and branches of the rooms that are not traced, that their tests reach.
HOST_TESTS := tests/data tests/environments tests/evaluation tests/preferences tests/report tests/study tests/sweeps tests/testing \
  tests/training tests/bench tests/test_*.py
coverage: $(VENV)/installed-coverage
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest $(HOST_TESTS) $(ARGS)
	$(BIN)/python -m coverage combine -q
	$(BIN)/python experiments/coverage_rooms.py

$(VENV)/installed-coverage: $(VENV)/installed-dev
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off "coverage>=7.10"
	touch $@

# The wheel in a fresh environment outside the repository, with the constraints of one end; `latest` has none.
RESOLUTION ?= newest
test-wheel:
	PYTHON=$(PYTHON) sh requirements/wheel.sh $(RESOLUTION) $(TESTS)

# Both ends resolved anew, after pyproject.toml or a registry has changed.
constraints:
	PYTHON=$(PYTHON) sh requirements/constraints.sh

# The table in docs/supply.md, of what is installed here.
licences: $(VENV)/installed
	$(BIN)/python requirements/licences.py docs/supply.md

audit:
	PYTHON=$(PYTHON) sh requirements/audit.sh

# 20 million user-steps of A2C: memory and step time between run states.
load: $(VENV)/installed
	$(BIN)/python experiments/load.py $(ARGS)

bench-sweep: $(VENV)/installed
	$(BIN)/python experiments/bench_sweep.py $(ARGS)

bench-prefs: $(VLLM_VENV)/installed
	$(VLLM_BIN)/python experiments/bench_prefs.py $(ARGS)

# The stamp holds the variant, so that VLLM=gpu after VLLM=cpu makes it anew.
$(VLLM_VENV)/installed: pyproject.toml $(wildcard requirements/vllm*) \
  $(if $(filter-out auto $(shell cat $(VLLM_VENV)/installed 2>/dev/null),$(VLLM)),FORCE) \
  $(if $(filter 1 true yes,$(RAY)),$(if $(wildcard $(VLLM_VENV)/lib/*/site-packages/ray),,FORCE))
	PYTHON=$(PYTHON) sh requirements/vllm.sh $(VLLM_VENV) $(VLLM) $(if $(filter 1 true yes,$(RAY)),ray)

clean:
	rm -rf .venv .venv-* .pytest_cache .ruff_cache .mypy_cache .hypothesis
