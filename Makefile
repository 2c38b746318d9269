# Kleinbild's commands. `make` without a target prints them.

# This script finds a Go that is new enough, also outside $PATH.
GO      ?= tools/setup/go
# The number of inputs that each fuzz target gets. It is not a time, because a target that is stopped after a time
# sometimes fails with "context deadline exceeded".
FUZZ_RUNS ?= 10000
CUDA_TOOLS ?= ../cuda-tools
DEMO_STATE ?= ../demo-train
# nodynamic: the program uses its own libheif and libavif even if the system has these libraries. -buildvcs=false: the
# go command does not ask git about the checkout, because git refuses to answer root about a folder of another user.
export GOFLAGS += -tags=nodynamic -buildvcs=false
# Programs may lie anywhere in memory (PIE), and what the loader has filled in becomes read-only (-bindnow).
# tools/package/build.go has the same flags: with others, all C would be compiled once more.
LDFLAGS := -s -w -bindnow
FLAGS   := -trimpath -buildmode=pie -ldflags "$(LDFLAGS)"
BUILD   := CGO_ENABLED=0 $(GO) build $(FLAGS)
# SETUP installs what the targets need. PROGRESS builds the program and shows how far it is.
SETUP    := GO="$(GO)" tools/setup/setup.sh
PROGRESS := GO="$(GO)" tools/setup/build.sh
# gorgonia: kernels are launched through gorgonia.org/cu, which needs cgo. It is compiled with the project's own cuda.h
# and libcuda.a.
TAGGED  := -tags=nodynamic,gorgonia
# make build GTK=1 adds GTK's file dialogs, for a desktop on which no portal shows any.
ifdef GTK
TAGGED  := $(TAGGED),gtk
endif
CUDA    := folder=$$(GO="$(GO)" kernels/cu/gorgonia/libcuda/build.sh) && CGO_ENABLED=1 \
  CGO_CFLAGS="'-I$$folder' $${CGO_CFLAGS:-$$(GO="$(GO)" tools/window/cflags.sh)}" \
  CGO_LDFLAGS="'-L$$folder' $${CGO_LDFLAGS:--g -O2}"
# Fyne's window needs a C compiler. If CGO_CFLAGS change, Go compiles all of Fyne's C code again.
WINDOW  := $(CUDA) $(PROGRESS) kleinbild $(TAGGED) $(FLAGS)
MODEL   ?= demo
SHOTS   ?= dist/window
SOAK    ?= 20m
# The tool is built in dist as well, so that nothing lies elsewhere if it is killed.
PACKAGE := mkdir -p dist && GOTMPDIR="$(CURDIR)/dist" $(GO) build -o dist/.package ./tools/package && \
  PATH="$$($(GO) env GOROOT)/bin:$$PATH" exec dist/.package -window -out dist
SCREEN  := xvfb-run -a -s "-screen 0 1440x900x24"
TEST_WINDOWS := $(SETUP) windows && $(SCREEN) /usr/bin/python3 tools/window/test_wine.py

.PHONY: help build cli run windows windows-window test test-first test-gorgonia test-sim test-window test-windows \
  test-gtk test-browser test-api test-balance soak lint deadcode race fuzz bench generate kernels kernels-check \
  gpu-kit gpu-pack test-gpu bench-gpu package package-windows-check package-check demo-model demo-lora demo-check

help: ## print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build ./kleinbild with its window
	@$(SETUP) window $(if $(GTK),gtk)
	@$(WINDOW)

cli: ## build ./kleinbild-cli, the command line without a window (needs only Go)
	@$(SETUP) go
	@CGO_ENABLED=0 $(PROGRESS) kleinbild-cli $(FLAGS)

run: ## install what is missing (it asks), build ./kleinbild and open its window
	@GO="$(GO)" MAKE="$(MAKE)" tools/setup/run.sh

windows: ## cross-build kleinbild-cli.exe, the command line without a window
	@$(SETUP) go
	GOOS=windows GOARCH=amd64 $(BUILD) -o kleinbild-cli.exe .

windows-window: ## cross-build the Windows package, a .zip in dist/windows (needs mingw-w64)
	$(PACKAGE)/windows -system windows

test-windows: windows-window ## test the Windows package under Wine; screenshots are in SHOTS
	$(TEST_WINDOWS) dist/windows "$(SHOTS)"

