# tarn: `make run` and `make check` do all; the rest are parts of them. Rules live in meson.build and tools/.
ifeq ($(HOME),) # as tools/deps.py and the package clients look for it
export HOME := $(shell getent passwd "$$(id -u)" | cut -d: -f6)
endif
BUILD  ?= build
DEPS   := $(or $(TARN_DEPS),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tarn/deps)
ROOT   := $(if $(filter 0,$(shell id -u)),,sudo)
NINJA   = CC="ccache gcc" CXX="ccache g++" tools/build.sh

.PHONY: all deps build run check bench asan tsan fuzz tidy interop crash powercut docs clean install
all: build

python3:
	@command -v python3 >/dev/null || { $(ROOT) apt-get update -qq && $(ROOT) apt-get install -y -qq python3; }
deps: python3
	@python3 tools/deps.py build
RELEASE = -Dborder=static -Dbuildtype=debugoptimized
build: deps
	@TARGETS=src/main/tarn $(NINJA) $(BUILD) $(DEPS) $(RELEASE)
run: build
	@python3 tools/deps.py demo && tools/run.sh $(BUILD) $(DEPS)
check: deps
	@$(NINJA) $(BUILD) $(DEPS) $(RELEASE)
	@python3 tools/deps.py test demo && tools/check.py $(BUILD) $(DEPS)
bench: build
	@python3 tools/deps.py test demo bench && bench/run.sh $(BUILD) $(DEPS)
asan: deps
	@python3 tools/deps.py lane && CC="ccache gcc" CXX="ccache g++" tools/build.sh build-asan $(DEPS) -Db_sanitize=address,undefined && tools/check.py --units build-asan $(DEPS)
tsan: deps
	@python3 tools/deps.py lane && CC="ccache clang-19" CXX="ccache clang++-19" TARGETS="$$(tools/check.py --tsan-targets)" tools/build.sh build-tsan $(DEPS) -Db_sanitize=thread && tools/check.py --tsan build-tsan $(DEPS)
fuzz: deps
	@python3 tools/deps.py lane && CC="ccache clang-19" CXX="ccache clang++-19" TARGETS=fuzzers tools/build.sh build-fuzz $(DEPS) -Dfuzzers=true -Db_sanitize=address,undefined -Dc_args=-fsanitize=fuzzer-no-link && tools/fuzz.sh build-fuzz $(or $(SECONDS_EACH),60)
tidy: python3
	@python3 tools/tidy
interop: deps
	@$(NINJA) $(BUILD) $(DEPS) $(RELEASE)
	@python3 tools/deps.py test interop && tools/check.py --interop $(BUILD) $(DEPS)
SUITE = TARN_BUILD=$(abspath $(BUILD)) TARN_DEPS_DIR=$(DEPS) $(DEPS)/venv/bin/python
crash: build
	@python3 tools/deps.py test && $(SUITE) tests/s3_crash/test_kill_s3.py $(or $(ROUNDS),200)
powercut: build
	@python3 tools/deps.py test && $(SUITE) tests/powercut/test_powercut.py $(or $(IMAGES),480)
docs: python3
	@python3 tools/docs.py
install: build
	install -Ds $(BUILD)/tarn $(DESTDIR)/usr/local/bin/tarn
clean:
	rm -rf build build-asan build-tsan build-fuzz
