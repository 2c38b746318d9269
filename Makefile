# Kleinbild's commands. A bare `make` prints this help.

GO      ?= go
VERSION ?= 0.1.0-dev
# Runs, not seconds: a target that is stopped by the clock now and then fails with "context deadline exceeded".
FUZZ_RUNS ?= 20000
CUDA_TOOLS ?= ../cuda-tools
DEMO_STATE ?= ../demo-train
PROMPT  ?= a red fox in the snow
OUT     ?= fox.png
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X kleinbild/cli.Version=$(VERSION)"

.PHONY: help build run test lint fuzz bench generate windows kernels kernels-check demo-model demo-check

help: ## print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build ./kleinbild
	$(BUILD) -o kleinbild .

run: build ## build it and make fox.png: make run PROMPT="a red fox in the snow" OUT=fox.png
	./kleinbild generate -p "$(PROMPT)" -o "$(OUT)"

windows: ## cross-build kleinbild.exe
	GOOS=windows GOARCH=amd64 $(BUILD) -o kleinbild.exe .

test: lint ## run all tests: no GPU, no weights, no network
	CGO_ENABLED=0 $(GO) test ./...
	$(MAKE) --no-print-directory fuzz windows build

lint: ## formatting, go vet on every system that ships
	@test -z "$$(gofmt -l .)" || { echo "not gofmt-ed:"; gofmt -l .; exit 1; }
	CGO_ENABLED=0 $(GO) vet ./...
	CGO_ENABLED=0 GOOS=windows $(GO) vet ./...
	CGO_ENABLED=0 GOARCH=arm64 $(GO) vet ./...

fuzz: ## run every fuzz target FUZZ_RUNS times
	@grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do \
	  for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\).*/\1/p' "$$file"); do \
	    CGO_ENABLED=0 $(GO) test "$$(dirname "$$file")" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ_RUNS)x -fuzzminimizetime 10x || exit 1; \
	  done; \
	done

kernels: ## recompile kernels/src to PTX, byte for byte (needs clang-22)
	kernels/src/build.sh

kernels-check: ## registers, spills and inner loops of the PTX, to kernels/SPEED.md (needs CUDA_TOOLS: tools/kernels/check.py says how)
	python3 tools/kernels/check.py "$(CUDA_TOOLS)"

demo-model: ## train the demo model from nothing, on the CPU: DEMO_STATE keeps what a later run goes on from (tools/demo/README.md)
	python3 tools/demo/train.py "$(DEMO_STATE)" assets/demo

demo-check: build ## measure assets/demo on held-out prompts, through the binary (needs DEMO_STATE's classifier)
	python3 tools/demo/evaluate.py "$(DEMO_STATE)" assets/demo ./kleinbild "$(DEMO_STATE)/report"

generate: ## regenerate assembly from its generators
	$(GO) generate ./...

bench: ## matrix products against OpenBLAS (if installed) and the register peak, at the model's shapes
	$(GO) run ./tools/bench/gemm
	$(GO) test -run '^$$' -bench . ./inference/cpu/...
