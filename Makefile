# Cardiowatch: `make run` and `make test` do all set-up themselves. `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
CARDIOWATCH := $(PY) -m cardiowatch
SOURCES := api dashboard db perf pipeline tests cardiowatch.py demo.py errors.py logs.py run.py settings.py
SHIPPED := requirements-api.txt requirements.txt

.PHONY: help run test test-fast coverage up test-deploy train audit lint lock sbom bench monitor demo soak migrate clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.run ## set up everything, start the API and the dashboard, print their addresses
	@exec $(CARDIOWATCH) run

test: $(VENV)/.dev .venv-fuzz/.ready ## set up what the tests need, run lint and all tests; ARGS="tests/db -k chain" runs only these
	@tests/parts.sh
	@$(if $(ARGS),:,$(MAKE) --no-print-directory lint)
	@$(PY) -m pytest -n 2 $(ARGS)

test-fast: $(VENV)/.dev ## run the tests that need no PostgreSQL, no browser and no long time (90 s)
	@$(PY) -m pytest -n 2 -m "not (slow or postgres or browser or deploy)" $(ARGS)

coverage: $(VENV)/.dev ## run all tests again, slower, and print which lines they reach
	@tests/parts.sh
	@rm -rf var/coverage
	@COVERAGE_CORE=$$($(PY) -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")') \
	    $(PY) -m coverage run -m pytest -n 2 $(ARGS)
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report --skip-covered --sort=cover

lint: $(VENV)/.dev ## check format, lint, types, architecture, security and licences
	@$(VENV)/bin/ruff format --check --quiet $(SOURCES)
	@$(VENV)/bin/ruff check --quiet $(SOURCES)
	@$(VENV)/bin/mypy --no-error-summary
	@$(VENV)/bin/lint-imports --no-logo
	@$(VENV)/bin/bandit --quiet -ll -ii --recursive $(filter-out tests,$(SOURCES))
	@$(PY) -m tests.licences

train: $(VENV)/.run ## train the model again (seconds, deterministic)
	@$(CARDIOWATCH) train

monitor: $(VENV)/.run ## run monitoring for each completed day; run it once a day
	@$(CARDIOWATCH) monitor $(ARGS)

demo: $(VENV)/.run ## both servers over a history of sixty days that drifts, in var/demo.db
	@exec $(CARDIOWATCH) demo

bench: $(VENV)/.run ## load tests beside the baselines, on a scratch database (45 minutes)
	@$(CARDIOWATCH) migrate
	@$(CARDIOWATCH) bench $(ARGS)

soak: $(VENV)/.dev .venv-fuzz/.ready ## kills, rollouts, faults, memory, slow clients, altered logs, fuzzing
	@tests/parts.sh deploy
	@SOAK=1 DEPLOY_TESTS=1 $(PY) -m pytest -s tests/chaos tests/deploy/test_failover.py
	@SOAK=1 $(PY) -m pytest tests/db/audit/test_verify.py tests/db/audit/test_junk.py
	@$(CARDIOWATCH) calibrate
	@$(PY) -m tests.hostile.fuzz
	@HOSTILE=all $(PY) -m pytest tests/hostile tests/browser/test_scripts.py

up: ## write the secrets once, build the images, start the compose stack
	@./up.sh

test-deploy: $(VENV)/.dev .venv-deploy/.ready ## validate the manifests; images and compose in a real engine
	@tests/parts.sh deploy
	@DEPLOY_TESTS=1 $(PY) -m pytest -s tests/deploy --ignore tests/deploy/test_compose.py
	@DEPLOY_TESTS=1 tests/deploy/engine.sh $(PY) -m pytest tests/deploy/test_compose.py

sbom: .venv-fuzz/.ready ## list the packages of the shipped locks and of IMAGES=... as CycloneDX in var/sbom
	@mkdir -p var/sbom
	@for lock in $(SHIPPED); do \
	  .venv-fuzz/bin/cyclonedx-py requirements $$lock --output-reproducible \
	    --output-file var/sbom/$${lock%.txt}.json || exit 1; \
	done
	@for image in $(IMAGES); do \
	  name=$${image##*/}; name=var/sbom/image-$${name%%[:@]*}; \
	  docker run --rm --network none --entrypoint python $$image -c "from importlib.metadata import distributions; \
	    print(*sorted({f'{d.name}=={d.version}' for d in distributions()}), sep='\n')" >$$name.txt && \
	  .venv-fuzz/bin/cyclonedx-py requirements $$name.txt --output-reproducible \
	    --output-file $$name.json || exit 1; \
	  rm $$name.txt; \
	done
	@ls var/sbom/*

migrate: $(VENV)/.run ## create or update the database
	@$(CARDIOWATCH) migrate

lock: $(VENV)/.dev ## write the hash-locked requirements again from pyproject.toml
	@for lock in "requirements-api.txt" \
	    "requirements.txt --extra dashboard --extra train" \
	    "requirements-dev.txt --extra dashboard --extra train --group dev"; do \
	  set -- $$lock; file=$$1; shift; \
	  $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	    pyproject.toml "$$@" --output-file $$file || exit 1; \
	done
	@for tool in deploy hostile; do \
	  $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	    tests/$$tool/requirements.in --output-file tests/$$tool/requirements.txt || exit 1; \
	done

clean: ## remove the virtual environment; the data in var/ stay
	rm -rf $(VENV)

$(VENV)/.run: requirements.txt install.sh
	@PYTHON="$(PYTHON)" ./install.sh $(VENV) requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt install.sh
	@PYTHON="$(PYTHON)" ./install.sh $(VENV) requirements-dev.txt
	@touch $@ $(VENV)/.run

.venv-deploy/.ready: tests/deploy/requirements.txt
	@PYTHON="$(PYTHON)" ./install.sh .venv-deploy tests/deploy/requirements.txt
	@touch $@

.venv-fuzz/.ready: tests/hostile/requirements.txt
	@PYTHON="$(PYTHON)" ./install.sh .venv-fuzz tests/hostile/requirements.txt
	@touch $@
