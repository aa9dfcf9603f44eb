# SPDX-License-Identifier: MIT
#
# The whole build of libdreambooth. `make help` lists the targets. What the
# machine has comes from config.mk, which configure writes; in a fresh clone
# make makes both itself, and installs the packages that are missing first.
# Everything built lies under build/, in the source tree or wherever configure
# was run.

all:
.PHONY: all

# Configuration ---------------------------------------------------------------

srcdir = .
top := $(CURDIR)
source_dir = $(abspath $(srcdir))
# Compilers believe it, even if it names this folder by a detour.
export PWD := $(top)
# These do without config.mk, and must not make one.
goals_without = clean distclean style help
ifneq ($(or $(MAKECMDGOALS),all),$(filter $(goals_without),$(MAKECMDGOALS)))
include config.mk
else ifneq ($(wildcard config.mk),)
include config.mk
endif

config.mk: $(srcdir)/configure $(srcdir)/config.mk.in
	@if test -x config.status; \
	    then ./config.status --recheck && ./config.status; \
	    else $(srcdir)/build-aux/install-packages && $(srcdir)/configure; fi
	@touch $@

$(srcdir)/configure: $(srcdir)/configure.ac
	@$(srcdir)/build-aux/install-packages
	cd $(srcdir) && autoconf

# Sources ---------------------------------------------------------------------

sources = $(patsubst $(srcdir)/%,%,$(sort $(wildcard $(addprefix $(srcdir)/,$(1)))))
objects = $(patsubst %.c,build/%.o,$(call sources,$(1)))

lib_objects := $(call objects,lib/*/*.c lib/*/*/*.c)
src_objects := $(call objects,src/*.c)
unit_objects := $(call objects,test/unit/test_*.c)
parity_objects := $(call objects,test/parity/*.c)
bench_objects := $(call objects,test/bench/*.c)
demo_objects := $(call objects,doc/demo/*.c)
headers := $(call sources,include/dreambooth/*.h)
man_objects := $(call objects,doc/man/*.c)
man_sources := $(call sources,doc/man/*.in)
unit_tests := $(unit_objects:.o=)
test_scripts := $(call sources,test/*/run.sh)
bench_vocabulary = build/test/bench-vocabulary/vocab.json
all_objects := $(lib_objects) $(src_objects) $(unit_objects) $(parity_objects) \
    $(bench_objects) $(demo_objects) $(man_objects)

archive = build/libdreambooth.a
soname = libdreambooth.so.$(SOVERSION)
shared = build/libdreambooth.so.$(VERSION)
command = build/dreambooth
command_installed = build/installed/dreambooth

library := $(if $(filter yes,$(ENABLE_SHARED)),build/libdreambooth.so,$(archive))
products := $(if $(filter yes,$(ENABLE_STATIC)),$(archive)) \
    $(if $(filter yes,$(ENABLE_SHARED)),build/libdreambooth.so) \
    $(if $(src_objects),$(command) $(command_installed))

# Completion scripts are made by the command itself, so it must run: where it was
# cross compiled, in an EMULATOR, or not at all.
completions := $(if $(src_objects),$(if $(EMULATOR)$(filter no,$(CROSS_COMPILING)), \
    bash zsh fish))
products += $(addprefix build/completion/,$(completions))

# So is what the manual says of options and functions. Each function has a link
# to the page of its handle.
man_pages := $(if $(src_objects),$(if $(EMULATOR)$(filter no,$(CROSS_COMPILING)), \
    $(man_sources:doc/man/%.in=%) \
    $(addsuffix .3,$(shell cat $(srcdir)/test/symbols.txt))))
products += $(if $(man_pages),build/doc/man/made)

all: $(products)

# Compiling -------------------------------------------------------------------

warnings = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
    -Wvla $(WERROR)
# Contraction to fused multiply-add is off: results must not hang on whether a
# compiler likes it.
flags = -std=c11 $(warnings) -ffp-contract=off $(FLOAT_CFLAGS) -MMD -MP \
    -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -D_FILE_OFFSET_BITS=64 \
    -D_TIME_BITS=64 \
    -I$(srcdir)/include $(flags_here) $(REPRODUCIBLE) $(CPPFLAGS) $(CFLAGS) \
    $(optimise)

build/lib/%.o: flags_here = -fPIC -fvisibility=hidden -DDREAMBOOTH_BUILDING \
    -DDREAMBOOTH_VERSION='"$(VERSION)"' -I$(srcdir)/lib $(DEPENDENCY_CFLAGS)
