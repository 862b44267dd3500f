# Builds one plugin: NAME.so from all .c files of the folder. A Makefile of three lines is enough:
#
#     NAME := hello
#     WEIR_SDK := /usr/local/share/weir/sdk
#     include $(WEIR_SDK)/plugin.mk
#
# Yours to set before the include: SRC, CFLAGS, LIBS (libraries of your own: "-lm"), WEIR (the program), SETTINGS (what
# `make test` gives a stage as its settings, as JSON), SECONDS (of mutated input).

SDK_FOLDER := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
# in the repository the headers lie beside this file, installed under PREFIX/include
SDK_INCLUDE := $(firstword $(wildcard $(SDK_FOLDER)/include $(SDK_FOLDER)/../../../include))
WEIR ?= $(firstword $(wildcard $(SDK_FOLDER)/../build/weir $(SDK_FOLDER)/../../../bin/weir) weir)

SRC ?= $(wildcard *.c)
CC ?= cc
CFLAGS ?= -O2 -g
SECONDS ?= 10
SETTINGS ?=

SDK_CFLAGS := -std=c11 -D_GNU_SOURCE -Wall -Wextra -fPIC -fno-omit-frame-pointer -I$(SDK_INCLUDE)
# exactly one exported symbol; the plugin's own libraries are found before the host's; nothing stays unresolved
SDK_CFLAGS += -fvisibility=hidden
SDK_LDFLAGS := -shared -Wl,-Bsymbolic -Wl,--exclude-libs,ALL -Wl,-z,relro,-z,now -Wl,-z,defs

$(NAME).so: $(SRC) $(wildcard *.h)
	$(CC) $(SDK_CFLAGS) $(CFLAGS) $(SDK_LDFLAGS) -o $@.new $(SRC) $(LIBS)
	mv $@.new $@

test: $(NAME).so
	$(WEIR) verify-plugin ./$(NAME).so --seconds $(SECONDS) $(if $(SETTINGS),--with '$(SETTINGS)')

explain: $(NAME).so
	$(WEIR) explain-plugin ./$(NAME).so

clean:
	rm -f $(NAME).so $(NAME).so.new

.PHONY: test explain clean
.DEFAULT_GOAL := $(NAME).so
