#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The promises to programs that are already compiled: program.c as each release
# in test/abi/releases has it, compiled and linked against that release's
# headers and symbols, runs on the library just built; and abidiff finds nothing
# but additions between the last release's interface and today's; and the layout
# that plugins see holds in each model of memory that the compiler knows. All
# must notice what would break them.

. "$SRC_DIR/test/checks.sh"
here=$SRC_DIR/test/abi

refuses() { # PATTERN COMMAND...
    pattern=$1
    shift
    ! "$@" >"$temp/refused" 2>&1 && grep -q -e "$pattern" "$temp/refused"
}

if test "$SHARED" != yes; then
    echo "left out: all of it, for want of a shared library"
    finish
fi

stub() { # TREE OUTPUT
    env CC="$CC $CFLAGS" "$SRC_DIR/build-aux/abi-stub" "$1" "$2"
}

# A copy of what the interface consists of, to be changed.
copy_interface() { # FROM TO
    rm -rf "$2"
    mkdir -p "$2/lib" "$2/test/abi"
    cp -R "$1/include" "$2/"
    cp "$1/configure.ac" "$2/"
    cp "$1/lib/libdreambooth.map" "$2/lib/"
    cp "$1/test/abi/program.c" "$2/test/abi/"
    chmod -R u+w "$2"
}

# Programs of older releases ---------------------------------------------------

check "vocabulary" "$SRC_DIR/doc/demo/make-vocabulary.sh" "$temp/vocabulary"

# The interface of a release into TREE, from git, or for HEAD as it is here.
get_release() { # COMMIT TREE
    if test "$1" = HEAD; then
        copy_interface "$SRC_DIR" "$2"
    else
        rm -rf "$2"
        mkdir -p "$2"
        git -C "$SRC_DIR" archive -o "$temp/release.tar" "$1" include \
            lib/libdreambooth.map configure.ac test/abi/program.c \
            2>"$temp/log" && tar -C "$2" -xf "$temp/release.tar"
    fi
}

run_program() { # TREE
    mkdir -p "$1/run" && stub "$1" "$1/libdreambooth.so" || return 1
    # shellcheck disable=SC2086 # lists of words
    $CC -std=c11 $CFLAGS -I"$1/include" -o "$1/program" \
        "$1/test/abi/program.c" "$1/libdreambooth.so" $LDFLAGS &&
        (cd "$1/run" && env LD_LIBRARY_PATH="$BUILD_DIR" LD_BIND_NOW=1 \
            "$1/program" "$SRC_DIR/doc/demo/config" "$temp/vocabulary")
}

grep '^[0-9]' "$here/releases" >"$temp/releases"
while read -r version commit; do
    tree=$temp/$version
    get_release "$commit" "$tree"
    if test -f "$tree/configure.ac"; then
        check "a program of $version runs" run_program "$tree"
    elif test -e "$SRC_DIR/.git"; then
        missing "a program of $version" "commit $commit"
    else
        echo "left out: a program of $version, for want of git's history"
    fi
done <"$temp/releases"

sed 's/^    \(dreambooth_[a-z_]*\);$/\1/p; d' "$SRC_DIR/lib/libdreambooth.map" |
    while read -r name; do
        grep -q "[^a-z_]$name(" "$here/program.c" || echo "$name"
    done >"$temp/uncalled"
check "program.c calls every function: $(cat "$temp/uncalled")" \
    test ! -s "$temp/uncalled"

# A release with a function that is gone today.
tree=$temp/gone
copy_interface "$SRC_DIR" "$tree"
sed -i 's/^    dreambooth_version;/&\n    dreambooth_gone;/' \
    "$tree/lib/libdreambooth.map"
sed -i 's/^const char \*dreambooth_version(void);/&\nint dreambooth_gone(void);/' \
    "$tree/include/dreambooth/base.h"
sed -i 's/^    use_base();/    dreambooth_gone();\n&/' "$tree/test/abi/program.c"
check "a function that is gone is noticed" \
    refuses 'undefined symbol: dreambooth_gone' run_program "$tree"

# The layout that plugins see --------------------------------------------------

layout() { # FLAGS...; from the headers alone, whether a C library is there or not
    $CC -std=c11 -ffreestanding -fsyntax-only "$@" "$SRC_DIR/lib/kernel/layout.c"
}

for model in -m64 -mx32 -m32; do
    if echo 'int x;' | $CC $model -fsyntax-only -x c - 2>/dev/null; then
        check "layout with $model" layout $model "-I$SRC_DIR/include"
    fi