build/src/%.o: flags_here = -DDREAMBOOTH_SYSCONFDIR='"$(sysconfdir)"' \
    $(JANSSON_CFLAGS)
build/lib/kernel/%.o: optimise = -fno-math-errno \
    $(if $(filter -O2,$(CFLAGS)),-O3)
build/doc/man/%.o: flags_here = -I$(srcdir)/src
# Micro-kernels are made of fused multiply-adds.
build/lib/kernel/simd/%.o: optimise += -ffp-contract=fast
build/test/%.o: flags_here = -I$(srcdir)/lib -I$(srcdir)/test/unit \
    $(DEPENDENCY_CFLAGS) $(CHECK_CFLAGS)

# The public headers as a text that the library gives to other languages.
build/lib/api/build_info.o: build/lib/declarations.inc
build/lib/api/build_info.o: flags_here += -Ibuild/lib
build/lib/declarations.inc: $(srcdir)/build-aux/declarations \
    $(addprefix $(srcdir)/,$(headers))
	@mkdir -p $(@D)
	@$< --bytes >$@

# V=1 shows the commands.
Q = $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' $(1) $(2))

build/%.o: $(srcdir)/%.c config.mk
	$(call say,CC,$*.c)
	@mkdir -p $(@D)
	$(Q)$(CC) $(flags) -c -o $@ $<

-include $(all_objects:.o=.d)

# Linking ---------------------------------------------------------------------

$(archive): $(lib_objects)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) $(AR_FLAGS) $@ $^

$(shared): $(lib_objects) $(srcdir)/lib/libdreambooth.map
	$(call say,LD,$@)
	$(Q)$(CC) $(REPRODUCIBLE) $(CFLAGS) -shared -Wl,-soname,$(soname) -Wl,-z,defs \
	    -Wl,--version-script=$(srcdir)/lib/libdreambooth.map $(LDFLAGS) \
	    -o $@ $(lib_objects) $(DEPENDENCY_LIBS)

build/libdreambooth.so: $(shared)
	@ln -sf $(<F) build/$(soname)
	@ln -sf $(soname) $@

# The command finds the library beside itself in the build tree. The one that is
# installed looks where the library will be: from its own folder, so that the
# prefix may be moved, and nowhere where the system looks by itself.
system_libdirs = /lib /usr/lib /lib64 /usr/lib64 $(addprefix /usr/lib/, \
    $(shell $(CC) -print-multiarch 2>/dev/null))
from_command = $(if $(filter $(prefix)/bin,$(bindir)), \
    $(patsubst $(prefix)/%,$$ORIGIN/../%,$(libdir)),$(libdir))
ifeq ($(ENABLE_RPATH),yes)
rpath_installed = $(strip \
    $(if $(filter $(system_libdirs),$(libdir)),,$(from_command)))
endif

rpath = -Wl,-rpath,
# With an RPATH, or without
link_command = $(CC) $(REPRODUCIBLE) $(CFLAGS) $(LDFLAGS) -o $@ \
    $(src_objects) $(library) $(if $(filter $(archive),$(library)), \
        $(DEPENDENCY_LIBS),$(JANSSON_LIBS) $(if $(1),$(rpath)'$(1)'))

$(command): $(src_objects) $(library)
	$(call say,LD,$@)
	$(Q)$(call link_command,$$ORIGIN)

$(command_installed): $(src_objects) $(library) build/installed/rpath
	$(call say,LD,$@)
	$(Q)$(call link_command,$(rpath_installed))

build/completion/%: $(command)
	$(call say,MAKE,$@)
	@mkdir -p $(@D)
	$(Q)$(EMULATOR) $(command) completion $* >$@.new && mv $@.new $@

build/doc/man/make-pages: $(man_objects) $(src_objects) $(library)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(man_objects) \
	    $(filter-out build/src/main.o,$(src_objects)) $(library) \
	    $(if $(filter $(archive),$(library)),$(DEPENDENCY_LIBS), \
	        $(JANSSON_LIBS) $(rpath)'$$ORIGIN/../..')

