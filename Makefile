# The Python that makes the environment, and where the environment lies.
PYTHON ?= python3
VENV ?= .venv
# Passed on to pytest or to the benchmarks: make test ARGS="-k lease"
ARGS ?=
# In how many processes the tests run, each with servers of its own; 0: in this one. make test WORKERS=0
WORKERS ?= 2
# For how long make soak goes on with each database. What it has to reach, of each, is in proportion: in ten minutes
# 500 kills of workers, 50 of the server, and a third of a million tasks.
MINUTES ?= 5
aims = SOAK_TASKS=$$(($(MINUTES) * 33400)) SOAK_KILLS=$$(($(MINUTES) * 50)) SOAK_SERVER_KILLS=$$(($(MINUTES) * 5))

# The tests start thousands of processes: without this each would compile the package anew where bytecode is not kept.
unexport PYTHONDONTWRITEBYTECODE

python := $(VENV)/bin/python
pip := $(python) -m pip --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: venv
venv: $(VENV)/.dev ## Make the environment for development

.PHONY: demo
demo: $(VENV)/.demo ## Run the demonstration
	@$(python) -m demo_ext

.PHONY: demo-web
demo-web: $(VENV)/.demo ## Run the demonstration in the browser
	@$(python) -m demo_ext.web

.PHONY: test
test: $(VENV)/.dev ## Run the tests against SQLite and private MariaDB and PostgreSQL servers
	@bash tests/install_servers.sh
	@$(python) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

.PHONY: soak
soak: $(VENV)/.dev ## All faults for long, with a table of the figures: make soak MINUTES=10
	@bash tests/install_servers.sh
	@mkdir -p build && rm -f build/soak.jsonl
	@SOAK_FIGURES=$(CURDIR)/build/soak.jsonl SOAK_SECONDS=$$(($(MINUTES) * 60)) $(aims) HOSTILE_REQUESTS=10000 \
	  $(python) -m pytest -s tests/faults/test_soak.py tests/faults/test_galera*.py tests/faults/test_every_call.py \
	  $(wildcard tests/attacks) tests/web_api $(ARGS); result=$$?; $(python) -m tests.faults.figures build/soak.jsonl; exit $$result

.PHONY: faults
faults: $(VENV)/.dev ## Every fault of a database, and those of a cluster for so long: make faults MINUTES=5
	@bash tests/install_servers.sh
	@SOAK_SECONDS=$$(($(MINUTES) * 60)) $(python) -m pytest -s tests/faults/test_every_call.py tests/faults/test_galera*.py $(ARGS)

.PHONY: attacks
attacks: $(VENV)/.dev ## The long form of the attacks on all that answers HTTP
	@bash tests/install_servers.sh
	@HOSTILE_REQUESTS=10000 XSS_STRINGS=64 POLLERS=200 POLL_SECONDS=30 OPERATIONS_API_EXAMPLES=300 $(python) -m pytest \
	  tests/attacks tests/web_api/test_protections.py tests/operations_api/test_schemathesis.py $(ARGS)

.PHONY: mutants
mutants: $(VENV)/.dev ## Damage the package in a dozen ways; its own tests must notice each
	@bash tests/install_servers.sh
	@$(python) -m tests.mutants $(ARGS)

.PHONY: lint
lint: $(VENV)/.dev ## Check style and types
	@$(python) -m ruff check
	@$(python) -m ruff format --check
	@$(python) -m mypy

.PHONY: format
format: $(VENV)/.dev ## Bring the code into the common format
	@$(python) -m ruff check --fix-only --quiet
	@$(python) -m ruff format

.PHONY: bench
bench: $(VENV)/.dev ## Run the benchmarks
	@$(python) -m benchmarks $(ARGS)

.PHONY: bench-peers
bench-peers: $(VENV)/.dev ## Run other task queues and ours in turns (needs redis-server for some)
	@$(MAKE) --no-print-directory venv VENV=$(VENV)/peers
	@$(VENV)/peers/bin/python -m pip --quiet --disable-pip-version-check install --editable '.[peers]'
	@$(VENV)/peers/bin/python -m benchmarks.peers $(ARGS)

.PHONY: translations
translations: $(VENV)/.dev ## Bring the catalogues up to date with the texts, and compile them
	@mkdir -p build
	@$(VENV)/bin/pybabel -q extract -F taskqueue/web/translations/babel.cfg -k _p:1c,2 --no-location --sort-output -o build/taskqueue.pot .
	@$(VENV)/bin/pybabel -q update -D taskqueue -i build/taskqueue.pot -d taskqueue/web/translations --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date --width 110
	@$(VENV)/bin/pybabel -q compile -D taskqueue -d taskqueue/web/translations

.PHONY: wheel
wheel: $(VENV)/.dev ## Build the wheel into dist/
	@rm -rf build # files deleted since the last time would come along
	@$(python) -m build --wheel --outdir dist

.PHONY: clean
clean: ## Remove what was built and cached (the environment stays)
	@rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.venv/*' -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# An install counts until one of these files changes; the code itself is taken from the checkout.
$(VENV)/.dev: setup.cfg pyproject.toml | $(VENV)/.made
	@echo "Installing taskqueue and what its development needs into $(VENV) ..."
	@PYTHONWARNINGS=ignore $(pip) install --editable '.[dev]'
	@touch $@ $(VENV)/.demo

# Development needs all that the demonstration needs, so its stamp counts for both.
$(VENV)/.demo: setup.cfg pyproject.toml | $(VENV)/.made
	@echo "Installing taskqueue and what its demonstration needs into $(VENV) ..."
	@PYTHONWARNINGS=ignore $(pip) install --editable '.[demo]'
	@touch $@

# Some systems ship Python without the parts that put pip into a new environment. The ways are tried from
# the one that changes least; the last two change the system or the account.
$(VENV)/.made:
	@echo "Making the environment $(VENV) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "$(PYTHON) is missing or older than 3.10; say make PYTHON=... with a newer one." >&2; exit 1; }
	@rm -f $(VENV)/.dev $(VENV)/.demo
	@as_root=; [ "$$(id -u)" -eq 0 ] || as_root="sudo -n"; \
	{ $(PYTHON) -c 'import ensurepip' 2>/dev/null && $(PYTHON) -m venv --clear $(VENV); } || \
	{ $(PYTHON) -m venv --clear --without-pip $(VENV) 2>/dev/null \
	    && $(PYTHON) -m pip --quiet --python $(python) install pip; } || \
	{ echo "Installing python3-venv ..." && $$as_root apt-get -qq update \
	    && $$as_root apt-get -qq install -y --no-install-recommends python3-venv >/dev/null \
	    && $(PYTHON) -m venv --clear $(VENV); } || \
	{ $(PYTHON) -m pip --quiet install --user virtualenv \
	    && $(PYTHON) -m virtualenv --quiet --clear $(VENV); } || \
	{ echo "$(PYTHON) cannot make an environment; install its venv module." >&2; exit 1; }
	@touch $@
