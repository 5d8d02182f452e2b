# Two commands do everything on a machine with Python 3.11+ and make: `make run` and `make test`.

# The first interpreter that is new enough; `make PYTHON=…` overrides.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
# The pip that comes with Python 3.11 takes twice as long to choose what to install as a new one, and compiling each
# module of each package takes as long again: what is imported is compiled then.
INSTALL := $(BIN)/python -m pip --disable-pip-version-check --quiet install --no-compile

# Bytecode is kept whatever the caller's environment says: the tests start the program some hundred times.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help run test mutants check agreement live reduced bench screenshots documents sweep soak packages translations citations constraints clean monkey visitors kills
.DEFAULT_GOAL := help

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: $(VENV)/run ## open the app (make run ARGS="learn how-the-walk-works" passes arguments)
	@$(BIN)/ptescope $(ARGS)

test: $(VENV)/develop ## run all tests
	@$(BIN)/pytest -n 3 --dist worksteal $(ARGS)

mutants: $(VENV)/develop ## break the program in many places and see that a test notices each (ARGS="--only NAME")
	@$(BIN)/python -m tests.mutants $(ARGS)

check: $(VENV)/develop ## format, lint, types, import directions, doctests, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --doctest-modules model lessons tui
	$(BIN)/codespell

agreement: $(VENV)/develop ## replay the recordings of real kernels; print the table and put it into the README
	@$(BIN)/python docs/parts.py agreement

live: $(VENV)/develop ## carry 500 random programs out on this machine's own kernel too, and compare
	@$(BIN)/ptescope live --random 500
	@for kind in thp hugetlb swap uffd; do $(BIN)/ptescope live --random 60 --kind $$kind || exit 1; done

reduced: $(VENV)/develop ## search 1000 random scenes reduced and whole, and compare verdicts and ends
	@$(BIN)/python -m tests.model.reduced_search 1000

bench: $(VENV)/develop ## measure steps, memory, the search and the screen against their targets
	@$(BIN)/python benchmarks/steps.py
	@$(BIN)/python benchmarks/screen.py
	@$(BIN)/python benchmarks/search.py --write docs/speed.md

screenshots: $(VENV)/develop ## draw the README's screen from the real app, and the gallery's pictures
	@$(BIN)/python docs/screenshots.py
	@$(BIN)/python docs/pictures.py

documents: screenshots ## renew all that the documents show of the program: picture, example, tables
	@$(BIN)/python docs/parts.py

sweep: $(VENV)/develop ## search every pair of ordinary calls, some hours; docs/ordinary.md says what was found
	@$(BIN)/python docs/parts.py ordinary

monkey: $(VENV)/develop ## random keys, mouse, pastes and sizes on a pseudo-terminal (ARGS="--seed N --seeds 5 --events 5000")
	@$(BIN)/python -m tests.tui.monkey $(ARGS)

visitors: $(VENV)/develop ## fifty visitors of `ptescope serve` that come, play, search and go: what they wait for, what they take
	@$(BIN)/python -m tests.tui.visitors $(ARGS)

kills: $(VENV)/develop ## kill programs that write files at any moment, 1000 times a kind of file (ARGS="--times N --seed N")
	@$(BIN)/python -m tests.lessons.kills $(ARGS)

soak: $(VENV)/develop ## random play of several tasks, until interrupted; goes on where it stopped (ARGS="--first N" begins at N)
	@$(BIN)/python -m tests.model.soak $(ARGS)

packages: $(VENV)/develop ## build, install and use wheel and sdist: every Python at hand, lowest and newest dependencies
	@$(BIN)/python -m tests.packages $(ARGS)

translations: $(VENV)/develop ## bring the translators' .po files up to date with the texts of the source
	@$(BIN)/python -m docs.translations

citations: $(VENV)/develop ## look up every cited kernel function in kernel sources (ARGS="TREE...")
	@$(BIN)/python -m docs.citations $(ARGS)

constraints: ## resolve every dependency anew and write the versions to constraints.txt
	@rm -rf $(VENV)-fresh && $(PYTHON) -m venv $(VENV)-fresh
	@$(VENV)-fresh/bin/python -m pip --disable-pip-version-check --quiet install '.[test,lint]'
	@sed -n '/^#/p' constraints.txt > $(VENV)-fresh/constraints.txt
	@$(VENV)-fresh/bin/python -m pip --disable-pip-version-check list --format=freeze \
		--exclude ptescope --exclude pip --exclude setuptools >> $(VENV)-fresh/constraints.txt
	@mv $(VENV)-fresh/constraints.txt constraints.txt && rm -rf $(VENV)-fresh
	@git --no-pager diff --stat constraints.txt

clean: ## remove the virtual environment and every cache
	rm -rf $(VENV) $(VENV)-fresh dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: what is installed is installed again only after a change of pyproject.toml or constraints.txt.

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "ptescope needs Python 3.11 or newer: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --upgrade pip

$(VENV)/run: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) -c constraints.txt -e .
	@touch $@

$(VENV)/develop: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) -c constraints.txt -e '.[test,lint]'
	@touch $@ $(VENV)/run