test: lint ## run lint, all Go tests and fuzz targets, builds (needs no GPU, no weights)
	CGO_ENABLED=0 $(GO) test -timeout 30m ./...
	$(MAKE) --no-print-directory fuzz windows cli

test-first: ## follow the README in empty Debian systems to a picture and a window (needs root, debootstrap, network)
	tools/setup/roots.sh

test-gorgonia: ## test both bindings of NVIDIA's driver on a fake driver (needs a C compiler)
	$(CUDA) $(GO) vet $(TAGGED) ./kernels/cu/... ./inference/cuda
	$(CUDA) $(GO) test $(TAGGED) ./kernels/cu/...

test-window: build ## test the window on a virtual screen; screenshots are in SHOTS
	@$(SETUP) window screen
	dbus-run-session -- $(SCREEN) /usr/bin/python3 tools/window/test_window.py \
	  ./kleinbild "$(MODEL)" "$(SHOTS)"

test-gtk: ## test the file dialogs of a build with GTK=1 on a virtual screen (needs libgtk-3-dev)
	@$(SETUP) window gtk screen
	CGO_ENABLED=1 GSETTINGS_BACKEND=memory xvfb-run -a $(GO) test -count=1 -timeout 5m -tags=nodynamic,gtk ./app/dialog

test-browser: cli ## test the API from a website, in Chromium with OpenAI's npm package (needs node, npm, network)
	@tools/api/browser.sh ./kleinbild-cli

test-api: cli ## test a server against its OpenAPI document with schemathesis (needs python3, network)
	@tools/api/schema.sh ./kleinbild-cli

test-balance: ## share requests between two servers behind HAProxy, and kill one of them (needs haproxy)
	KLEINBILD_TEST_BALANCE=1 CGO_ENABLED=0 $(GO) test -count=1 -run '^TestBalance$$' ./client

soak: cli ## load ./kleinbild-cli serve with well-behaved and hostile clients for SOAK, and print a report (Linux)
	$(GO) run ./tools/soak -for $(SOAK) ./kleinbild-cli

# The linters are in a module of their own, so that the program does not depend on what they depend on. tools/lint.sum
# has the checksums of all these modules.
LINTER := $(GO) tool -modfile=tools/lint.mod

lint: ## check formatting, run go vet for every system that ships and the linters of .golangci.yml
	@$(SETUP) go
	@list=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) || { echo "gofmt could not check the formatting"; exit 1; }; \
	  test -z "$$list" || { echo "not gofmt-ed:"; echo "$$list"; exit 1; }
	CGO_ENABLED=0 $(GO) vet ./...
	CGO_ENABLED=0 GOOS=windows $(GO) vet ./...
	CGO_ENABLED=0 GOARCH=arm64 $(GO) vet ./...
	CGO_ENABLED=0 $(LINTER) golangci-lint run --allow-parallel-runners ./...

deadcode: ## list functions that neither programs nor tests reach on Linux (needs a C compiler)
	CGO_ENABLED=1 $(LINTER) deadcode -test ./...

# The tests of the engine in which goroutines share memory. All golden cases and the software device would take an hour
# under the race detector. TestSoak and TestLargeEdits are left out, because they have time limits and the detector
# slows them down.
RACE_ENGINE := 'Cancel(End|led)|OneCaller|Cache|Preview|Progress|Determin|ModelFile|Read(References|Ends)|TokensAndWork'
race: ## test server, models, app/studio, kernels/cu, the engine under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 15m -skip '^(TestSoak|TestLargeEdits)$$' ./server ./models ./app/studio ./kernels/cu
	CGO_ENABLED=1 $(GO) test -race -timeout 15m -run $(RACE_ENGINE) ./inference
	CGO_ENABLED=1 $(GO) test -race -timeout 15m -run 'Cancel|Full|Killed|OneRun|Restarted' ./client

fuzz: ## run every fuzz target with FUZZ_RUNS inputs
	@grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do \
	  for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\).*/\1/p' "$$file"); do \
	    CGO_ENABLED=0 $(GO) test "$$(dirname "$$file")" -run '^$$' -fuzz "^$$target\$$" \
	      -fuzztime $(FUZZ_RUNS)x -fuzzminimizetime 10x || exit 1; \
	  done; \
	done

