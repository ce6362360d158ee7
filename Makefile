# There is one virtual environment, .venv, installed from the pinned locks. It begins with the lock of training; the
# targets that need more (optional libraries, test tools, peers of the benchmark) install their lock into it first.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= $(firstword $(shell command -v python3.11) $(shell command -v python3))
BIN := .venv/bin
DATA ?= users_behavior.csv
INPUT ?= users_behavior.csv
OUTPUT ?= artifacts/scored.csv
MONTHS ?= subscriber_months.csv
ADVICE ?= artifacts/advice.csv
REF ?= users_behavior.csv
CUR ?= users_behavior.csv
HOST ?= 127.0.0.1
PORT ?= 3000
SHAPE ?= steady

# Without these, BentoML and MLflow send usage statistics to their makers.
export BENTOML_DO_NOT_TRACK := True
export MLFLOW_DISABLE_TELEMETRY := true
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input install --require-hashes --no-deps

.PHONY: help install optional demo start-demo stop-demo mlflow-demo test test-quick lint check docs cards pictures notebooks model train retrain rollback promote evaluate predict advise drift drift-demo serve build containerize loadtest soak benchmark clean
.DEFAULT_GOAL := help

.venv/training: requirements/training.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "make: expected Python 3.11, found $$($(PYTHON) --version) at $(PYTHON); name another with make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "installing the pinned requirements into .venv (about a minute)"
	@"$(PYTHON)" -m venv .venv
	@$(PIP) -r requirements/training.txt
	@touch $@

.venv/optional: requirements/optional.txt .venv/training
	@echo "installing the optional libraries into .venv (about a minute, 0.7 GB)"
	@$(PIP) -r requirements/optional.txt
	@touch $@

.venv/dev: requirements/dev.txt .venv/training
	@echo "installing the test tools into .venv (about a minute)"
	@$(PIP) -r requirements/dev.txt
	@touch $@

.venv/image: requirements/image.txt .venv/training
	@echo "installing the tools that look into the image into .venv (a few seconds)"
	@$(PIP) -r requirements/image.txt
	@touch $@

.venv/node: requirements/node/package-lock.json .venv/training
	@if command -v npm >/dev/null; then mkdir -p $@ && cp requirements/node/package*.json $@ && \
	  npm ci --silent --ignore-scripts --prefix $@ && touch $@; else echo "make: found no npm, so the tests leave out the Kubernetes manifests and the what-if page in a browser" >&2; fi

.venv/docs: requirements/docs.txt .venv/training
	@echo "installing the builder of the documentation site into .venv (a few seconds)"
	@$(PIP) -r requirements/docs.txt
	@touch $@

.venv/notebooks: requirements/notebooks.txt .venv/training
	@echo "installing what runs the notebooks into .venv (a few seconds)"
	@$(PIP) -r requirements/notebooks.txt
	@touch $@

.venv/benchmark: requirements/benchmark.txt .venv/training
	@echo "installing the peers of the benchmark into .venv (a few seconds)"
	@$(PIP) -r requirements/benchmark.txt
	@touch $@

# Trains if no model is registered.
model: .venv/training
	@$(BIN)/bentoml models get plan_recommender:latest >/dev/null 2>&1 || $(MAKE) --no-print-directory train

##@ Start here
help:  ## what each target does
	@awk -F ':.*## *' '/^##@ /{printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/training  ## train, serve, ask, show, stop
	@$(BIN)/python -m tools.demo

test: .venv/dev .venv/image .venv/node  ## every test, with coverage, and the slowest twenty
	@$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder --durations 20 --cov --cov-report=term

test-quick: .venv/dev .venv/image  ## the tests of the inner loop: none that starts a server, a container or another process, or takes seconds
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

install: .venv/training  ## a virtual environment from the pinned lock

optional: .venv/optional  ## the same, and the libraries of train.py --search and --mlflow, and of Spark

##@ Model
train: .venv/training  ## fit, evaluate, register (DATA=CSV)
	@$(BIN)/python train.py --data "$(DATA)"

retrain: .venv/training  ## look at new labelled data; train and register if there is a reason to (DATA=CSV)
	@$(BIN)/python retrain.py --data "$(DATA)"

