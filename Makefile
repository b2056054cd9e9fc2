# Everything a checkout needs is in .venv, made on first use from pinned versions (scripts/constraints.txt).
# PYTHON names the interpreter that .venv is made with; 3.11 or newer.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
CODE := runtime services fitting gateway clients research scripts tests
TYPESCRIPT := clients/typescript
GENERATED := gen $(TYPESCRIPT)/src/generated

.DEFAULT_GOAL := help
.PHONY: help install demo up certs faults soak cluster-simulation test check format lint types imports buf protos protos-clean packaging manifests images image-tests one-image bench quality realism fit-check pins clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/pip.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Pantree needs Python 3.11 or newer; name one with make PYTHON=python3.11"; exit 1; }
	@echo "making .venv"
	@$(PYTHON) -m venv .venv
	@$(PIP) install --constraint scripts/constraints.txt --upgrade pip
	@touch $@

.venv/run.stamp: .venv/pip.stamp pyproject.toml scripts/constraints.txt
	@echo "installing Pantree into .venv (a minute or two the first time)"
	@$(PIP) install --constraint scripts/constraints.txt --editable '.[all]'
	@touch $@

.venv/dev.stamp: .venv/run.stamp
	@echo "installing the development tools into .venv"
	@$(PIP) install --constraint scripts/constraints.txt --group dev
	@touch $@

.venv/quality.stamp: .venv/dev.stamp
	@echo "installing what measuring needs into .venv"
	@$(PIP) install --constraint scripts/constraints.txt --group quality
	@touch $@

install: .venv/run.stamp ## Install Pantree into .venv

demo: .venv/run.stamp ## Start the mesh, run a first purchase through it, show the recommendations
	@$(BIN)/pantree demo

up: .venv/run.stamp ## Start all parts and keep them running until Ctrl-C
	@$(BIN)/pantree up

certs: .venv/dev.stamp ## Make certificates for a mesh with TLS on this machine, in certs/
	@$(BIN)/python -m scripts.make_certificates

faults: .venv/dev.stamp ## Break a running mesh on purpose, over 200 times, under load; prints a table
	@$(BIN)/python -m tests.faults

soak: .venv/dev.stamp ## Ten minutes of full load; prints memory and open files of every part
	@$(BIN)/python -m tests.faults.soak

cluster-simulation: .venv/dev.stamp ## Run the prod manifests in network namespaces, without a cluster: ten minutes, Linux, root
	@$(BIN)/python -m tests.cluster_simulation

test: .venv/dev.stamp ## Run the tests
	@$(BIN)/pytest -m "not packaging and not images and not milvus_server"

check: .venv/dev.stamp format-check lint types imports buf protos-clean typescript-install spectral-install test milvus packaging ## All that CI runs

format: .venv/dev.stamp ## Format the code and the protos
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/buf format --write protos

.PHONY: format-check
format-check: .venv/dev.stamp
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/buf format --diff --exit-code protos

lint: .venv/dev.stamp ## Lint the code
	@$(BIN)/ruff check $(CODE)

types: .venv/dev.stamp ## Check the types
	@$(BIN)/mypy

imports: .venv/dev.stamp ## Check who imports whom
	@$(BIN)/lint-imports

protos: .venv/dev.stamp ## Generate gen/ and, where its tools are installed, the TypeScript client's types from protos/
	@$(BIN)/python scripts/generate_protos.py
	@if [ -d $(TYPESCRIPT)/node_modules ]; then cd $(TYPESCRIPT) && npm run --silent generate; fi

protos-clean: protos ## Check that the generated code is what the protos give
	@git diff --exit-code -- $(GENERATED) || { echo "generated code is not what protos/ gives: run make protos and commit"; exit 1; }
	@test -z "$$(git status --porcelain -- $(GENERATED))" || { echo "there is generated code that is not committed"; exit 1; }

# BASE names the commit whose contract must stay readable: the last one, or main for a branch.
BASE ?= HEAD
buf: protos ## Lint the contract, and compare it with that of BASE (default HEAD)
	@$(BIN)/buf lint gen/pantree/contract.binpb
	@BASE=$(BASE) BUF=$(BIN)/buf sh scripts/check_breaking.sh

