# tfw: `make demo` shows it, `make test` proves it.
GO      ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
SEED    ?=
PATH    := $(PATH):$(shell $(GO) env GOPATH)/bin
TESTS   := sshd:openssh-server ssh:openssh-client gcc:gcc git:git perl:perl

.DEFAULT_GOAL := help
.PHONY: help build test man demo bench chaos lint vet walls cover fmt

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## static tfwd and tfwctl in bin/
	CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

demo: build ## a throw-away lab of SSH hosts, and what tfw does with it
	@.ci/need curl:curl git:git gcc:gcc ld:libc6-dev perl:perl
	@.ci/demo

test: ## every test with the race detector, against real OpenSSH (installed when missing)
	@.ci/need $(TESTS)
	CHAOS=short $(GO) test -race -timeout 9m ./...

man: build ## manual pages of tfwctl in bin/man (man -l bin/man/tfwctl.1)
	bin/tfwctl man --dir bin/man

walls: ## who may import what
	$(GO) test -run 'Walls|Room' -count=1 .

chaos: build ## the long fault suite: kills, cuts, freezes, and an oracle (SEED=n to repeat one)
	@.ci/need $(TESTS)
	CHAOS=long CHAOS_SEED=$(SEED) PROGRAMS=$(CURDIR)/bin $(GO) test -count=1 -timeout 30m -v -run TestChaos ./executor/executortest

bench: build ## 100 hosts and a 400 MB log, beside ssh, clush and a bare loop
	@.ci/need $(TESTS) clush:clustershell
	BENCH=1 PROGRAMS=$(CURDIR)/bin $(GO) test -count=1 -timeout 30m -v -run TestBench ./executor/executortest

lint: ## golangci-lint (install: go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0)
	golangci-lint run ./...

vet: ## go vet
	$(GO) vet ./...

cover: ## coverage by package and function, in cover.out
	$(GO) test -timeout 9m -coverprofile cover.out -coverpkg ./... ./...
	@$(GO) tool cover -func cover.out | tail -1

fmt: ## gofmt everything
	gofmt -w $$(git ls-files '*.go')