evaluate: model  ## measure the registered model on its test part
	@$(BIN)/python evaluate.py

rollback: .venv/training  ## make the model before the latest the latest again (MODEL=TAG: that one)
	@$(BIN)/python -m tools.rollback $(MODEL)

promote: .venv/training  ## choose the model that :champion names: the latest (MODEL=TAG: that one)
	@$(BIN)/python -m tools.promote $(MODEL)

predict: model  ## score a file (INPUT=CSV OUTPUT=CSV)
	@$(BIN)/python predict.py --input "$(INPUT)" --output "$(OUTPUT)"

advise: model  ## advise a file of months (MONTHS=CSV ADVICE=CSV)
	@$(BIN)/python advise.py --input "$(MONTHS)" --output "$(ADVICE)"

drift: .venv/training  ## compare two samples (REF=CSV CUR=CSV)
	@$(BIN)/python drift.py --ref "$(REF)" --cur "$(CUR)"

drift-demo: .venv/training  ## months with and without a shift, served, judged, retrained, refused
	@$(BIN)/python -m tools.drift_demo

mlflow-demo: .venv/optional  ## train with MLflow watching, show what it keeps
	@$(BIN)/python -m tools.mlflow_demo

##@ Service
serve: model  ## the service on HOST:PORT, until Ctrl-C
	@$(BIN)/bentoml serve service:PlanRecommender --host "$(HOST)" --port "$(PORT)"

build: model  ## a Bento from the registered model
	@$(BIN)/bentoml build

containerize: model .venv/image  ## an image of the registered model: built, started, asked (needs Docker; BASE=IMAGE, OFFLINE=1, OPTIONS of bentoml containerize)
	@$(BIN)/python -m tools.containerize $(if $(OFFLINE),--offline) $(if $(BASE),--base "$(BASE)") $(OPTIONS)

start-demo: model .venv/image  ## an image of the model, up on PORT, asked; with compose where it is installed (make stop-demo)
	@PORT="$(PORT)" $(BIN)/python -m tools.start_demo $(OPTIONS)

stop-demo: .venv/training  ## take down what start-demo put up
	@$(BIN)/python -m tools.start_demo --stop

##@ Measure
loadtest: model .venv/dev  ## locust against a service that it starts itself (SHAPE=steady, step, spike or soak; SECONDS=N)
	@$(BIN)/python -m tools.loadtest --shape "$(SHAPE)" $(if $(SECONDS),--seconds "$(SECONDS)")

soak: model .venv/dev  ## stop, kill, overload, starve and feed rubbish, also to a fuzzer; writes docs/reliability.md
	@$(BIN)/python -m loadtest.trials --out docs/reliability.md
	@$(BIN)/python -m tools.openapi_cases
	@$(BIN)/python -m tests.serving.differential
	@$(BIN)/python -m tests.serving.fuzz_connection

benchmark: model .venv/benchmark .venv/optional  ## the scorer beside the pipeline, the service beside its peers, files and warehouses beside copies (MLSERVER_PYTHON=PATH; needs Java 17)
	@$(BIN)/python -m benchmark.scorer
	@$(BIN)/python -m benchmark.files
	@$(BIN)/python -m benchmark.warehouse
	@$(BIN)/python -m benchmark.serving $(if $(MLSERVER_PYTHON),--mlserver-python "$(MLSERVER_PYTHON)")

##@ Change the code
lint: .venv/dev .venv/image  ## style, types, and the walls between the packages: what the hooks run before a commit
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache

check: lint test  ## lint and test

docs: .venv/docs  ## the documentation site in site/, strict about links
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "site/index.html"

cards: .venv/training  ## write docs/model_card.md and docs/data_card.md anew, from a run
	@$(BIN)/python -m tools.cards

pictures: .venv/training  ## write the README's pictures in docs/pictures anew; needs Chromium
	@$(BIN)/python -m tools.pictures

notebooks: .venv/notebooks  ## execute notebooks/ and write their outputs anew (about a minute)
	@$(BIN)/python -m tools.notebooks

clean:  ## remove the environment, the artifacts, the site, searches and caches; the model store and MLflow's history are yours
	@rm -rf .venv artifacts dist site .artifacts.* search .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
