# Everything a person or CI runs. Needs Go and nothing else; gcc for the race detector.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Packages without a control plane, and those that start one. The tests of the second kind run
# the controller as a program: IBFABRIC_RACE=1 builds that one with the race detector.
UNIT    := $$(go list ./... | grep -v '/test/') ./test/demo ./test/bench/...
CONTROL := $$(go list ./test/... | grep '/test/' | grep -vE '/test/(demo|bench|chaos)')

.PHONY: help build test static unit control race fmt-check demo bench chaos chaos-short lab testbed browser clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## put the programs into bin/, static
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/...

test: static unit control race chaos-short ## everything CI runs: static checks, then all tests

static: fmt-check ## go vet and staticcheck
	go vet ./...
	go tool staticcheck ./...

unit: ## unit and property tests and fuzz seeds
	go test $(UNIT)

control: testbed ## tests against a real control plane
	go test -p 1 -parallel 4 $(CONTROL)

race: testbed ## unit tests, and the controller in its tests, under the race detector
	@if cc=$$(go env CC) && command -v "$$cc" >/dev/null; then \
		echo "CGO_ENABLED=1 go test -race (unit packages)"; \
		CGO_ENABLED=1 go test -race $(UNIT); \
		echo "IBFABRIC_RACE=1 go test ./test/control (the controller under the race detector)"; \
		IBFABRIC_RACE=1 go test -parallel 4 ./test/control; \
	else \
		printf '%s\n' '' '*** SKIPPED: the race detector needs gcc. Nothing was checked for data races. ***' '' >&2; \
	fi

fmt-check: ## fail on files that gofmt would change
	@out=$$(gofmt -l .); [ -z "$$out" ] || { echo "run gofmt -w on:"; echo "$$out"; exit 1; }

# exec: a signal to make's child is a signal to the demo.
demo: build $(if $(KUBECONFIG),,testbed) ## see it work; ONCE=1 runs to the end by itself, KUBECONFIG=… uses that cluster
	@go build -o build/demo ./test/demo
	@exec build/demo $(if $(ONCE),-once)

bench: testbed ## measure against a bare loop and ib-kubernetes; ARGS="-quick -no-peer"
	@go run ./test/bench $(ARGS)

chaos: testbed ## let everything go wrong at once; SEED=7 DURATION=3m
	@DURATION=$${DURATION:-1m} go test ./test/chaos -run 'TestChaos$$' -count=1 -v -timeout 120m

chaos-short: testbed
	go test -count=1 ./test/chaos

# One guest at a time: each is a busy CPU. -timeout covers downloads and both kernels.
lab: ## real kernels with a virtual HCA, in QEMU; KERNELS="6.12 7" RUN=regexp
	IBFABRIC_LAB=1 IBFABRIC_LAB_KERNELS="$(KERNELS)" IBFABRIC_LAB_RUN="$(RUN)" go test -p 1 -count=1 -v -timeout 120m $$(go list ./test/lab/... | grep -v lab/cni) ./test/lab/cni

testbed: ## build what tests and demo need of Kubernetes (once: five to ten minutes); prints the folder
	@go run ./test/testbed/build

# Without it the console's browser tests are skipped, and say so.
browser: ## install Chromium for the console's tests, where it is missing (Debian, as root)
	@command -v chromium >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends chromium; }

clean: ## remove bin/ and build/; the test bed's programs stay in the user's cache
	rm -rf bin build