# Their date is the release's, which ChangeLog has; before it, of the time that
# SOURCE_DATE_EPOCH or ChangeLog's own stamp tells.
build/doc/man/made: build/doc/man/make-pages $(addprefix $(srcdir)/, \
    $(man_sources) $(headers) $(call sources,doc/examples/*.c) ChangeLog)
	$(call say,MAKE,build/doc/man)
	@rm -rf build/doc/man/man[1-9]
	$(Q)day=$$(sed -n '1s/.*(\(20[0-9-]*\))$$/\1/p' $(srcdir)/ChangeLog); \
	    test -n "$$day" || \
	    day=@$${SOURCE_DATE_EPOCH:-$$(stat -c %Y $(srcdir)/ChangeLog)}; \
	    day=$$(LC_ALL=C date -u -d "$$day" '+%B %-d, %Y') && \
	    $(EMULATOR) build/doc/man/make-pages "$$day" $(srcdir) \
	    build/doc/man $(man_sources:doc/man/%.in=%) && touch $@

# The manual as a tree for browsers.
.PHONY: html
html: build/doc/html/made
build/doc/html/made: build/doc/man/made $(addprefix $(srcdir)/doc/man/, \
    make-html link-functions.awk style.css)
	$(call say,MAKE,build/doc/html)
	$(Q)$(srcdir)/doc/man/make-html build/doc/man build/doc/html
	@touch $@

# Written anew when the folders are others than before.
.PHONY: FORCE
build/installed/rpath: FORCE
	@mkdir -p $(@D)
	@echo '$(rpath_installed)' | cmp -s - $@ || \
	    echo '$(rpath_installed)' >$@

# Tests, benchmark and demo see the library's inside: they link the archive.
link_inside = $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(archive) \
    $(1) $(DEPENDENCY_LIBS)

$(unit_objects): | have-check
.PHONY: have-check
have-check:
	@$(if $(CHECK_LIBS),:,echo 'The tests need Check: install it (Debian,' \
	    'Ubuntu: apt-get install check) and run configure again'; exit 1)

$(unit_tests): %: %.o $(archive)
	$(call say,LD,$@)
	$(Q)$(call link_inside,$(CHECK_LIBS))

build/test/parity-run: $(parity_objects) $(archive)
	$(call say,LD,$@)
	$(Q)$(call link_inside)

build/test/bench-run: $(bench_objects) $(archive)
	$(call say,LD,$@)
	$(Q)$(call link_inside,-ldl)

build/doc/demo/draw: $(demo_objects) $(archive)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(demo_objects) $(archive) \
	    $(DEPENDENCY_LIBS)

# Tests -----------------------------------------------------------------------

# What the scripts under test/ and doc/demo are told; the configuration of who
# runs them is no business of theirs.
tell = env DREAMBOOTH_CONFIG= BUILD_DIR='$(top)/build' SRC_DIR='$(source_dir)' CC='$(CC)' \
    CXX='$(CXX)' NM='$(NM)' MAKE='$(MAKE)' CFLAGS='$(CFLAGS)' \
    LDFLAGS='$(LDFLAGS)' DEPENDENCY_LIBS='$(DEPENDENCY_LIBS)' \
    PKG_CONFIG='$(PKG_CONFIG)' VERSION='$(VERSION)' \
    SHARED='$(ENABLE_SHARED)' STATIC='$(ENABLE_STATIC)' \
    MANUAL='$(if $(man_pages),yes,no)'

.PHONY: tests check check-unit valgrind sanitize style symbols parity bench \
    bench-peer performance demo

# Everything that the tests run, built.
tests: $(products) $(archive) $(unit_tests) \
    $(if $(parity_objects),build/test/parity-run) \
    $(if $(bench_objects),build/test/bench-run $(bench_vocabulary)) \
    $(if $(demo_objects),build/doc/demo/draw)

# What the tests can use is installed, where that may be; see install-packages.
.PHONY: check-packages
check-packages:
	@$(srcdir)/build-aux/install-packages --check

# TESTS="test_env cli" runs some only.
check: check-packages tests
	@$(tell) PARITY_DIR='$(DIR)' $(srcdir)/build-aux/run-tests \
	    $(srcdir)/build-aux/check-style $(srcdir)/build-aux/check-includes \
	    $(unit_tests) $(addprefix $(srcdir)/,$(test_scripts))

check-unit: $(unit_tests)
	@$(tell) $(srcdir)/build-aux/run-tests $(unit_tests)

valgrind: $(unit_tests)
	@$(tell) TEST_QUICK=1 OPENBLAS_NUM_THREADS=1 OPENBLAS_CORETYPE=Haswell \
	    JOBS='$(or $(JOBS),2)' TEST_TIMEOUT='$(or $(TEST_TIMEOUT),1800)' \
	    WRAPPER='valgrind -q --error-exitcode=99 --leak-check=full' \
	    $(srcdir)/build-aux/run-tests $(unit_tests)

# A build of its own in build/sanitize, for the unit tests and the command's.
sanitizers = -fsanitize=address,undefined -fno-sanitize-recover=all
sanitize: $(srcdir)/configure
	@mkdir -p build/sanitize
	@cd build/sanitize && (test -f config.mk || \
	    $(source_dir)/configure -q --disable-shared CC='$(CC)' \
	    CFLAGS='-O1 -g -fno-omit-frame-pointer $(sanitizers)')
	@TEST_QUICK=1 $(MAKE) --no-print-directory -C build/sanitize check \
	    TESTS='$(or $(TESTS),test_ cli)'

style:
	@$(srcdir)/build-aux/check-style
	@$(srcdir)/build-aux/check-includes

# After a public function was added: writes the two lists anew from the headers.
symbols:
	@$(srcdir)/build-aux/symbols --write

# At a release: describes the public interface, for later ones to be compared.
.PHONY: abi-baseline
abi-baseline:
	@env CC='$(CC)' $(srcdir)/build-aux/abi-baseline

parity: build/test/parity-run
	@$(if $(DIR),,echo 'parity: say make parity DIR=folder'; exit 2;) \
	    build/test/parity-run $(if $(BACKEND),--backend $(BACKEND)) $(DIR)

bench: build/test/bench-run $(bench_vocabulary)
	@$(tell) env -u OPENBLAS_CORETYPE build/test/bench-run $(BENCH)

# Side by side with PyTorch; see doc/performance.md for what can be said.
bench-peer: build/test/bench-run $(bench_vocabulary)
	@$(tell) PYTHONDONTWRITEBYTECODE=1 $(srcdir)/test/bench/peer/compare.py

# Both, into the page: for a machine that does nothing else.
performance: build/test/bench-run $(bench_vocabulary)
	@$(tell) PYTHONDONTWRITEBYTECODE=1 $(srcdir)/test/bench/performance.sh \
	    $(srcdir)/doc/performance.md

# The prompts of the benchmarks need one.
build/test/bench-vocabulary/vocab.json: $(srcdir)/doc/demo/make-vocabulary.sh
	@$< $(@D)

demo: $(products) build/doc/demo/draw
	@$(tell) $(srcdir)/doc/demo/demo.sh

# Installing ------------------------------------------------------------------

.PHONY: install install-html uninstall
install_data = install -m 644
install_program = install -m 755

# In the .pc file the directories stand relative to ${prefix}, as usual. What
# the library needs is private to it, unless there is the archive only.
pc_path = $(patsubst $(prefix)/%,$${prefix}/%,$(1))
pc_private = $(if $(filter yes,$(ENABLE_SHARED)),.private)

bashcompletiondir = $(datarootdir)/bash-completion/completions
zshcompletiondir = $(datarootdir)/zsh/site-functions
fishcompletiondir = $(datarootdir)/fish/vendor_completions.d
completion_bash = $(bashcompletiondir)/dreambooth
completion_zsh = $(zshcompletiondir)/_dreambooth
completion_fish = $(fishcompletiondir)/dreambooth.fish

installed = $(addprefix $(includedir)/,$(headers:include/%=%)) \
    $(if $(filter yes,$(ENABLE_STATIC)),$(libdir)/libdreambooth.a) \
    $(if $(filter yes,$(ENABLE_SHARED)),$(addprefix $(libdir)/, \
        libdreambooth.so.$(VERSION) $(soname) libdreambooth.so)) \
    $(pkgconfigdir)/libdreambooth.pc \
    $(if $(src_objects),$(bindir)/dreambooth) \
    $(foreach shell,$(completions),$(completion_$(shell))) \
    $(foreach page,$(man_pages), \
        $(mandir)/man$(subst .,,$(suffix $(page)))/$(page))
installed_html = $(addprefix $(htmldir)/,index.html style.css \
    $(man_sources:doc/man/%.in=%.html))

install: $(products)
	@umask 022 && mkdir -p $(sort $(dir $(addprefix $(DESTDIR),$(installed))))
	$(install_data) $(addprefix $(srcdir)/,$(headers)) \
	    $(DESTDIR)$(includedir)/dreambooth/
ifeq ($(ENABLE_STATIC),yes)
	$(install_data) $(archive) $(DESTDIR)$(libdir)/
endif
ifeq ($(ENABLE_SHARED),yes)
	$(install_program) $(shared) $(DESTDIR)$(libdir)/
	ln -sf $(notdir $(shared)) $(DESTDIR)$(libdir)/$(soname)
	ln -sf $(soname) $(DESTDIR)$(libdir)/libdreambooth.so
endif
	@sed -e 's|@prefix@|$(prefix)|' -e 's|@VERSION@|$(VERSION)|' \
	    -e 's|@libdir@|$(call pc_path,$(libdir))|' \
	    -e 's|@includedir@|$(call pc_path,$(includedir))|' \
	    -e 's|@PRIVATE@|$(pc_private)|' \
	    -e 's|@REQUIRES_PRIVATE@|$(REQUIRES_PRIVATE)|' \
	    -e 's|@LIBS_PUBLIC@|$(if $(pc_private),,$(LIBS_PRIVATE))|' \
	    -e 's|@LIBS_PRIVATE@|$(if $(pc_private),$(LIBS_PRIVATE))|' \
	    $(srcdir)/pkgconfig/libdreambooth.pc.in \
	    >$(DESTDIR)$(pkgconfigdir)/libdreambooth.pc
	@chmod 644 $(DESTDIR)$(pkgconfigdir)/libdreambooth.pc
ifneq ($(src_objects),)
	$(install_program) $(command_installed) $(DESTDIR)$(bindir)/
	$(if $(completions),,@echo 'left out: completion scripts, since the' \
	    'command does not run here; EMULATOR=... brings them')
	$(foreach shell,$(completions),$(install_data) \
	    build/completion/$(shell) $(DESTDIR)$(completion_$(shell));)
endif
	$(if $(man_pages),,@echo 'left out: the manual, since the program that' \
	    'makes it does not run here; EMULATOR=... brings it')
	$(foreach section,$(sort $(suffix $(man_pages))),$(install_data) \
	    build/doc/man/man$(section:.%=%)/* \
	    $(DESTDIR)$(mandir)/man$(section:.%=%)/;)

install-html: html
	@umask 022 && mkdir -p $(DESTDIR)$(htmldir)
	$(install_data) build/doc/html/*.html build/doc/html/*.css \
	    $(DESTDIR)$(htmldir)/

uninstall:
	rm -f $(addprefix $(DESTDIR),$(installed) $(installed_html))
	@rmdir $(DESTDIR)$(includedir)/dreambooth 2>/dev/null || :

# Lua -------------------------------------------------------------------------

# LuaJIT reads the folders of Lua 5.1. For other Luas the C module is made, for
# those of LUA_VERSIONS: by default for 5.4, where pkg-config knows it.
luadir = $(datarootdir)/lua
luacdir = $(libdir)/lua
lua_package = $(firstword $(foreach name,lua$(1) lua-$(1) \
    lua$(subst .,,$(1)),$(shell $(PKG_CONFIG) --exists $(name) && echo $(name))))
LUA_VERSIONS = $(if $(call lua_package,5.4),5.4)
lua_modules = $(patsubst %,build/lua/%/dreambooth/core.so,$(LUA_VERSIONS))
installed_lua = $(addprefix $(luadir)/5.1/,dreambooth.lua dreambooth/ffi.lua) \
    $(patsubst %,$(luadir)/%/dreambooth.lua,$(LUA_VERSIONS)) \
    $(patsubst build/lua/%,$(luacdir)/%,$(lua_modules))

.PHONY: lua install-lua uninstall-lua
lua: $(library)
	@$(if $(LUA_VERSIONS),$(MAKE) --no-print-directory $(lua_modules), \
	    echo 'left out: the C module, since pkg-config knows no Lua 5.4')

build/lua/%/dreambooth/core.so: $(srcdir)/bindings/lua/dreambooth/core.c \
    $(addprefix $(srcdir)/,$(headers)) $(library)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(flags) $(shell $(PKG_CONFIG) --cflags $(call lua_package,$*)) \
	    -fPIC -shared $(LDFLAGS) -o $@ $< $(library) $(if $(filter \
	        $(archive),$(library)),$(DEPENDENCY_LIBS),$(if \
	        $(rpath_installed),$(rpath)'$$ORIGIN/../../..'))

install-lua: lua
	@umask 022 && mkdir -p $(sort $(dir $(addprefix $(DESTDIR),$(installed_lua))))
	$(install_data) $(srcdir)/bindings/lua/dreambooth/ffi.lua \
	    $(DESTDIR)$(luadir)/5.1/dreambooth/
	$(foreach version,$(sort 5.1 $(LUA_VERSIONS)),$(install_data) \
	    $(srcdir)/bindings/lua/dreambooth.lua $(DESTDIR)$(luadir)/$(version)/;)
	$(foreach version,$(LUA_VERSIONS),$(install_program) \
	    build/lua/$(version)/dreambooth/core.so \
	    $(DESTDIR)$(luacdir)/$(version)/dreambooth/;)

uninstall-lua:
	rm -f $(addprefix $(DESTDIR),$(installed_lua))
	@rmdir $(sort $(dir $(filter %/dreambooth/ffi.lua %/core.so, \
	    $(addprefix $(DESTDIR),$(installed_lua))))) 2>/dev/null || :

# Releasing -------------------------------------------------------------------

.PHONY: dist distcheck reproducible deb
tarball = libdreambooth-$(VERSION).tar.gz

dist: $(srcdir)/configure
	@$(srcdir)/build-aux/make-dist libdreambooth-$(VERSION) $(tarball)

distcheck: dist
	@$(srcdir)/build-aux/check-dist libdreambooth-$(VERSION) $(tarball)

reproducible: dist
	@CC='$(CC)' $(srcdir)/build-aux/check-reproducible \
	    libdreambooth-$(VERSION) $(tarball)

# The Debian packages, in DEB=folder. DEB_BUILD_OPTIONS="nocheck parallel=2" and
# the like are honoured.
deb: dist
	@$(srcdir)/build-aux/make-deb libdreambooth-$(VERSION) $(tarball) \
	    $(or $(DEB),build/deb)

# Of Python, with the library and all it needs in it; asks PyPI for tools.
.PHONY: wheel
wheel: build/libdreambooth.so
	@$(srcdir)/bindings/python/make-wheel $< build/wheel

# Cleaning --------------------------------------------------------------------

.PHONY: clean distclean help
clean:
	rm -rf build

distclean: clean
	rm -rf autom4te.cache
	rm -f config.mk config.log config.status libdreambooth-*.tar.gz
	@if test -L Makefile; then rm -f Makefile; fi
	@if test -e $(srcdir)/.git && test ! -L Makefile && test -f configure.ac; \
	    then rm -f configure; fi

help:
	@sed -n 's/^#: //p' $(firstword $(MAKEFILE_LIST))

#: make                  the library and the command, under build/
#: make check            all tests; DIR=folder adds the parity cases in it,
#:                       TESTS="test_pool cli" picks some
#: make tests            builds them without running them
#: make check-unit       the unit tests alone
#: make valgrind         the unit tests under valgrind
#: make sanitize         the unit tests and the command's under ASan and UBSan
#: make style            layout and include directions
#: make symbols          the symbol lists anew, after adding a function
#: make abi-baseline     describes the interface of a release, for test/abi
#: make demo             the main job from end to end on drawn pictures
#: make parity DIR=...   the reference cases of a folder; BACKEND=simd
#: make bench            timings; BENCH="2 simd kernels float32": threads,
#:                       backend, part of a row's name, precision
#: make bench-peer       side by side with PyTorch, which it installs under
#:                       build/; ROWS="unet-f32 vae-f32" picks some rows
#: make performance      both, and their tables into doc/performance.md
#: make install          prefix=, DESTDIR= and the other usual variables;
#:                       EMULATOR= runs what was cross compiled
#: make html             the manual as HTML; make install-html installs it
#: make install-lua      the module for LuaJIT and Lua 5.4; luadir=, luacdir=,
#:                       LUA_VERSIONS="5.3 5.4"; make uninstall-lua
#: make uninstall        takes away what install put there
#: make dist             the release tarball
#: make distcheck        builds, tests, installs and cleans from the tarball
#: make reproducible     packs, builds and installs twice, all circumstances
#:                       different, and compares the bytes
#: make deb              the Debian packages, in build/deb or DEB=folder
#: make wheel           the Python package with the library in it
#: make clean distclean  removes build/; and what configure made
#: V=1 shows the commands.