$(TYPESCRIPT)/node_modules/install.stamp: $(TYPESCRIPT)/package.json $(TYPESCRIPT)/package-lock.json
	@echo "installing the development tools of the TypeScript client"
	@cd $(TYPESCRIPT) && npm ci --silent --no-audit --no-fund
	@touch $@

.PHONY: milvus milvus-install
milvus-install: .venv/dev.stamp ## Install the Milvus server that PyPI has for Linux on x86-64
	@$(PIP) install --constraint scripts/constraints.txt --group milvus \
	  || echo "no Milvus server here: the tests that need it will be skipped"

milvus: milvus-install ## Run the vector store's tests against a real Milvus server
	@$(BIN)/pytest -rs -m milvus_server tests/vector

.PHONY: typescript typescript-install
typescript-install: ## Install what the TypeScript client is built and tested with, where there is npm
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory $(TYPESCRIPT)/node_modules/install.stamp; \
	  else echo "no npm here: the tests of the TypeScript client will be skipped"; fi

SPECTRAL := tests/gateway/spectral
$(SPECTRAL)/node_modules/install.stamp: $(SPECTRAL)/package.json $(SPECTRAL)/package-lock.json
	@echo "installing spectral, which lints the gateway's documents"
	@cd $(SPECTRAL) && npm ci --silent --no-audit --no-fund
	@touch $@

.PHONY: spectral-install
spectral-install: ## Install what the gateway's documents are linted with, where there is npm
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory $(SPECTRAL)/node_modules/install.stamp; \
	  else echo "no npm here: the gateway's documents will not be linted"; fi

typescript: .venv/dev.stamp $(TYPESCRIPT)/node_modules/install.stamp ## Build the TypeScript client and test it in Node.js and Chromium
	@$(BIN)/pytest tests/typescript

packaging: .venv/dev.stamp ## Build the wheel and start every part from an environment with its own extra only
	@$(BIN)/pytest -m packaging

.PHONY: random-requests
random-requests: .venv/dev.stamp ## Send thousands of random requests to the gateway, after its own description
	@PANTREE_TEST_CASES=2000 $(BIN)/pytest tests/gateway/test_random_requests.py

manifests: .venv/dev.stamp ## Check the Kubernetes manifests, the Dockerfiles and the compose file
	@$(BIN)/pytest -m "not images" tests/deploy

# PARTS names some of the parts, or sagemaker; BASE_IMAGE another base; scripts/debian_base_image.sh makes one without a registry.
images: .venv/run.stamp ## Build the container images with docker, podman or buildah
	@$(BIN)/python scripts/build_images.py $(PARTS)

image-tests: .venv/dev.stamp ## Build images and run them read-only (PANTREE_TEST_IMAGES=frequency,...)
	@$(BIN)/pytest -m images -s tests/deploy

one-image: .venv/dev.stamp ## Build and run one image without a registry, with buildah and debootstrap, as CI does (PARTS=...)
	@sh scripts/check_one_image.sh $(PARTS)

bench: .venv/quality.stamp ## Measure against yardsticks; prints a table and writes bench.json
	@$(BIN)/python -m tests.benchmarks

quality: .venv/quality.stamp ## Fit the frequency models and judge them on real households; writes build/quality
	@$(BIN)/python -m pantree_research.quality

realism: .venv/quality.stamp ## Hold the simulation against real baskets: a table and plots in realism/
	@$(BIN)/python -m pantree_research.realism

fit-check: .venv/quality.stamp ## Fit the simulation anew and compare with behavior.toml: some minutes
	@$(BIN)/python -m pantree_research.fit_simulation --check

pins: ## Pin the versions of everything in .venv anew
	@$(BIN)/python -m pip freeze --all --exclude-editable --exclude pantree > scripts/constraints.txt

clean: ## Remove .venv and caches
	@rm -rf .venv dist bench.json realism clients/typescript/node_modules clients/typescript/dist tests/gateway/spectral/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
