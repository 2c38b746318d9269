# Kleinbild's commands. A bare `make` prints this help.

GO      ?= go
VERSION ?= 0.1.0-dev
# Runs, not seconds: a target that is stopped by the clock now and then fails with "context deadline exceeded".
FUZZ_RUNS ?= 20000
CUDA_TOOLS ?= ../cuda-tools
DEMO_STATE ?= ../demo-train
# libheif and libavif are the ones in the program, never what happens to be installed.
export GOFLAGS += -tags=nodynamic
LDFLAGS := -s -w -X kleinbild/cli.Version=$(VERSION)
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)"
# With cgo kernels are launched through gorgonia.org/cu, which is compiled with the project's own cuda.h and libcuda.a.
TAGGED  := -tags=nodynamic,gorgonia
CUDA    := folder=$$(GO="$(GO)" kernels/cu/gorgonia/libcuda/build.sh) && CGO_ENABLED=1 \
  CGO_CFLAGS="'-I$$folder' $${CGO_CFLAGS:-$$(GO="$(GO)" tools/window/cflags.sh)}" CGO_LDFLAGS="'-L$$folder' $${CGO_LDFLAGS:--g -O2}"
# Fyne's window needs a C compiler. Other flags would compile all of its C anew.
WINDOW  := $(CUDA) $(GO) build $(TAGGED) -trimpath -ldflags "$(LDFLAGS)"
MODEL   ?= demo
SHOTS   ?= dist/window
SOAK    ?= 20m
PACKAGE := $(GO) run ./tools/package -window -out dist
TEST_WINDOWS := tools/window/needs.sh windows && xvfb-run -a -s "-screen 0 1440x900x24" /usr/bin/python3 tools/window/test_wine.py

.PHONY: help build cli run test test-gorgonia test-sim lint fuzz bench generate windows windows-window test-windows test-window test-browser test-api soak kernels kernels-check gpu-kit gpu-pack test-gpu bench-gpu package package-windows-check package-check demo-model demo-check \
  race deadcode

help: ## print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build ./kleinbild with its window (names the Debian packages that are missing)
	@tools/window/needs.sh
	$(WINDOW) -o kleinbild .

cli: ## build ./kleinbild without a window: the command line, which needs Go and nothing else
	$(BUILD) -o kleinbild .

run: build ## build it and open the window
	./kleinbild

windows: ## cross-build kleinbild.exe, the command line
	GOOS=windows GOARCH=amd64 $(BUILD) -o kleinbild.exe .

windows-window: ## cross-build what ships for Windows with mingw-w64: a .zip in dist/windows
	$(PACKAGE)/windows -system windows

test-windows: windows-window ## run that under Wine: dialogs, command line, server, window; screenshots go to SHOTS
	$(TEST_WINDOWS) dist/windows "$(SHOTS)"

test: lint ## run all tests: no GPU, no weights, no network
	CGO_ENABLED=0 $(GO) test -timeout 30m ./...
	$(MAKE) --no-print-directory fuzz windows cli

test-gorgonia: ## test the driver through gorgonia.org/cu, and without it, against a fake driver (needs a C compiler)
	$(CUDA) $(GO) vet $(TAGGED) ./kernels/cu/... ./inference/cuda
	$(CUDA) $(GO) test $(TAGGED) ./kernels/cu/...

test-window: build ## use the real window on a virtual screen; a screenshot of each step goes to SHOTS
	@tools/window/needs.sh test
	dbus-run-session -- xvfb-run -a -s "-screen 0 1440x900x24" /usr/bin/python3 tools/window/test_window.py ./kleinbild "$(MODEL)" "$(SHOTS)"

test-browser: cli ## use the API from a website in a headless Chromium, with OpenAI's npm package (needs node, npm, chromium, network)
	@tools/api/browser.sh ./kleinbild

test-api: cli ## test a real server against its own document with schemathesis (needs python3, network)
	@tools/api/schema.sh ./kleinbild

soak: cli ## run ./kleinbild serve under polite and rude clients on this machine for SOAK, and print what became of it (Linux)
	$(GO) run ./tools/soak -for $(SOAK) ./kleinbild

# Linters have a module of their own, so that the program depends on none of theirs; tools/lint.sum holds them to their
# content.
LINTER := $(GO) tool -modfile=tools/lint.mod

lint: ## formatting, go vet on every system that ships, linters (.golangci.yml)
	@test -z "$$(gofmt -l .)" || { echo "not gofmt-ed:"; gofmt -l .; exit 1; }
	CGO_ENABLED=0 $(GO) vet ./...
	CGO_ENABLED=0 GOOS=windows $(GO) vet ./...
	CGO_ENABLED=0 GOARCH=arm64 $(GO) vet ./...
	CGO_ENABLED=0 $(LINTER) golangci-lint run --allow-parallel-runners ./...

deadcode: ## functions that neither the programs nor the tests reach, on Linux (needs the window's C compiler)
	CGO_ENABLED=1 $(LINTER) deadcode -test ./...

