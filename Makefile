# weir: `make` builds, `make run` starts, `make test` proves. README.md says the rest.
#
#   make SAN=address,undefined   the same with sanitizers, in build-san/
#   make EMULATE=1               every arena allocation its own malloc, in build-emulate/ (with SAN: build-san-emulate/)

VERSION := 0.1.0
PREFIX  ?= /usr/local
DESTDIR ?=
CC      := $(if $(filter default,$(origin CC)),gcc,$(CC))
SECONDS ?= 10

FUZZBUILD := build-fuzz
BUILD := build$(if $(SAN),-san)$(if $(EMULATE),-emulate)

PKGS      := libevent_core libevent_extra jansson libcurl yaml-0.1 libcrypto
PKG_FLAGS  = $(shell pkg-config --cflags $(PKGS))
PKG_LIBS   = $(shell pkg-config --libs $(PKGS))

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla -Wformat=2 -Werror
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
CFLAGS   ?= -O2 -g
BASE     := -std=c11 -D_GNU_SOURCE -fno-omit-frame-pointer $(WARNINGS) $(SANFLAGS) -Isdk/include -MMD -MP
EMULATED := $(if $(EMULATE),-DWEIR_ARENA_EMULATE)
COREFLAGS = $(BASE) $(EMULATED) -fvisibility=hidden -Icore -DWEIR_VERSION='"$(VERSION)"' $(PKG_FLAGS) $(CFLAGS)
SOFLAGS  := $(BASE) -fPIC -fvisibility=hidden $(CFLAGS)
SOLINK   := -shared -Wl,-Bsymbolic -Wl,--exclude-libs,ALL -Wl,-z,relro,-z,now $(if $(SAN),,-Wl,-z,defs)

