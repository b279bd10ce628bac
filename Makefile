# SPDX-License-Identifier: GPL-3.0-or-later
# What one does with a checkout. Each target is a command of tools/, lab/ or Ansible; this file only names them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help bootstrap demo demo-down test test-fast molecule bench \
        lab-up lab-down lab-reset lab-status lab-shell lock reference report awx

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */\1\t/' | expand -t 14

bootstrap: ## install what a fresh machine lacks: Debian packages and .venv
	tools/bootstrap
	@touch .venv/installed

# Newer than the lock when .venv holds what the lock names.
.venv/installed: requirements.txt
	tools/bootstrap
	@touch $@

demo: .venv/installed ## lab up, audit, site, audit, site again, an attack, a bad change taken back, malware; then the reports
	tools/demo

demo-down: ## remove everything that the demo made
	tools/demo down

test: .venv/installed ## everything
	tools/test all

test-fast: .venv/installed ## linters and unit tests; no host
	tools/test fast

molecule: .venv/installed ## one scenario: make molecule SCENARIO=time_sync
	tools/test molecule-$(or $(SCENARIO),$(error SCENARIO is not set: accounts, authentication or time_sync))

bench: .venv/installed ## measure, as ratios to a ping
	tools/bench

lab-up lab-down lab-reset lab-status: lab-%: .venv/installed
	lab/lab $* $(HOSTS)

lab-up: ## start the lab's hosts (HOSTS="server13 ...", KIJUN_LAB=n)
lab-down: ## remove them
lab-reset: ## make them fresh again
lab-status: ## what runs

lab-shell: .venv/installed ## a root shell on one: make lab-shell HOST=server13
	lab/lab shell $(or $(HOST),$(error HOST is not set))

lock: .venv/installed ## requirements.txt from pyproject.toml
	tools/lock

reference: .venv/installed ## docs/reference, and policy/pending.yml
	tools/policy pending
	tools/reference

awx: .venv/installed ## awx/configuration, the table of jobs and the runbooks, from awx/jobs.yml
	tools/awx

report: .venv/installed ## the latest audit's page made again (RUN=reports/ID)
	tools/kijun-report $(or $(RUN),reports/latest)
