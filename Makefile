# Two commands: `make book` builds the book, `make test` proves it. Both install what they need first.

SHELL  := /bin/sh
VENV   := .venv
BIN    := $(VENV)/bin
EXTRAS := book,deploy,kernels,quantize,run,test,train
PYTHON  = $(shell sh scripts/find_python.sh)

.DEFAULT_GOAL := help
.PHONY: help install book test lab notebooks student train tables mutants fuzz firmware firmware-check clean distclean

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/installed  ## make .venv and install everything into it

# System packages, once, and again when apt.txt changes. What could not be installed is said, and not asked for again.
$(VENV)/system: apt.txt scripts/system_packages.sh
	@sh scripts/system_packages.sh apt.txt "$(PYTHON)"
	@mkdir -p $(VENV) && touch $@

# The C kernels are compiled here, so that nobody waits for them later; without a compiler the rest works (the leading -).
# `test -n` because a Python that was not found leaves an empty name (the reason is printed by find_python.sh).
$(VENV)/installed: $(VENV)/system pyproject.toml constraints.txt
	@test -x $(BIN)/python || { test -n "$(PYTHON)" && "$(PYTHON)" -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$(EXTRAS)]' -c constraints.txt
	-@$(BIN)/python -m uvlm_mini.kernels
	@touch $@

book: $(VENV)/installed  ## build the book from the committed notebooks
	@$(BIN)/python scripts/build_book.py
	@echo "Open it with: xdg-open book/_build/html/index.html"

# A book that does not build stops nothing here (the leading -): the tests build it again and count that as failures,
# so that the last line tells the whole result. ruff and mypy are among the tests, too (tests/test_style.py).
test: $(VENV)/installed  ## run every check and test, and every notebook
	-@$(BIN)/python scripts/build_book.py
	$(BIN)/python scripts/run_tests.py

lab: $(VENV)/installed  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

notebooks: $(VENV)/installed  ## run every notebook again, in place
	$(BIN)/python scripts/run_notebooks.py

student: $(VENV)/installed  ## make notebooks/student/ again: the chapters without solutions
	$(BIN)/python scripts/student_notebooks.py

train: $(VENV)/installed  ## train the shipped weights again, and remake all that shows them (about an hour)
	$(BIN)/uvlm train --recipe mini --keep --out runs/mini
	$(BIN)/python scripts/ship.py runs/mini

# benchmarks.vela is not among them: its extra, npu, wants an environment of its own (README.md).
tables: $(VENV)/installed  ## make every result file again (a night on two cores); finished runs are kept in runs/
	for name in cfq core_cost dataset decoder_cost decoders decoder_ablation encoder_ablation encoder_peers encoder_speed \
	    familiar gcdm_readings int4 kernels latency live long_run m55_kernels m55_exp m55 memory modulation_cost \
	    paper_cost quarter scst_step shipped sizes; do \
	  $(BIN)/python -m benchmarks.$$name || exit 1; done

mutants: $(VENV)/installed  ## break the code in every listed way, and see a test fail each time
	$(BIN)/python -m tests.mutants

FUZZ ?= 600
fuzz: $(VENV)/installed  ## feed the C kernels with what no caller should give (FUZZ=600 seconds in all; wants clang)
	$(BIN)/python scripts/fuzz.py --seconds $(FUZZ)

firmware: $(VENV)/installed  ## build the captioner for a Cortex-M55 with the shipped blob, and print its sizes
	$(BIN)/uvlm deploy firmware

firmware-check: $(VENV)/installed  ## run it in QEMU on 20 test pictures: its bits are those of NumPy (some minutes)
	$(BIN)/python scripts/firmware_check.py

clean:  ## remove what was built; the virtual environment stays
	rm -rf book/_build build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print | xargs rm -rf
	find . -path ./$(VENV) -prune -o -name .ipynb_checkpoints -type d -print | xargs rm -rf

distclean: clean  ## clean, and remove the virtual environment too
	rm -rf $(VENV)