CORE_C    := $(wildcard core/*.c)
CORE_O    := $(CORE_C:%.c=$(BUILD)/%.o)
LIBCORE_O := $(filter-out $(BUILD)/core/main.o,$(CORE_O))

# What a folder holds besides the sources of its plugin stands in subfolders (tests/, templates/).
so_sources = $(wildcard $(1)/*.c)
PLUGINS   := $(foreach d,$(wildcard plugins/*),$(if $(call so_sources,$(d)),$(BUILD)/plugins/$(notdir $(d)).so))
PROVIDERS := $(foreach d,$(wildcard providers/*),$(if $(call so_sources,$(d)),$(BUILD)/providers/$(notdir $(d)).so))
POLICY    := $(if $(call so_sources,lua),$(BUILD)/plugins/policy.so)
LUA_FLAGS  = $(shell pkg-config --cflags lua5.4 yaml-0.1)
LUA_LIBS   = $(shell pkg-config --libs lua5.4 yaml-0.1)
SO        := $(PLUGINS) $(PROVIDERS) $(POLICY)
LINKS     := $(BUILD)/lua $(BUILD)/policies
DATA      := $(patsubst providers/%,$(BUILD)/providers/%,$(wildcard providers/*.tsv providers/*.yaml))

UNIT_HELPERS := $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/unit/test_%,$(wildcard tests/unit/*.c)))
UNIT         := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))

FUZZ         := $(patsubst tests/fuzz/%.c,$(FUZZBUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))
# every provider that translates by itself; one that only `speaks` another's dialect reads no answers
FUZZ_CODECS  := $(foreach d,$(wildcard providers/*),$(if $(shell grep -l '\.decode_frame' $(d)/*.c 2>/dev/null),$(FUZZBUILD)/codec_$(notdir $(d))))

RUN_TESTS := WEIR_BUILD=$(abspath $(BUILD)) python3 tests/run.py

# Commands are shown with V=1; otherwise what is made.
Q    := $(if $(V),,@)
SAYS  = $(if $(V),,@echo "  $(1) $(2)")

.PHONY: all lua-definitions so run deps deps-test deps-bench unit-build test unit e2e lint bench soak fuzz fuzz-build install clean FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(if $(wildcard core/main.c),$(BUILD)/weir) so
so: $(SO) $(LINKS) $(DATA)

# ---- the program ------------------------------------------------------------------------------------------------------

$(BUILD)/weir: $(BUILD)/core/main.o $(BUILD)/libcore.a
	$(call SAYS,LD ,$@)
	$(Q)$(CC) $(SANFLAGS) -o $@ $< $(BUILD)/libcore.a $(PKG_LIBS) -lm -ldl -lpthread -Wl,-z,relro,-z,now

# A source that is gone must go from the archive too: the list of objects is a dependency of its own.
$(BUILD)/libcore.list: FORCE
	@mkdir -p $(@D)
	@echo $(LIBCORE_O) | cmp -s - $@ || echo $(LIBCORE_O) > $@

$(BUILD)/libcore.a: $(LIBCORE_O) $(BUILD)/libcore.list
	@rm -f $@
	@ar rcs $@ $(LIBCORE_O)

$(BUILD)/core/%.o: core/%.c
	@mkdir -p $(@D)
	$(call SAYS,CC ,$<)
	$(Q)$(CC) $(COREFLAGS) -c -o $@ $<

# ---- shared objects: one rule per kind, no list of names ----------------------------------------------------------------

# A plugin sees sdk/ and its own folder, nothing else.
$(BUILD)/plugins/%.o: plugins/%.c
	@mkdir -p $(@D)
	$(call SAYS,CC ,$<)
	$(Q)$(CC) $(SOFLAGS) -c -o $@ $<

$(BUILD)/providers/%.o: providers/%.c
	@mkdir -p $(@D)
	$(call SAYS,CC ,$<)
	$(Q)$(CC) $(SOFLAGS) -c -o $@ $<

$(BUILD)/lua-stage/%.o: lua/%.c
	@mkdir -p $(@D)
	$(call SAYS,CC ,$<)
	$(Q)$(CC) $(SOFLAGS) $(LUA_FLAGS) -c -o $@ $<

define so_rule
$(1): $$(patsubst %.c,$$(BUILD)/%.o,$$(wildcard $(2)/*.c))
	$$(call SAYS,LD ,$$@)
	$$(Q)$$(CC) $$(SANFLAGS) $$(SOLINK) -o $$@.new $$^ -lpthread
	@mv $$@.new $$@
endef
$(foreach so,$(PLUGINS) $(PROVIDERS),$(eval $(call so_rule,$(so),$(patsubst $(BUILD)/%.so,%,$(so)))))

$(BUILD)/plugins/policy.so: $(patsubst lua/%.c,$(BUILD)/lua-stage/%.o,$(wildcard lua/*.c))
	@mkdir -p $(@D)
	$(call SAYS,LD ,$@)
	$(Q)$(CC) $(SANFLAGS) $(SOLINK) -o $@.new $^ $(LUA_LIBS) -lm
	@mv $@.new $@

# What editors know of policies, from the tables of the stage.
$(BUILD)/lua-definitions: lua/tool/definitions.c $(patsubst lua/%.c,$(BUILD)/lua-stage/%.o,$(wildcard lua/*.c))
	$(call SAYS,LD ,$@)
	$(Q)$(CC) $(SOFLAGS) $(LUA_FLAGS) -o $@ $^ $(LUA_LIBS) -lm

lua-definitions: $(BUILD)/lua-definitions
	$(BUILD)/lua-definitions > lua/definitions/weir.lua

# The program finds what it ships beside itself, in the tree as when installed.
$(BUILD)/lua:
	@mkdir -p $(BUILD)
	@ln -sfn $(CURDIR)/lua/lib $@

# What the program reads of the providers besides their codecs: prices, addresses.
$(DATA): $(BUILD)/providers/%: providers/%
	@mkdir -p $(@D)
	@cp $< $@.new && mv $@.new $@

$(BUILD)/policies:
	@mkdir -p $(BUILD)
	@ln -sfn $(CURDIR)/policies $@

# ---- tests --------------------------------------------------------------------------------------------------------------

$(BUILD)/tests/unit/%.o: tests/unit/%.c
	@mkdir -p $(@D)
	$(call SAYS,CC ,$<)
	$(Q)$(CC) $(COREFLAGS) $(LUA_FLAGS) -Itests/unit -c -o $@ $<

$(UNIT): $(BUILD)/tests/unit/test_%: $(BUILD)/tests/unit/test_%.o $(UNIT_HELPERS) $(BUILD)/libcore.a
	$(call SAYS,LD ,$@)
	$(Q)$(CC) $(SANFLAGS) -o $@ $< $(UNIT_HELPERS) $(BUILD)/libcore.a -Wl,--as-needed $(PKG_LIBS) $(LUA_LIBS) -lm -ldl -lpthread

# What measures the complexity score.
COUNTS := $(BUILD)/tests/complexity_counts
$(COUNTS): tests/complexity/counts.c $(BUILD)/libcore.a
	@mkdir -p $(@D)
	$(call SAYS,LD ,$@)
	$(Q)$(CC) $(COREFLAGS) -MF $@.d -o $@ $< $(BUILD)/libcore.a -Wl,--as-needed $(PKG_LIBS) -lm -ldl -lpthread

# Plugins that only tests open: every .c is one.
TEST_PLUGINS := $(patsubst tests/unit/plugins/%.c,$(BUILD)/tests/plugins/%.so,$(wildcard tests/unit/plugins/*.c)) \
                $(patsubst tests/hostile/%.c,$(BUILD)/tests/plugins/%.so,$(wildcard tests/hostile/*.c))

$(BUILD)/tests/plugins/%.so: tests/unit/plugins/%.c
	@mkdir -p $(@D)
	$(call SAYS,LD ,$@)
	$(Q)$(CC) $(filter-out $(SANFLAGS),$(SOFLAGS)) -shared -Wl,-Bsymbolic -Wl,--exclude-libs,ALL -o $@ $< -lm

$(BUILD)/tests/plugins/%.so: tests/hostile/%.c
	@mkdir -p $(@D)
	$(call SAYS,LD ,$@)
	$(Q)$(CC) $(SOFLAGS) $(SOLINK) -o $@ $< -lpthread

# One test that doesn't build is one failure, not the end of the run: run.py counts what is missing.
unit-build: all
	@$(MAKE) -k $(UNIT) $(TEST_PLUGINS) $(COUNTS) $(BUILD)/lua-definitions

unit:
	@$(MAKE) -k so $(UNIT) $(TEST_PLUGINS) || true
	@$(RUN_TESTS) unit

e2e: all $(TEST_PLUGINS)
	@$(RUN_TESTS) e2e

test: deps-test
	@$(MAKE) --no-print-directory -j2 all
	@$(MAKE) --no-print-directory -j2 -k $(UNIT) $(TEST_PLUGINS) $(COUNTS) $(BUILD)/lua-definitions || true
	@$(RUN_TESTS)

lint: all
	@WEIR_BUILD=$(BUILD) python3 tests/lint/lint.py

# What rules in Lua cost, measured on the stage by itself.
$(BUILD)/lua_bench: $(BUILD)/tests/bench/lua_bench.o $(UNIT_HELPERS) $(BUILD)/libcore.a
	$(call SAYS,LD ,$@)
	$(Q)$(CC) $(SANFLAGS) -o $@ $^ -Wl,--as-needed $(PKG_LIBS) $(LUA_LIBS) -lm -ldl -lpthread

$(BUILD)/tests/bench/lua_bench.o: tests/bench/lua_bench.c
	@mkdir -p $(@D)
	$(call SAYS,CC ,$<)
	$(Q)$(CC) $(COREFLAGS) $(LUA_FLAGS) -Itests/unit -c -o $@ $<

# What an update of the shared memory costs, from one process and from two.
$(BUILD)/shared_bench: $(BUILD)/tests/bench/shared_bench.o $(BUILD)/libcore.a
	$(call SAYS,LD ,$@)
	$(Q)$(CC) $(SANFLAGS) -o $@ $^ -Wl,--as-needed $(PKG_LIBS) -lm -ldl -lpthread

$(BUILD)/tests/bench/shared_bench.o: tests/bench/shared_bench.c
	@mkdir -p $(@D)
	$(call SAYS,CC ,$<)
	$(Q)$(CC) $(COREFLAGS) -c -o $@ $<

bench: all $(BUILD)/lua_bench $(BUILD)/shared_bench
	$(BUILD)/lua_bench
	-$(BUILD)/shared_bench
	-python3 tests/bench/failover.py
	python3 tests/bench/run.py

# What providers do wrong, with time-outs of 30 s that take 30 s; then ten minutes of random faults at 200 requests a second.
soak: all
	python3 tests/soak/matrix.py
	python3 tests/soak/run.py 600 200

FUZZFLAGS  = -g -O1 -std=c11 -D_GNU_SOURCE -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all \
             -DWEIR_ARENA_EMULATE -DWEIR_VERSION='"$(VERSION)"' -fvisibility=hidden -Isdk/include -Icore -Itests/fuzz -I. \
             -MMD -MP $(PKG_FLAGS) $(LUA_FLAGS)

$(FUZZBUILD)/core/%.o: core/%.c
	@mkdir -p $(@D)
	$(call SAYS,CC ,$<)
	$(Q)clang $(FUZZFLAGS) -fsanitize=fuzzer-no-link -c -o $@ $<

$(FUZZBUILD)/libcore.a: $(patsubst %.c,$(FUZZBUILD)/%.o,$(filter-out core/main.c,$(CORE_C)))
	@rm -f $@
	ar rcs $@ $^

$(FUZZBUILD)/%: tests/fuzz/%.c $(FUZZBUILD)/libcore.a
	$(call SAYS,LD ,$@)
	$(Q)clang $(FUZZFLAGS) -fsanitize=fuzzer -MF $@.d -o $@ $< $(FUZZBUILD)/libcore.a \
	  -Wl,--as-needed $(PKG_LIBS) $(LUA_LIBS) -lm -ldl -lpthread

define fuzz_codec_rule
$(FUZZBUILD)/codec_$(1): tests/fuzz/codec.c $(wildcard providers/$(1)/*.c providers/$(1)/*.h) $(FUZZBUILD)/libcore.a
	$$(call SAYS,LD ,$$@)
	$$(Q)clang $$(filter-out -MMD -MP,$$(FUZZFLAGS)) -fsanitize=fuzzer -o $$@ $$(filter %.c,$$^) $$(FUZZBUILD)/libcore.a \
	  -Wl,--as-needed $$(PKG_LIBS) -ldl -lpthread
endef
$(foreach d,$(FUZZ_CODECS:$(FUZZBUILD)/codec_%=%),$(eval $(call fuzz_codec_rule,$(d))))

fuzz-build: $(FUZZ) $(FUZZ_CODECS)

fuzz:
	@$(MAKE) -k fuzz-build || true
	@FUZZ_SECONDS=$(SECONDS) FUZZ_BUILD=$(FUZZBUILD) $(RUN_TESTS) fuzz

# ---- what a bare Debian needs ---------------------------------------------------------------------------------------------

DEB_BUILD := gcc make libc6-dev pkg-config libevent-dev libjansson-dev libcurl4-openssl-dev libyaml-dev libssl-dev liblua5.4-dev ca-certificates curl tzdata
DEB_TEST  := $(DEB_BUILD) python3 python3-venv nodejs npm openssl lua5.4 lua-check clang clang-tidy clang-format binutils
DEB_BENCH := $(DEB_BUILD) python3 nginx-light

define install_debs
	@missing=""; for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q "ok installed" || missing="$$missing $$p"; done; \
	for t in nginx:nginx-light node:nodejs npm:npm python3:python3 python3:python3-venv clang:clang; do \
	  command -v $${t%%:*} >/dev/null && missing=$$(echo "$$missing " | sed "s/ $${t##*:} / /"); done; missing=$$(echo $$missing); \
	[ -z "$$missing" ] && exit 0; \
	command -v apt-get >/dev/null || { echo "missing: $$missing (install them with this system's package manager)"; exit 1; }; \
	if [ "$$(id -u)" = 0 ]; then as=""; elif command -v sudo >/dev/null; then as="sudo"; else \
	  echo "missing: $$missing (run as root: apt-get install $$missing)"; exit 1; fi; \
	echo "installing: $$missing"; \
	$$as env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing >/dev/null 2>&1 || \
	{ $$as apt-get update -q && $$as env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing; }
endef

deps:
	$(call install_debs,$(DEB_BUILD))

deps-test:
	$(call install_debs,$(DEB_TEST))

deps-bench:
	$(call install_debs,$(DEB_BENCH))

run: deps
	@$(MAKE) --no-print-directory -s -j2 all
	@echo
	@echo "weir answers on http://127.0.0.1:8080 (end it with Ctrl-C). In another terminal:"
	@echo
	@echo "  curl -N http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' \\"
	@echo "    -d '{\"model\":\"demo\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}'"
	@echo
	@exec $(BUILD)/weir serve

# ---- installing ------------------------------------------------------------------------------------------------------------

LIBDIR   := $(DESTDIR)$(PREFIX)/lib/weir
SHAREDIR := $(DESTDIR)$(PREFIX)/share/weir
UNITDIR  := $(DESTDIR)$(if $(filter /usr,$(PREFIX)),/lib/systemd/system,$(PREFIX)/lib/systemd/system)

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(LIBDIR)/plugins $(LIBDIR)/providers $(LIBDIR)/lua $(SHAREDIR)/policies $(SHAREDIR)/definitions \
	  $(SHAREDIR)/sdk $(DESTDIR)$(PREFIX)/include/weir $(UNITDIR)
	install -m 755 $(BUILD)/weir $(DESTDIR)$(PREFIX)/bin/weir
	install -m 644 $(PLUGINS) $(POLICY) $(LIBDIR)/plugins/
	install -m 644 $(PROVIDERS) $(DATA) $(LIBDIR)/providers/
	for f in $(wildcard lua/lib/*.lua); do install -m 644 $$f $(LIBDIR)/lua/ || exit 1; done
	install -m 644 lua/definitions/weir.lua $(SHAREDIR)/definitions/
	for f in $(wildcard policies/*.lua policies/*.yaml policies/README.md); do install -m 644 $$f $(SHAREDIR)/policies/ || exit 1; done
	ln -sfn ../../share/weir/policies $(LIBDIR)/policies
	install -m 644 $(wildcard sdk/include/weir/*.h) $(DESTDIR)$(PREFIX)/include/weir/
	install -m 644 weir.yaml $(SHAREDIR)/weir.yaml
	cd sdk && find . -path ./include -prune -o -type d -exec install -d $(abspath $(SHAREDIR))/sdk/{} \; && \
	  find . -path ./include -prune -o -type f -exec install -m 644 {} $(abspath $(SHAREDIR))/sdk/{} \;
	sed 's|@PREFIX@|$(PREFIX)|g' core/weir.service.in > $(UNITDIR)/weir.service

clean:
	rm -rf build build-san build-emulate build-san-emulate build-fuzz

-include $(wildcard $(BUILD)/core/*.d $(BUILD)/plugins/*/*.d $(BUILD)/providers/*/*.d $(BUILD)/lua-stage/*.d $(BUILD)/tests/unit/*.d $(BUILD)/tests/plugins/*.d \
  $(FUZZBUILD)/*.d $(FUZZBUILD)/core/*.d)
