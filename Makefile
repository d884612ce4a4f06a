# Everything a person or CI runs. Needs Go and nothing else; gcc for the race detector.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Packages without a control plane, and those that start one. The tests of the second kind run
# the controller as a program: IBFABRIC_RACE=1 builds that one with the race detector.
UNIT    := $$(go list ./... | grep -v '/test/') ./test/demo ./test/bench/...
CONTROL := $$(go list ./test/... | grep '/test/' | grep -vE '/test/(demo|bench|chaos)')

.PHONY: help build test static unit control race fmt-check manifests images release demo bench chaos chaos-short lab testbed browser clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## put the programs into bin/, static
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/...
	@ln -sf ibfabric bin/kubectl-ibfabric

test: static unit control race chaos-short ## everything CI runs: static checks, then all tests

static: fmt-check ## go vet and staticcheck
	go vet ./...
	go tool staticcheck ./...
	go -C deploy/tools vet ./...

unit: ## unit and property tests and fuzz seeds
	go test $(UNIT)
	@# -count=1: what they read lies outside their module, and go test would not look at it again.
	go -C test/monitoring test -count=1 ./...
	go -C deploy/tools test -count=1 ./...

# -timeout covers the building of peers, the first time.
control: testbed ## tests against a real control plane; PEER_DIR=folder
	IBFABRIC_PEER_DIR="$(abspath $(PEER_DIR))" go test -timeout 20m -p 1 -parallel 4 $(CONTROL)

race: testbed ## unit tests, and the controller in its tests, under the race detector
	@if cc=$$(go env CC) && command -v "$$cc" >/dev/null; then \
		echo "CGO_ENABLED=1 go test -race (unit packages)"; \
		CGO_ENABLED=1 go test -race $(UNIT); \
		echo "IBFABRIC_RACE=1 go test ./test/control (the controller under the race detector)"; \
		IBFABRIC_RACE=1 go test -timeout 20m -parallel 4 ./test/control; \
	else \
		printf '%s\n' '' '*** SKIPPED: the race detector needs gcc. Nothing was checked for data races. ***' '' >&2; \
	fi

fmt-check: ## fail on files that gofmt would change
	@out=$$(gofmt -l .); [ -z "$$out" ] || { echo "run gofmt -w on:"; echo "$$out"; exit 1; }

manifests: ## render the chart into deploy/manifests, admission and console, and its values into docs/install.md
	go -C deploy/tools run ./ibfabric-chart manifests -root ../..

images: ## write the images into build/images, as OCI archives for amd64 and arm64; VERSION=v1.2.3 ARCH=amd64
	@go -C deploy/tools run ./ibfabric-release -root ../.. -o ../../build/images -images-only $(if $(VERSION),-version $(VERSION)) $(if $(ARCH),-arch $(ARCH))

release: ## all that is given out into build/release: programs, images, chart, manifests, SHA256SUMS; VERSION=v1.2.3
	@go -C deploy/tools run ./ibfabric-release -root ../.. -o ../../build/release $(if $(VERSION),-version $(VERSION))

# exec: a signal to make's child is a signal to the demo.
demo: build $(if $(KUBECONFIG),,testbed) ## see it work; ONCE=1 runs to the end by itself, KUBECONFIG=… uses that cluster
	@go build -o build/demo ./test/demo
	@exec build/demo $(if $(ONCE),-once)

bench: testbed ## measure against a bare loop and ib-kubernetes; ARGS="-quick -no-peer"
	@go run ./test/bench $(ARGS)

chaos: testbed ## let everything go wrong at once; SEED=7 DURATION=3m PODS=10000
	@DURATION=$${DURATION:-1m} go test ./test/chaos -run 'TestChaos$$' -count=1 -v -timeout 120m

chaos-short: testbed
	go test -count=1 ./test/chaos/...

# What make lab plays: stories, both packages of them at once; with LONG=1 all that there is but
# stories that a fake kernel shows as well.
LAB := -p 2 -run 'TestOnRealKernels|TestOnARealNode' ./test/lab/cni ./test/lab/node
ifneq ($(LONG),)
LAB := -p 1 $$(go list ./test/lab/... | grep -v lab/cni) ./test/lab/cni
endif
ifneq ($(PEERS),)
LAB := -run TestOnRealKernels ./test/lab/cni
endif

# -timeout covers downloads and both kernels.
lab: testbed ## real kernels, OpenSM and a whole node, in QEMU; LONG=1, KERNELS="6.12 7" RUN=regexp PEERS=1 PEER_DIR=folder
	IBFABRIC_LAB=1 IBFABRIC_LAB_KERNELS="$(KERNELS)" IBFABRIC_LAB_RUN="$(RUN)" IBFABRIC_LAB_LONG="$(LONG)" IBFABRIC_LAB_PEERS="$(PEERS)" IBFABRIC_LAB_PEER_DIR="$(abspath $(PEER_DIR))" \
		go test -json -count=1 -timeout 120m $(LAB) \
		| go run ./test/lab/report -o build/lab.json $(if $(RUN),,$(if $(PEERS),-peers test/lab/README.md))

testbed: ## build what tests and demo need of Kubernetes (once: five to ten minutes); prints the folder
	@go run ./test/testbed/build

# Without it the console's browser tests are skipped, and say so.
browser: ## install Chromium for the console's tests, where it is missing (Debian, as root)
	@command -v chromium >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends chromium; }

clean: ## remove bin/ and build/; the test bed's programs stay in the user's cache
	rm -rf bin build