test-sim: ## run all golden cases and the demo model on the software device (half an hour of one core)
	KLEINBILD_GOLDEN_SIM=1 CGO_ENABLED=0 $(GO) test ./inference -run 'Golden|OnKernels' -timeout 0

GPU_KIT := dist/gpu
gpu-kit: ## build dist/gpu, which tests and measures on a GPU machine without Go: run its run.sh there
	rm -rf $(GPU_KIT)
	mkdir -p $(GPU_KIT)/kernels/cu $(GPU_KIT)/inference/cuda
	CGO_ENABLED=0 $(GO) test -c -o $(GPU_KIT)/kernels/kernels.test ./kernels
	CGO_ENABLED=0 $(GO) test -c -o $(GPU_KIT)/kernels/cu/cu.test ./kernels/cu
	CGO_ENABLED=0 $(GO) test -c -o $(GPU_KIT)/inference/cuda/cuda.test ./inference/cuda
	CGO_ENABLED=0 $(GO) test -c -o $(GPU_KIT)/inference/inference.test ./inference
	cp -r kernels/src kernels/ptx kernels/table.go kernels/params.go $(GPU_KIT)/kernels
	cp -r inference/testdata $(GPU_KIT)/inference
	$(BUILD) -o $(GPU_KIT)/kleinbild-cli .
	CGO_ENABLED=0 $(GO) build -trimpath -o $(GPU_KIT)/bench ./tools/gpu/bench
	cp tools/gpu/run.sh tools/gpu/bench.py $(GPU_KIT)
	mkdir $(GPU_KIT)/demo
	cp tools/demo/*.py tools/demo/freeform.txt tools/demo/classifier.pt $(GPU_KIT)/demo
	cp -r assets/demo $(GPU_KIT)/demo/model

# Three programs of the kit contain the demo model. The dictionary is larger than the kit, so that xz stores it once.
gpu-pack: gpu-kit ## pack dist/gpu into one file of 35 MB, dist/gpu.tar.xz
	tar --sort=name -C dist -cf - gpu | xz --lzma2=preset=4,dict=192MiB >$(GPU_KIT).tar.xz

test-gpu: gpu-kit ## test on this machine's GPU: kernels, compute-sanitizer, golden cases
	$(GPU_KIT)/run.sh test

bench-gpu: gpu-kit ## measure this machine's GPU, also with PyTorch and Diffusers if installed: dist/gpu/results
	$(GPU_KIT)/run.sh bench

kernels: ## compile kernels/src to PTX and write the table of kernels (needs clang-22)
	kernels/src/build.sh

kernels-check: ## write the tables of kernels/SPEED.md (needs CUDA_TOOLS, see tools/kernels/check.py)
	python3 tools/kernels/check.py "$(CUDA_TOOLS)"

demo-model: ## train the demo model, or go on with the training in DEMO_STATE (see tools/demo/README.md)
	python3 tools/demo/train.py "$(DEMO_STATE)" assets/demo

demo-lora: ## train the LoRA of the demo model: assets/demo/dusk.safetensors
	python3 tools/demo/lora.py "$(DEMO_STATE)" assets/demo assets/demo/dusk.safetensors

demo-check: cli ## measure assets/demo on held-out prompts with ./kleinbild-cli: DEMO_STATE/report
	python3 tools/demo/evaluate.py tools/demo assets/demo ./kleinbild-cli "$(DEMO_STATE)/report"

generate: ## write the assembly files with their generators
	$(GO) generate ./...

package: ## write dist: .tar.xz and .deb for Linux, .zip for Windows, SHA256SUMS (needs xz, dpkg-deb)
	$(PACKAGE)

package-windows-check: ## test the Windows package in dist under Wine
	$(TEST_WINDOWS) dist "$(SHOTS)"

package-check: ## check that packages build again to the same bytes, install and run (needs root)
	$(PACKAGE) -check

# BENCH_MODEL is a checkpoint of full size (kleinbild bench checkpoint DIR), BENCH_PYTHON a Python that has Diffusers.
bench: cli ## write docs/speed.md: kleinbild, OpenBLAS, package png and Diffusers (BENCH_MODEL, BENCH_PYTHON)
	CGO_ENABLED=0 $(GO) run ./tools/speed -model "$(BENCH_MODEL)" -python "$(BENCH_PYTHON)" ./kleinbild-cli
