# weir: build, run, test, install. `make run` needs nothing but Debian 12; the other targets install what they lack.
#
#   make            build/weir, build/plugins/*.so, build/providers/*.so
#   make run        build it and serve on 127.0.0.1:8080 with weir.yaml
#   make test       every test; the last line counts
#   make lint       include direction, exported symbols, clang-tidy, Lua
#   make fuzz       each fuzz target for SECONDS=10
#   make bench      the numbers, beside nginx (tests/bench/README.md)
#   make install    PREFIX=/usr/local DESTDIR=
#
#   SAN=address,undefined   a build of its own with sanitizers, in build-san/
#   EMULATE=1               each arena allocation is a malloc of its own
#   WERROR=                 warnings do not stop the build

PREFIX  ?= /usr/local
DESTDIR ?=
SECONDS ?= 10
WERROR  ?= -Werror
B       ?= $(if $(SAN),build-san,build)
PKG_CONFIG ?= pkg-config

PACKAGES_BUILD = gcc make pkg-config libc6-dev libevent-dev libjansson-dev libcurl4-openssl-dev liblua5.4-dev libyaml-dev libssl-dev ca-certificates curl tzdata
PACKAGES_TEST  = python3 python3-venv nodejs npm openssl
PACKAGES_LINT  = clang clang-tidy clang-format libclang-rt-14-dev lua5.4 lua-check binutils
PACKAGES_BENCH = nginx-light python3 openssl

LIBS_CORE = libevent_core libevent_extra jansson libcurl yaml-0.1 libcrypto
WARNINGS  = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla -Wformat=2 $(WERROR)
CFLAGS   ?= -O2 -g
COMMON    = -std=c11 -D_GNU_SOURCE $(WARNINGS) -fno-omit-frame-pointer -Isdk/include \
            $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -DWEIR_SANITIZED) $(if $(EMULATE),-DWEIR_ARENA_EMULATE)
CORE_CFLAGS   = $(COMMON) -fPIE $(shell $(PKG_CONFIG) --cflags $(LIBS_CORE) 2>/dev/null)
PLUGIN_CFLAGS = $(COMMON) -fPIC -fvisibility=hidden
PLUGIN_LDFLAGS = -shared -Wl,-Bsymbolic -Wl,--exclude-libs,ALL -Wl,--as-needed $(if $(SAN),,-Wl,-z,defs) $(if $(SAN),-fsanitize=$(SAN))
CORE_LIBS     = $(shell $(PKG_CONFIG) --libs $(LIBS_CORE) 2>/dev/null) -ldl -lpthread -lm
LUA_CFLAGS    = $(shell $(PKG_CONFIG) --cflags lua5.4 2>/dev/null)
LUA_LIBS      = $(shell $(PKG_CONFIG) --libs lua5.4 yaml-0.1 2>/dev/null) -lm

CORE_SRC  = $(wildcard core/*.c)
CORE_OBJ  = $(CORE_SRC:%.c=$(B)/obj/%.o)
PLUGINS   = $(patsubst plugins/%/,%,$(wildcard plugins/*/))
PROVIDERS = $(patsubst providers/%/,%,$(wildcard providers/*/))
PLUGIN_SO = $(PLUGINS:%=$(B)/plugins/%.so) $(B)/plugins/policy.so
PROVIDER_SO = $(PROVIDERS:%=$(B)/providers/%.so)
LUA_LIB   = $(patsubst lua/lib/%,$(B)/lua/%,$(wildcard lua/lib/*.lua))
UNIT      = $(patsubst tests/unit/%.c,$(B)/tests/%,$(wildcard tests/unit/test_*.c))
UNIT_HELP = $(filter-out tests/unit/test_%,$(wildcard tests/unit/*.c))
FUZZ      = $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: all deps deps-test deps-lint deps-bench run test unit abi e2e policies clients lint fuzz fuzz-build bench install clean
.DELETE_ON_ERROR:
.SECONDARY:
.SECONDEXPANSION:

all: $(B)/weir $(PLUGIN_SO) $(PROVIDER_SO) $(LUA_LIB)

# ---- building ----

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CORE_CFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(B)/pic/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(PLUGIN_CFLAGS) $(CFLAGS) $(if $(filter lua/%,$<),$(LUA_CFLAGS)) -MMD -MP -c $< -o $@

$(B)/weir: $(CORE_OBJ)
	$(CC) $(if $(SAN),-fsanitize=$(SAN)) -pie -o $@ $^ $(CORE_LIBS)

$(B)/libcore.a: $(filter-out $(B)/obj/core/main.o,$(CORE_OBJ))
	@rm -f $@
	$(AR) rcs $@ $^

$(B)/plugins/policy.so: $(patsubst %.c,$(B)/pic/%.o,$(wildcard lua/*.c))
	@mkdir -p $(@D)
	$(CC) $(PLUGIN_LDFLAGS) -o $@ $^ $(LUA_LIBS)

$(B)/plugins/%.so: $$(addprefix $(B)/pic/,$$(addsuffix .o,$$(basename $$(wildcard plugins/$$*/*.c))))
	@mkdir -p $(@D)
	$(CC) $(PLUGIN_LDFLAGS) -o $@ $^

