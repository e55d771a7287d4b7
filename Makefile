# Cardiowatch: `make run` and `make test` do all set-up themselves. `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
SOURCES := api dashboard db perf pipeline tests demo.py run.py settings.py
LOCKS := requirements-api.txt requirements.txt requirements-dev.txt

.PHONY: help run test up test-deploy train audit lint lock bench monitor demo soak migrate clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.run ## set up everything, start the API and the dashboard, print their addresses
	@exec $(PY) run.py

test: $(VENV)/.dev ## set up the tests' parts and run lint and all tests
	@tests/parts.sh
	@$(MAKE) --no-print-directory lint
	@$(PY) -m pytest

lint: $(VENV)/.dev ## format check, lint, types, architecture
	@$(VENV)/bin/ruff format --check --quiet $(SOURCES)
	@$(VENV)/bin/ruff check --quiet $(SOURCES)
	@$(VENV)/bin/mypy --no-error-summary
	@$(VENV)/bin/lint-imports --no-logo

train: $(VENV)/.run ## train the model again (seconds, deterministic)
	@$(PY) -m pipeline.train

monitor: $(VENV)/.run ## look over the log for every day that has ended; run it once a day
	@$(PY) -m pipeline.monitor $(ARGS)

demo: $(VENV)/.run ## both servers over a history of sixty days that drifts, in var/demo.db
	@exec $(PY) demo.py

bench: $(VENV)/.run ## the load tests beside the baselines, on a scratch database (45 minutes)
	@$(PY) -m db.migrate
	@$(PY) -m perf.bench $(ARGS)

soak: $(VENV)/.run ## 200 kills and 50 stops under load, faults, memory; POSTGRES_URL=... kills it there too
	@$(PY) -m perf.crash --kills 200
	@$(PY) -m perf.crash --kills 50 --signal TERM
	@$(PY) -m pipeline.calibrate
ifdef POSTGRES_URL
	@$(PY) -m perf.crash --kills 200 --workers 3 --database "$(POSTGRES_URL)"
	@$(PY) -m perf.crash --kills 50 --signal TERM --workers 3 --database "$(POSTGRES_URL)"
endif
	@$(PY) -m perf.faults
	@$(PY) -m perf.memory

up: ## write the secrets once, build the images, start the compose stack
	@./up.sh

test-deploy: $(VENV)/.dev .venv-deploy/.ready ## validate the manifests; images and compose in a real engine
	@DEPLOY_TESTS=1 $(PY) -m pytest tests/deploy --ignore tests/deploy/test_compose.py
	@DEPLOY_TESTS=1 tests/deploy/engine.sh $(PY) -m pytest tests/deploy/test_compose.py

migrate: $(VENV)/.run ## create or update the database
	@$(PY) -m db.migrate

lock: $(VENV)/.dev ## write the hash-locked requirements anew from pyproject.toml
	@for lock in "requirements-api.txt" \
	    "requirements.txt --extra dashboard --extra train" \
	    "requirements-dev.txt --extra dashboard --extra train --group dev"; do \
	  set -- $$lock; file=$$1; shift; \
	  $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	    pyproject.toml "$$@" --output-file $$file || exit 1; \
	done
	@for peer in mlserver litserve bentoml; do \
	  $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	    perf/peers/$$peer.in --output-file perf/peers/$$peer.txt || exit 1; \
	done
	@$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  tests/deploy/requirements.in --output-file tests/deploy/requirements.txt

clean: ## remove the environment; the data in var/ stay
	rm -rf $(VENV)

$(VENV)/.run: requirements.txt
	@PYTHON="$(PYTHON)" ./install.sh $(VENV) requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt
	@PYTHON="$(PYTHON)" ./install.sh $(VENV) requirements-dev.txt
	@touch $@ $(VENV)/.run

.venv-deploy/.ready: tests/deploy/requirements.txt
	@PYTHON="$(PYTHON)" ./install.sh .venv-deploy tests/deploy/requirements.txt
	@touch $@