# Of the engine those tests whose goroutines meet: whole goldens and the software device would take an hour here.
# TestSoak judges clients by the clock, which the detector slows down.
RACE_ENGINE := 'Cancel(End|led)|OneCaller|Cache|Preview|Progress|Determin|ModelFile|OpenReferences|TokensAndWork'
race: ## the race detector over server, models, app/studio, kernels/cu and the engine (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 15m -skip '^TestSoak$$' ./server ./models ./app/studio ./kernels/cu
	CGO_ENABLED=1 $(GO) test -race -timeout 15m -run $(RACE_ENGINE) ./inference

fuzz: ## run every fuzz target FUZZ_RUNS times
	@grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do \
	  for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\).*/\1/p' "$$file"); do \
	    CGO_ENABLED=0 $(GO) test "$$(dirname "$$file")" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ_RUNS)x -fuzzminimizetime 10x || exit 1; \
	  done; \
	done

test-sim: ## all golden cases and a picture of the demo model on the software device: half an hour of one processor
	KLEINBILD_GOLDEN_SIM=1 CGO_ENABLED=0 $(GO) test ./inference -run 'Golden|OnKernels' -timeout 0

GPU_KIT := dist/gpu
gpu-kit: ## everything that tests and measures on a GPU machine without Go, in dist/gpu: carry it there and run ./run.sh
	rm -rf $(GPU_KIT)
	mkdir -p $(GPU_KIT)/kernels/cu $(GPU_KIT)/inference/cuda
	CGO_ENABLED=0 $(GO) test -c -o $(GPU_KIT)/kernels/kernels.test ./kernels
	CGO_ENABLED=0 $(GO) test -c -o $(GPU_KIT)/kernels/cu/cu.test ./kernels/cu
	CGO_ENABLED=0 $(GO) test -c -o $(GPU_KIT)/inference/cuda/cuda.test ./inference/cuda
	CGO_ENABLED=0 $(GO) test -c -o $(GPU_KIT)/inference/inference.test ./inference
	cp -r kernels/src kernels/ptx kernels/table.go kernels/params.go $(GPU_KIT)/kernels
	cp -r inference/testdata $(GPU_KIT)/inference
	$(BUILD) -o $(GPU_KIT)/kleinbild .
	CGO_ENABLED=0 $(GO) build -trimpath -o $(GPU_KIT)/bench ./tools/gpu/bench
	cp tools/gpu/run.sh tools/gpu/bench.py $(GPU_KIT)
	mkdir $(GPU_KIT)/demo
	cp tools/demo/*.py tools/demo/freeform.txt tools/demo/classifier.pt $(GPU_KIT)/demo
	cp -r assets/demo $(GPU_KIT)/demo/model

# Three of its programs hold the demo model: a dictionary larger than the kit finds it again.
gpu-pack: gpu-kit ## the kit in one file of 35 MB, dist/gpu.tar.xz, to carry it further
	tar --sort=name -C dist -cf - gpu | xz --lzma2=preset=4,dict=192MiB >$(GPU_KIT).tar.xz

test-gpu: gpu-kit ## test on this machine's GPU: conformance, compute-sanitizer, goldens
	$(GPU_KIT)/run.sh test

bench-gpu: gpu-kit ## measure on this machine's GPU, beside PyTorch and Diffusers where they are: a table in dist/gpu/results
	$(GPU_KIT)/run.sh bench

kernels: ## recompile kernels/src to PTX, byte for byte, and write the table of kernels (needs clang-22)
	kernels/src/build.sh

kernels-check: ## registers, spills and inner loops of the PTX, to kernels/SPEED.md (needs CUDA_TOOLS: tools/kernels/check.py says how)
	python3 tools/kernels/check.py "$(CUDA_TOOLS)"

demo-model: ## train the demo model from nothing, on the CPU: DEMO_STATE keeps what a later run goes on from (tools/demo/README.md)
	python3 tools/demo/train.py "$(DEMO_STATE)" assets/demo

demo-check: cli ## measure assets/demo on held-out prompts, through the binary: DEMO_STATE/report
	python3 tools/demo/evaluate.py tools/demo assets/demo ./kleinbild "$(DEMO_STATE)/report"

generate: ## regenerate assembly from its generators
	$(GO) generate ./...

package: ## dist/: .tar.xz and .deb for Linux, .zip for Windows, SHA256SUMS (needs xz and dpkg-deb)
	$(PACKAGE)

package-windows-check: ## run the .zip that package made under Wine
	$(TEST_WINDOWS) dist "$(SHOTS)"

package-check: ## what package made: same bytes again, installs and runs in an empty root (as root)
	$(PACKAGE) -check

# BENCH_MODEL is a checkpoint of full size (kleinbild bench checkpoint DIR), BENCH_PYTHON a Python that has Diffusers.
bench: cli ## measure this machine beside OpenBLAS, Diffusers (BENCH_MODEL, BENCH_PYTHON) and package png: docs/speed.md
	CGO_ENABLED=0 $(GO) run ./tools/speed -model "$(BENCH_MODEL)" -python "$(BENCH_PYTHON)" ./kleinbild