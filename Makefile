# One line a target: what takes more lives in scripts/.
GO_PACKAGES := ./pkg/... ./internal/... ./imserver/... ./webapi/... ./dev/... ./bench/... ./examples/... ./e2e/...
NPM_DIRS    := e2e/browser $(patsubst %/package.json,%,$(wildcard client-js/package.json))
STATIC      := CGO_ENABLED=0 go build -trimpath

.PHONY: help run test faults build lint bench million fmt

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## run everything in one process on an embedded Redis; Ctrl-C stops it
	@$(STATIC) -o bin/imdev ./dev/cmd/imdev && exec bin/imdev

test: ## install what the tests need, then run all of them
	@scripts/install-test-deps $(NPM_DIRS) && scripts/test "$(GO_PACKAGES)" $(NPM_DIRS)

faults: ## every fault at full length, then random ones for RIG_MINUTES (10); see docs/faults.md
	@RIG_FULL=1 RIG_MINUTES=$${RIG_MINUTES:-10} go test -count=1 -v -run TestFaults -timeout 3h ./e2e/

build: ## bin/imserver, bin/webapi, bin/imdev, bin/imbench
	@$(STATIC) -o bin/ ./imserver/cmd/imserver ./webapi/cmd/webapi ./dev/cmd/imdev ./bench/cmd/imbench

lint: ## formatting, vet, golangci-lint, tsc, eslint
	@scripts/lint "$(GO_PACKAGES)" $(NPM_DIRS)

bench: build ## the benchmarks, a table on stdout; BENCH are further flags
	@scripts/bench $(BENCH)

million: build ## a million clients on 55 nodes, as many as this machine can hold; MILLION are further flags
	@scripts/million $(MILLION)

fmt: ## format the Go files
	@gofmt -w $(GO_PACKAGES:/...=)