$(B)/providers/%.so: $$(addprefix $(B)/pic/,$$(addsuffix .o,$$(basename $$(wildcard providers/$$*/*.c))))
	@mkdir -p $(@D)
	$(CC) $(PLUGIN_LDFLAGS) -o $@ $^

$(B)/lua/%: lua/lib/%
	@mkdir -p $(@D)
	cp $< $@

-include $(shell find $(B)/obj $(B)/pic $(B)/tests -name '*.d' 2>/dev/null)

# ---- what has to be installed ----

# A machine that has it all is left alone, so that a build needs no network.
define ensure
	@missing=""; for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	for tool in node:nodejs npm:npm python3:python3; do command -v $${tool%%:*} >/dev/null && missing=$$(echo " $$missing " | sed "s/ $${tool##*:} / /"); done; \
	if [ -n "$$(echo $$missing)" ]; then echo "installing:$$missing"; \
	  sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  $$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
endef

deps:
	$(call ensure,$(PACKAGES_BUILD))
deps-test: deps
	$(call ensure,$(PACKAGES_TEST))
deps-lint: deps
	$(call ensure,$(PACKAGES_LINT))
deps-bench: deps
	$(call ensure,$(PACKAGES_BENCH))

# ---- running ----

run: deps
	@$(MAKE) --no-print-directory -s -j2 all
	@printf 'weir is starting on http://127.0.0.1:8080 (Ctrl-C ends it). Try, in another terminal:\n\n'
	@printf "  curl -N http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' \\\\\n"
	@printf "    -d '{\"model\":\"demo\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Why is the sky blue?\"}]}'\n\n"
	@exec $(B)/weir serve -c weir.yaml

# ---- testing ----

$(B)/tests/%: tests/unit/%.c $(UNIT_HELP) $(B)/libcore.a
	@mkdir -p $(@D)
	$(CC) $(CORE_CFLAGS) $(CFLAGS) $(if $(findstring test_lua,$<),$(LUA_CFLAGS)) -MMD -MP -MF $@.d -o $@ $< \
	    $(UNIT_HELP) $(B)/libcore.a $(CORE_LIBS)

unit: all $(UNIT)
	@tests/run unit $(B)

test: deps-test
	@$(MAKE) --no-print-directory -j2 all $(UNIT)
	@tests/run all $(B)

abi e2e policies clients: all
	@tests/run $@ $(B)

lint: deps-lint
	@$(MAKE) --no-print-directory -j2 all
	@tests/lint $(B)

FUZZ_CFLAGS = -std=c11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Isdk/include -Icore
$(B)/fuzz/%: tests/fuzz/%.c $(filter-out core/main.c,$(CORE_SRC))
	@mkdir -p $(@D)
	clang $(FUZZ_CFLAGS) $(if $(findstring fuzz_pattern,$<),$(LUA_CFLAGS)) -o $@ $< $(filter-out core/main.c,$(CORE_SRC)) $(CORE_LIBS) $(if $(findstring fuzz_pattern,$<),$(LUA_LIBS))

fuzz-build: deps-lint $(FUZZ)
fuzz: fuzz-build
	@tests/run fuzz $(B) $(SECONDS)

bench: deps-bench
	@$(MAKE) --no-print-directory -j2 all
	@python3 tests/bench/run.py

# ---- installing ----

LIBDIR   = $(DESTDIR)$(PREFIX)/lib/weir
SHAREDIR = $(DESTDIR)$(PREFIX)/share/weir
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(LIBDIR)/plugins $(LIBDIR)/providers $(LIBDIR)/lua $(SHAREDIR)/policies \
	    $(SHAREDIR)/sdk $(DESTDIR)$(PREFIX)/include/weir $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 755 $(B)/weir $(DESTDIR)$(PREFIX)/bin/weir
	install -m 755 $(PLUGIN_SO) $(LIBDIR)/plugins/
	install -m 755 $(PROVIDER_SO) $(LIBDIR)/providers/
	[ -z "$(LUA_LIB)" ] || install -m 644 $(LUA_LIB) $(LIBDIR)/lua/
	install -m 644 policies/*.lua $(SHAREDIR)/policies/
	install -m 644 weir.yaml $(SHAREDIR)/weir.yaml
	install -m 644 sdk/include/weir/*.h $(DESTDIR)$(PREFIX)/include/weir/
	cp -R sdk/plugin.mk sdk/templates sdk/ABI.md $(SHAREDIR)/sdk/
	sed 's#@PREFIX@#$(PREFIX)#g' core/weir.service.in > $(DESTDIR)$(PREFIX)/lib/systemd/system/weir.service

clean:
	rm -rf build build-san
