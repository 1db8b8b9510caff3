# Builds, runs and tests sidecar. `make help` says what there is; README.md says more.

.NOTPARALLEL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory --no-builtin-rules

HOST := $(shell uname -m)
ARCH := $(HOST)
PREFIX := /usr/local
DESTDIR :=
# What `sidecar --version` prints: the tag, or the commit.
VERSION := $(or $(shell git describe --tags --always --dirty 2>/dev/null),development)

ifeq ($(filter $(ARCH),x86_64 aarch64),)
$(error ARCH is x86_64 or aarch64, not "$(ARCH)")
endif

# Another machine's binary has the machine in its name. It is built for a bare machine, because that
# is the Embedded standard library that the toolchain has for it; musl makes it a Linux program.
ifeq ($(ARCH),$(HOST))
binary := .build/sidecar
scratch := .build/static
sysroot :=
triple :=
else
binary := .build/sidecar-$(ARCH)
scratch := .build/static-$(ARCH)
sysroot := $(CURDIR)/.build/sysroot-$(ARCH)
triple := --triple $(if $(filter x86_64,$(ARCH)),x86_64-unknown-none-elf,aarch64-none-none-elf)
endif

# The linker sees all modules as one. What is stripped in the end is not made first: debugging
# information.
smaller := --experimental-lto-mode full --omit-frame-pointers -debug-info-format none

# The settings of the other builds must not leak into the ordinary one.
ordinary := env -u STATIC -u SYSROOT -u VERSION -u FUZZ -u BENCH -u SANITIZED -u SIMULATION \
  -u HEAP

static := STATIC=$(ARCH) SYSROOT="$(sysroot)" VERSION="$(VERSION)" swift build -c release \
  --product sidecar $(triple) $(smaller)

.PHONY: build
build: deps-build ## The static binary .build/sidecar; ARCH=aarch64: .build/sidecar-aarch64
	@$(if $(sysroot),.ci/sysroot $(ARCH) "$(sysroot)")
	$(static) --scratch-path $(scratch) -Xlinker -Map=$(scratch)/map
	@.ci/check-elf $(ARCH) $(scratch)/release/sidecar $(scratch)/map
	@install -m 755 $(scratch)/release/sidecar $(binary)

# For install, which root may have to call without a compiler at hand.
$(binary): Package.swift $(shell find Sources -type f)
	@$(MAKE) build

.PHONY: run
run: build ## Runs it with TARGET_HOST and TARGET_PORT, or else with a demo target
	@$(if $(TARGET_HOST)$(TARGET_PORT)$(FORWARDS)$(MODE),,.ci/deps demo)
	@.ci/foreground .ci/start $(binary)

.PHONY: test
tests := test-x86_64 test-aarch64 test-swift test-fuzz test-simulation test-bench
test: deps lint $(tests) ## Form, builds, all tests
	@echo "make test: everything passed"

.PHONY: lint
lint: deps-lint ## The form of the sources and scripts
	@.ci/lint

.PHONY: test-x86_64 test-aarch64
test-x86_64 test-aarch64: test-%: deps ## Builds one machine's binary and tries it, by emulation
	@$(MAKE) build ARCH=$*
	@.ci/smoke $* .build/sidecar$(if $(filter-out $(HOST),$*),-$*) "$(VERSION)"

.PHONY: test-swift
test-swift: deps build ## The ordinary build and its tests; TEST_FLAGS="--filter CoreTests"
	$(ordinary) swift build --build-tests
