# Every task of the project, one line each: `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

TAPS := jsonl rest-api github

.PHONY: help install demo test taps funnel truth planted mutation campaign drill lint format types contracts check bench lock sbom wheel schema clean

help: ## list the tasks
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /	/' | expand -t 14

$(STAMP): requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

install: $(STAMP) ## make .venv with everything, locked by hashes

demo: $(STAMP) ## run the main job on three sandboxes, and show what came of it
	$(BIN)/closedloop demo

# three processes: much of the time is waiting for daemons, databases and kills, which leaves two cores half idle
test: $(STAMP) ## run the tests, on SQLite and on PostgreSQL
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -rs

taps: ## install the Singer taps that tests run, each into an environment of its own under .venv-taps
	for tap in $(TAPS); do \
	  $(PYTHON) -m venv .venv-taps/$$tap && \
	  .venv-taps/$$tap/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	    -r tests/connectors/singer/taps/$$tap.lock || exit 1; \
	done

funnel: $(STAMP) ## run the loop on the real funnel; the last line is JSON
	$(BIN)/python -m tests.funnel

truth: $(STAMP) ## hold every platform against recorded answers and vendors' descriptions; the last line is JSON
	$(BIN)/python -m tests.truth

lint: $(STAMP) ## ruff: mistakes and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP) ## ruff: put everything into the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

contracts: $(STAMP) ## which room may import which
	$(BIN)/lint-imports

check: lint types contracts test demo ## all that CI runs

planted: $(STAMP) ## plant each known bug in a copy, and see the tests turn red; the last line is JSON
	$(BIN)/python -m tests.planted

mutation: $(STAMP) ## change the pure core one place at a time, and see the tests turn red; the last line is JSON
	$(BIN)/python -m tests.mutation

campaign: $(STAMP) ## simulate for MINUTES (2) from SEED (0) on all cores; the last line is JSON
	$(BIN)/python -m tests.simulation.campaign --minutes $(or $(MINUTES),2) --seed $(or $(SEED),0)

drill: $(STAMP) ## kill the real command KILLS (200) times on both databases; the last line is JSON
	$(BIN)/python -m tests.simulation.drill --kills $(or $(KILLS),200) --seed $(or $(SEED),0)

bench: $(STAMP) ## measure against the peers, in an environment of their own
	$(BIN)/python benchmarks/run.py

lock: ## make the locks anew (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -o requirements-dev.lock
	uv pip compile benchmarks/requirements-peers.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -o benchmarks/requirements-peers.lock
	for tap in $(TAPS); do \
	  uv pip compile tests/connectors/singer/taps/$$tap.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -o tests/connectors/singer/taps/$$tap.lock || exit 1; \
	done

sbom: $(STAMP) ## print the bill of materials of the lock (CycloneDX, JSON)
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m tests.sbom

wheel: $(STAMP) ## build the wheel into dist; the same commit gives the same bytes
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m hatchling build -t wheel -d dist

schema: $(STAMP) ## write docs/schema anew
	$(BIN)/python -m mappings.schema docs/schema

clean: ## remove what was made
	rm -rf .venv .venv-bench .venv-taps .mypy_cache .ruff_cache .pytest_cache .hypothesis closedloop-demo
