# The whole project from a fresh clone: `make demo`, `make test`. Everything is prepared by scripts/setup, which says what
# it installs and which environment variables it reads, and is built with CMake presets into build/PRESET.
#
#   make            set up and build the command line tool, optimised: build/release/limbeck
#   make demo       the main job on Fashion-MNIST, and its table
#   make test       set up, build and run all tests but the slow ones
#   make test-slow  the slow tests; BUDGET_S=900 runs only those that fit into as many seconds
#   make asan       everything under AddressSanitizer and UndefinedBehaviorSanitizer, in a build tree of its own
#   make format     rewrite own sources with clang-format
#   make tidy       clang-tidy over own sources (FILES=regex restricts it)
#   make clean      remove what was built (keeps .venv and what scripts/setup fetched)
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)

JOBS ?= $(shell nproc)
BUDGET_S ?=
FILES ?= .
CMAKE_FLAGS += $(if $(LIMBECK_TORCH),-DLIMBECK_TORCH=$(LIMBECK_TORCH))
CTEST_FLAGS ?= --output-on-failure

sources = git ls-files --cached --others --exclude-standard '*.cpp' '*.h' | sort -u

.PHONY: all demo test test-slow asan format tidy clean setup setup-tests
.NOTPARALLEL:

all: setup
	cmake --preset release $(CMAKE_FLAGS)
	cmake --build build/release -j $(JOBS)

setup:
	scripts/setup

setup-tests:
	scripts/setup --tests

demo: all
	build/release/limbeck run recipes/fashion-mnist.yaml

build-dev: setup-tests
	cmake --preset dev $(CMAKE_FLAGS)
	cmake --build build/dev -j $(JOBS)
.PHONY: build-dev

test: build-dev
	cd build/dev && ctest $(CTEST_FLAGS) --label-exclude slow

test-slow: build-dev
	cmake --build build/dev -j $(JOBS) --target slow_tests
	scripts/test-slow build/dev $(BUDGET_S)

asan: setup-tests
	cmake --preset asan $(CMAKE_FLAGS)
	cmake --build build/asan -j $(JOBS)
	cd build/asan && ctest $(CTEST_FLAGS) --label-exclude slow

format:
	$(sources) | xargs clang-format -i

# Without precompiled headers, which clang cannot read when g++ made them.
tidy: setup-tests
	@command -v run-clang-tidy > /dev/null || { echo "make tidy needs: apt-get install clang-tidy libomp-dev"; exit 1; }
	cmake --preset dev -B build/tidy -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON -DLIMBECK_USE_CCACHE=OFF \
	  -DLIMBECK_SANITIZED_TESTS=OFF -DLIMBECK_WARNINGS_AS_ERRORS=OFF $(CMAKE_FLAGS)
	run-clang-tidy -quiet -p build/tidy -j $(JOBS) '^$(CURDIR)/(limbeck|cli|python|tests|examples|bench)/.*$(FILES)'

clean:
	rm -rf build/dev build/release build/asan build/tidy build/ccache
