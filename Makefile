# Every target is one line; what is longer is a script in scripts/ with --help. `make` lists the targets.
BIN = .venv/bin
K =
SECONDS = 60
WORKERS = auto
FAULTS = all

.DEFAULT_GOAL := help
.PHONY: help setup build dev demo clean-demo test check unit fuzz integration test-faults test-vm bench docs fix install uninstall clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' Makefile

setup:  ## install the system packages (apt, root; nothing to do the second time)
	@scripts/setup

build:  ## make .venv from requirements.lock, precompile, write bin/lxd and bin/lxc
	@scripts/build

dev: build  ## add to .venv what the tests and checks need
	@scripts/build --dev

demo: setup build  ## a running container from nothing; shows what to type next
	@scripts/demo

clean-demo:  ## remove every trace of the demo
	@scripts/clean-demo

test: dev  ## all that CI runs: check, then unit, property, integration, fault and seed tests; WORKERS=N at a time
	@scripts/test -n $(WORKERS)

check: dev  ## format, lint, types, imports, spelling, generated pages
	@scripts/check

unit: dev  ## tests that need no root, no network and no container
	@$(BIN)/python -m pytest -q -n $(WORKERS) tests/unit tests/contracts

fuzz: dev  ## try what reads strangers' bytes with wrong ones, SECONDS=N for each target
	@FUZZ_SECONDS=$(SECONDS) $(BIN)/python -m pytest -q tests/fuzz

integration: dev  ## tests with real containers; K=WORD picks some
	@$(BIN)/python -m pytest -n $(WORKERS) tests/integration tests/peers tests/faults tests/seeds $(if $(K),-k '$(K)')

test-faults: dev  ## fail, kill and cancel at every effect of every part, of which `make test` takes a sample; FAULTS=count counts them
	@FAULTS=$(FAULTS) $(BIN)/python -m pytest -ra -n $(WORKERS) tests/faults

test-vm: dev  ## what this kernel may lack (AppArmor, cgroup v2), systemd and a restart, in a virtual machine
	@scripts/setup --vm && scripts/vm/build && scripts/vm/run

bench: dev  ## time the same work here and on the real LXD, write docs/benchmarks.md
	@scripts/setup --bench && $(BIN)/python scripts/bench.py --write docs/benchmarks.md

docs: dev  ## write docs/reference/ anew
	@$(BIN)/python scripts/reference.py

fix: dev  ## format, and mend what the linter can
	@scripts/check --fix

install: build  ## system-wide: lxd, lxc, completions, group lxd, systemd units (DESTDIR, PREFIX)
	@scripts/install

uninstall:  ## undo `make install`; containers and their data stay
	@scripts/install --remove

clean:  ## remove what build and the tests left in the checkout
	@rm -rf bin .venv .pytest_cache .ruff_cache .hypothesis .cache