done
tree=$temp/layout
copy_interface "$SRC_DIR" "$tree"
sed -i 's/^    int64_t lda, ldb, ldc;/    int64_t lda, ldc, ldb;/' \
    "$tree/include/dreambooth/backend.h"
check "another layout does not compile" refuses 'ABI 1: gemm.ldb' \
    layout "-I$tree/include"

# The interface of the last release -------------------------------------------

if ! command -v abidiff >/dev/null; then
    missing "comparing with the last release" "abidiff (abigail-tools)"
    finish
fi
if ! echo | $CC $CFLAGS -dM -E - | grep -q '__SIZEOF_POINTER__ 8'; then
    echo "left out: abidiff, whose baseline is of 64-bit pointers"
    finish
fi

# Additions are fine, anything else is a difference.
same_interface() { # BASELINE LIBRARY
    abidiff --no-architecture --no-added-syms --leaf-changes-only \
        --suppressions "$here/suppressions" "$1" "$2"
}

stub "$SRC_DIR" "$temp/libdreambooth.so"
baseline=$(ls "$here"/libdreambooth-*.abi 2>/dev/null)
if test -f "$baseline"; then
    check "the headers keep $(basename "$baseline"); before that release is
    out, make abi-baseline writes it anew" \
        same_interface "$baseline" "$temp/libdreambooth.so"
    if objdump -h "$BUILD_DIR/libdreambooth.so" | grep -q '\.debug_info'; then
        check "the library keeps $(basename "$baseline")" \
            same_interface "$baseline" "$BUILD_DIR/libdreambooth.so"
    else
        echo "left out: abidiff with the library itself, for want of -g"
    fi
elif grep -qv ' HEAD$' "$temp/releases"; then
    check "there is one baseline: $baseline" false
else
    echo "left out: abidiff with a release, for there is none yet"
fi

# Whether a change is a difference: the interface of today is the one before.
changed() { # WHAT FILE EXPRESSION [FILE EXPRESSION]
    tree=$temp/changed
    copy_interface "$SRC_DIR" "$tree"
    what=$1
    shift
    while test $# -gt 0; do
        cp "$tree/$1" "$temp/before"
        sed -i "$2" "$tree/$1"
        cmp -s "$temp/before" "$tree/$1" && echo "$what: $1 is as it was"
        shift 2
    done >"$temp/log"
    rm -f "$temp/changed.so"
    stub "$tree" "$temp/changed.so" >>"$temp/log" 2>&1
    test ! -s "$temp/log" || bad "$what" "$temp/log"
}

breaks() { # WHAT FILE EXPRESSION...
    changed "$@"
    check "$1 is noticed" refuses ': [1-9][0-9]* artifacts* changed' \
        same_interface "$temp/libdreambooth.so" "$temp/changed.so"
}

keeps() { # WHAT FILE EXPRESSION...
    changed "$@"
    check "$1 is an addition" \
        same_interface "$temp/libdreambooth.so" "$temp/changed.so"
}

base=include/dreambooth/base.h
backend=include/dreambooth/backend.h
map=lib/libdreambooth.map
breaks "another parameter" $base 's/_status_name(int status/&, int language/'
breaks "another type of a result" $base \
    's/^const char \(\*dreambooth_version\)/void \1/'
breaks "a removed function" $base 's/^const char \*dreambooth_version(void);//' \
    $map 's/^    dreambooth_version;//'
breaks "another type of a field" $backend \
    's/^    float alpha, beta;/    float alpha; int beta;/'
breaks "another order of fields" $backend 's/lda, ldb, ldc/lda, ldc, ldb/'
breaks "a longer argument struct" $backend \
    's/^} dreambooth_gemm;/    int64_t more;\n&/'
breaks "a slot in between" $backend \
    's/DREAMBOOTH_SLOT(copy, dreambooth_copy);/&\nvoid (*more)(void);/'
keeps "a slot at the end" $backend \
    's/^} dreambooth_backend;/    void (*more)(void);\n&/'
check "a plugin of a release to come runs" run_program "$temp/changed"
keeps "a field of the host at its end" $backend \
    's/^ *const dreambooth_form \*form, size_t size, .*/&\n    void (*more)(void);/'
keeps "a function" $base \
    's/^const char \*dreambooth_version(void);/&\nint dreambooth_more(void);/' \
    $map 's/^    dreambooth_version;/&\n    dreambooth_more;/'

finish