ifneq ($(wildcard Tests/*/*.swift),)
	$(ordinary) SIDECAR_BINARY="$(CURDIR)/.build/sidecar" swift test --skip-build $(TEST_FLAGS)
endif

# What the fuzzer comes upon stays below .build, and it goes on from there the next time: inputs
# that lead somewhere new in fuzz-corpus, those that break something in fuzz-found.
.PHONY: fuzz test-fuzz
fuzz: FUZZ_SECONDS ?= 3600
test-fuzz: FUZZ_SECONDS ?= 60
test-fuzz: FUZZ_FLAGS := -verbosity=0
fuzz test-fuzz: ## Fuzzes what reads bytes from outside for FUZZ_SECONDS: an hour, a minute
	@mkdir -p .build/fuzz-corpus .build/fuzz-found
	$(ordinary) FUZZ=1 swift build -c release --product Fuzz --scratch-path .build/fuzz
	SWIFT_BACKTRACE=enable=no .build/fuzz/release/Fuzz -max_total_time=$(FUZZ_SECONDS) \
	  -dict=Tests/Fuzz/words -max_len=4096 -timeout=10 -detect_leaks=0 -print_final_stats=1 \
	  $(FUZZ_FLAGS) -artifact_prefix=.build/fuzz-found/ .build/fuzz-corpus Tests/Fuzz/seeds

# Each seed is a schedule: the daemon as it is, over a kernel and a world made of numbers
# (Tests/Simulation). SEED=N runs one of them and shows every call that it makes.
.PHONY: simulate test-simulation simulate-mutants build-simulation
simulate: SCHEDULES ?= 1000000
test-simulation: SCHEDULES ?= 60000
simulate test-simulation simulate-mutants: export SWIFT_BACKTRACE := enable=no
simulate test-simulation: build-simulation ## Simulates a million schedules; 60,000 of them
	.build/simulation/release/Simulate $(if $(SEED),--seed $(SEED),\
	  --first $(or $(FIRST),1) --schedules $(SCHEDULES) --jobs $(or $(JOBS),$(shell nproc)))
build-simulation: deps-build
	$(ordinary) SIMULATION=1 swift build -c release --product Simulate \
	  --scratch-path .build/simulation
simulate-mutants: deps-build ## Shows that the simulation finds each mistake made on purpose
	$(ordinary) PYTHONPATH=Tests/Shared python3 -B Tests/Simulation/mutants.py

# Races and wrong use of memory: in Core and Linux, and in the daemon while black-box tests run. The
# daemon is the ordinary build's for the sanitizers, and for valgrind the one that is shipped, but
# for its heap.
.PHONY: test-sanitizers test-address test-thread test-valgrind
test-sanitizers: test-address test-thread ## The tests under Address- and ThreadSanitizer
test-address test-thread: test-%: deps build
	$(ordinary) swift build --build-tests
	$(ordinary) .ci/sanitize $*
	$(ordinary) .ci/sanitize $* --daemon
test-valgrind: deps ## Black-box tests of the static binary under valgrind
	@.ci/deps valgrind
	@mkdir -p .build
	clang -O2 -Wall -Wextra -Werror -fPIE -nostdlibinc -isystem /usr/include/$(HOST)-linux-musl \
	  -I/usr/include/valgrind -c -o .build/heap.o Tests/Memcheck/heap.c
	@rm -f .build/memcheck/release/sidecar # a heap that changed is no reason to link again
	HEAP="$(CURDIR)/.build/heap.o" $(static) --scratch-path .build/memcheck
	$(ordinary) swift build --build-tests
	$(ordinary) .ci/memcheck .build/memcheck/release/sidecar

# Beside other forwarders; BENCH_ROUNDS, BENCH_CASES and BENCH_PEERS choose. The whole takes less
# than 25 minutes and wants a machine that does nothing else; the quick one takes a minute or so.
.PHONY: bench bench-quick bench-publish build-load test-bench
bench bench-quick: build build-load ## Measures it beside other forwarders
	@.ci/foreground Tests/Benchmarks/run $(if $(filter bench-quick,$@),--quick)
bench-publish: ## Writes the last whole benchmark into README.md
	@Tests/Benchmarks/run --publish
build-load: deps-build
	$(ordinary) BENCH=1 swift build -c release --product Load --scratch-path .build/bench
	clang -O2 -Wall -Wextra -Werror -o .build/bench/floor Tests/Benchmarks/Floor/floor.c
test-bench: deps build-load ## The arithmetic of benchmark and comparison, and the load generator
	PYTHONPATH=Tests/Shared python3 -B -m unittest discover -s Tests/Benchmarks
	PYTHONPATH=Tests/Shared python3 -B -m unittest discover -s Tests/Comparison

# What others do in the same situations; takes less than 5 minutes.
.PHONY: compare compare-publish
compare: build ## Asks sidecar and other forwarders the same questions
	@.ci/foreground Tests/Comparison/run
compare-publish: ## Writes the last whole comparison into README.md
	@Tests/Comparison/run --publish

# Against the shipped binary: faults of the kernel and the network, load, abuse. It takes less than
# 10 minutes; the slice, less than one. TORTURE="abuse network" chooses, by how names begin.
.PHONY: torture test-torture torture-mutants soak
torture test-torture: build build-load ## Tortures it: faults, load, abuse; a slice of that
	@.ci/foreground Tests/Torture/run $(if $(filter test-torture,$@),--slice) $(TORTURE)
torture-mutants: deps build-load ## Shows that each case of it fails of the mistake that it is for
	@.ci/foreground Tests/Torture/run --mutants
soak: build build-load ## Mixed work for SOAK_SECONDS, an hour, and a line a minute
	@.ci/foreground Tests/Torture/run --soak

.PHONY: test-image
test-image: ## The image, as ECS would run it: builds, tasks, push; wants a Docker engine
	@.ci/foreground Tests/Image/run $(IMAGE_TESTS)

.PHONY: install
install: $(binary) ## Installs it below PREFIX, /usr/local unless given; DESTDIR is respected
	install -D -m 755 $(binary) "$(DESTDIR)$(PREFIX)/bin/sidecar"

.PHONY: deps deps-build deps-lint
deps: ## Installs what is missing to build and test, from Debian's packages
	@.ci/deps build lint test
deps-build:
	@.ci/deps build
deps-lint:
	@.ci/deps lint

.PHONY: clean
clean: ## Removes all that was built
	rm -rf .build

.PHONY: help
help: ## This list
	@sed -nE 's/^([a-z][a-z0-9_ -]*):[^#]*## (.*)/make \1|\2/p' $(MAKEFILE_LIST) | \
	  while IFS='|' read -r name text; do printf '%-32s %s\n' "$$name" "$$text"; done
