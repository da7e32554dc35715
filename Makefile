# Everyday commands, and the targets that `sam build` calls.
#
#   make run     the whole set on this machine
#   make test    format, vet, lint, the template, tests, tests with the race detector
#   make load    100,000 accounts, removed while the sweep is killed: minutes
#   make build   every function for this machine's processor, into .build/
#   make tools   installs what tests need besides Go

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

FUNCTIONS   := $(notdir $(patsubst %/,%,$(dir $(wildcard functions/*/main.go))))
LAMBDA_ARCH ?= arm64
GO_BUILD    := CGO_ENABLED=0 go build -tags lambda.norpc -trimpath -ldflags "-s -w"
FUZZTIME    ?= 30s
ACCOUNTS    ?= 100000
ADDR        ?= 127.0.0.1:8787

.PHONY: run
run:
	go run ./infra/local -addr $(ADDR)

# What is missing of the tools is left out, and said; with CI set it is a failure.
export KEYVEND_TOOLS ?= $(HOME)/.cache/keyvend
export SAM_CLI_TELEMETRY := 0
TOOL = PATH="$$KEYVEND_TOOLS/bin:$$KEYVEND_TOOLS/sam/bin:$$PATH"

.PHONY: tools
tools:
	infra/tools/install.sh

# The race detector sees what runs in a test's own process: not the browser's side of
# widget and dashboard, and of the end-to-end suite the target that is in process.
.PHONY: test
test: format lint template
	go test -timeout 20m ./...
	go test -timeout 20m -race $$(go list ./... | grep -vE '/infra/(widget|dashboard|e2e)$$')
	go test -timeout 20m -race -run 'InProcess' ./infra/e2e

.PHONY: template
template:
	@$(TOOL); if command -v sam >/dev/null; then sam validate --lint; \
	elif test -n "$${CI:-}"; then echo "sam is missing: make tools"; exit 1; \
	else echo "skipped: sam is not installed: make tools"; fi

.PHONY: format
format:
	@unformatted="$$(gofmt -l .)"; test -z "$$unformatted" || { echo "gofmt these files:"; echo "$$unformatted"; exit 1; }

.PHONY: lint
lint:
	go vet ./...
	@$(TOOL); if command -v golangci-lint >/dev/null; then golangci-lint run ./...; \
	elif test -n "$${CI:-}"; then echo "golangci-lint is missing: make tools"; exit 1; \
	else echo "skipped: golangci-lint is not installed: make tools"; fi

.PHONY: bench
bench:
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: load
load:
	go run ./infra/load -accounts $(ACCOUNTS)

# Every fuzz target of every package, one after the other. When its time runs out
# in the middle of an input, go test fails without a finding; that is no failure.
.PHONY: fuzz
fuzz:
	@log=$$(mktemp); trap 'rm -f "$$log"' EXIT; grep -rEl --include='*_test.go' '^func Fuzz' pkg infra | xargs -n1 dirname | sort -u | while read -r dir; do \
		for target in $$(grep -Eho '^func Fuzz\w+' $$dir/*_test.go | sed 's/^func //' | sort -u); do \
			echo "$$dir $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s ./$$dir 2>&1 | tee "$$log" && continue; \
			grep -q 'context deadline exceeded' "$$log" && ! grep -q 'Failing input' "$$log" || exit 1; \
			echo "$$target: the time ran out in the middle of an input; nothing was found"; \
		done; \
	done

.PHONY: build
build: $(addprefix build/,$(FUNCTIONS))

.PHONY: $(addprefix build/,$(FUNCTIONS))
$(addprefix build/,$(FUNCTIONS)): build/%:
	$(GO_BUILD) -o .build/$*/bootstrap ./functions/$*

# SAM calls build-<LogicalId> with ARTIFACTS_DIR set: VendFunction is functions/vend.
build-%Function:
	GOOS=linux GOARCH=$(LAMBDA_ARCH) $(GO_BUILD) -o "$(ARTIFACTS_DIR)/bootstrap" ./functions/$(shell echo $* | tr '[:upper:]' '[:lower:]')
