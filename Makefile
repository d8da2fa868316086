# What a person runs here: make demo, make test. The rest serves those two.
.DEFAULT_GOAL := help
SHELL := /bin/bash
GO ?= go

# Everything is built in one way, the way of a release: without cgo, without the
# paths of this machine. Build, vet and tests, the previous release in the
# upgrade test among them, then share one cache; each way more would compile
# every package once more.
export CGO_ENABLED ?= 0
export GOFLAGS := $(strip -trimpath $(filter-out -trimpath,$(GOFLAGS)))

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

wasm: ## the fingerprint packages for the browser, embedded into the pages
	GOOS=js GOARCH=wasm $(GO) build -ldflags "-s -w" -o internal/web/static/fingerprint.wasm ./cmd/fingerprintwasm
	cp "$$($(GO) env GOROOT)/lib/wasm/wasm_exec.js" internal/web/static/wasm_exec.js

demo: wasm ## play the story on a node and twelve edges on this machine
	$(GO) run ./cmd/siaga demo

build: wasm ## bin/siaga, without cgo
	$(GO) build -o bin/siaga ./cmd/siaga

check: ## fast checks: form, vet, import rules
	@bad=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$bad" ]; then echo "gofmt would change:"; echo "$$bad"; exit 1; fi
	$(GO) vet ./...
	GOOS=js GOARCH=wasm $(GO) build ./fingerprint/... ./index
	GOARCH=arm64 $(GO) build ./fingerprint/... ./index ./internal/media
	$(GO) test -count=1 ./internal/archtest

parts: ## install what tests need: ffmpeg, PostgreSQL, Chromium
	scripts/parts.sh

test: parts wasm check ## all tests, with real ffmpeg, PostgreSQL and Chromium
	SIAGA_TEST_LONG=1 SIAGA_TEST_FFMPEG=1 SIAGA_TEST_POSTGRES=1 SIAGA_TEST_BROWSER=1 SIAGA_TEST_DISK=1 SIAGA_TEST_CONFINED=1 SIAGA_TEST_UPGRADE=1 $(GO) test -vet=off -timeout 20m ./...
	$(GO) test -vet=off -tags purego ./fingerprint/pdq ./index
	$(GO) test -vet=off -run '^$$' -bench . -benchtime 1x -short ./fingerprint/... ./index ./edge ./internal/journal > /dev/null
	$(GO) run ./cmd/siaga demo --once --edges 20 --listen 127.0.0.1:0
	scripts/fuzz.sh 90

race: ## the concurrent packages under the race detector (needs cgo)
	CGO_ENABLED=1 $(GO) test -race -timeout 20m ./index ./edge ./internal/feed ./internal/bus ./internal/relay ./internal/journal ./internal/store/sqlite ./internal/app ./internal/web

fuzz: ## ten minutes of fuzzing for each parser
	scripts/fuzz.sh each 600

hostile: ## 1,490 crafted and 20,000 damaged files, in twenty to forty minutes of a quiet machine
	SIAGA_HOSTILE=full SIAGA_TEST_FFMPEG=1 $(GO) test -v -run 'TestCraftedFiles|TestDamagedFiles' -timeout 120m ./internal/media

faults: parts ## every fault row of the threat model at full length, a line each; ROW=name for one
	scripts/faults.sh $(ROW)

lint: ## golangci-lint, pinned in tools/go.mod
	$(GO) tool -modfile=tools/go.mod golangci-lint run ./...

vuln: ## known vulnerabilities; GOVULNDB names a folder for a machine without network
	scripts/vuln.sh

bench: ## figures of this machine
	$(GO) run ./cmd/siaga bench index
	$(GO) run ./cmd/siaga bench pdq fingerprint/pdq/testdata/images/*.jpg
	$(GO) run ./cmd/siaga bench edge

.PHONY: help wasm demo build check parts test race fuzz hostile faults lint vuln bench
