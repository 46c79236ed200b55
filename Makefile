# The verbs of the house. `make help` lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 8000
RUN := .venv/bin/python
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: book serve test measure bench learn exercises grade fresh clean help

book: .venv/.installed  ## build the book, strictly, and say where it is
	$(RUN) book/_tools/build.py
	@test -s _build/html/index.html

serve: .venv/.installed  ## show the built book at an address on this machine
	@test -s _build/html/index.html || $(MAKE) book
	@echo "The book: http://localhost:$(PORT)/    (Ctrl-C ends it)"
	@$(RUN) -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

test: .venv/.installed  ## run every test, the notebooks of the book and the browser included
	$(RUN) -m pytest -n auto

measure: .venv/.installed  ## run the experiments whose results are not current (ONLY=name, FULL=1)
	$(RUN) -m experiments.measure $(addprefix --only ,$(ONLY)) $(if $(FULL),--full)

bench: .venv/.installed  ## time every optimizer against torch's, for the page performance
	$(RUN) -m experiments.performance

learn: .venv/.installed  ## open the exercises in JupyterLab
	$(RUN) -m jupyterlab exercises

exercises: .venv/.installed  ## make the exercises, and the gradebook, from solutions/
	$(RUN) -m grader.build

grade: .venv/.installed  ## grade what was handed in, on every core (SECTION=optimizers)
	$(RUN) -m grader grade $(SECTION)

fresh: .venv/.installed  ## make all that is generated again; fail where the committed differs
	$(RUN) -m grader.build
	$(RUN) book/_tools/sync.py
	git diff --exit-code -- book exercises solutions
	@new=$$(git status --porcelain -- book exercises solutions); \
	  if [ -n "$$new" ]; then echo "made, but not committed:"; echo "$$new"; exit 1; fi
	@echo "All that is generated is committed as generated."

clean:  ## remove the built book and the caches; .venv stays
	rm -rf _build .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

help:  ## list the verbs
	@awk -F ':.*##  *' '/^[a-z]+:.*##/ {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.installed: requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed, and no python3 was found."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1 | head -n 1)."; \
	    echo "Name another one: make $(or $(MAKECMDGOALS),book) PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(RUN) || $(PYTHON) -m venv .venv
	$(RUN) -m pip install -r requirements.txt
	$(RUN) -m pip install --no-deps -e .
	@touch $@
