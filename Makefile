# The commands of a new user: `make demo`, `make ui`, `make test`. All are safe to repeat.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PORT ?= 5000
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadscope

.PHONY: demo ui test test-fast test-slurm test-services test-faults lint audit format

demo: $(STAMP)
	@$(BIN)/tadsr run ablations/demo.yaml

# On this machine alone, and without MLflow's reports of use to its makers.
ui: $(STAMP)
	@test -s results/mlflow.db || { echo "nothing is published yet: run 'make demo', or 'tadsr publish ablations/<experiment>.yaml'"; exit 1; }
	@echo "MLflow: http://127.0.0.1:$(PORT) (Ctrl-C ends it; PORT=... for another port)"
	@MLFLOW_DISABLE_TELEMETRY=true $(BIN)/mlflow ui --host 127.0.0.1 --port $(PORT) --workers 1 --backend-store-uri sqlite:///results/mlflow.db

test: $(STAMP)
	$(BIN)/python -m pytest $(PARALLEL)

test-fast: $(STAMP)
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not integration"

# A real SLURM of one node; installs Debian's packages where they are missing (as root).
test-slurm: $(STAMP)
	TADSR_TEST_SLURM=1 $(BIN)/python -m pytest tests/slurm

# What deploy/compose.yaml starts, on Debian's PostgreSQL: 20 cold starts and faults, a quarter of an hour.
test-services: $(STAMP)
	TADSR_TEST_SERVICES=1 TADSR_SERVICE_ROUNDS=$${TADSR_SERVICE_ROUNDS:-20} $(BIN)/python -m pytest tests/services

# Kills, full disks and clocks that jump (disks and clocks as root, on Linux): half an hour.
test-faults: $(STAMP)
	TADSR_TEST_FAULTS=1 $(BIN)/python -m pytest -s tests/faults

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakemake --lint --snakefile Snakefile

# In an environment of its own: pip-audit's requirements are not the product's.
audit: $(STAMP)
	@test -x .audit/bin/pip-audit || { $(PYTHON) -m venv .audit && .audit/bin/pip install --quiet --disable-pip-version-check pip-audit; }
	@.audit/bin/python .ci/audit

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Installed when the stamp is newer than what was installed from; a broken install leaves no stamp.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"Python 3.11 or newer is needed, this is {v.major}.{v.minor}; set PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked requirements into $(VENV) (several GB, a few minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
