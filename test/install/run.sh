#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs into a staging directory and does what a program that uses the
# library would: each example in doc/examples is compiled with nothing but what
# pkg-config says, in C11 and one program in C++17, against the shared and the
# static library. Then uninstalls and looks whether anything is left.

set -u
temp=$(mktemp -d) || exit 1
trap 'rm -rf "$temp"' EXIT
passed=0
failed=0

check() {
    what=$1
    shift
    if "$@" >"$temp/log" 2>&1; then
        passed=$((passed + 1))
    else
        echo "failed: $what"
        sed 's/^/    /' "$temp/log"
        failed=$((failed + 1))
    fi
}

# Runs make in the directory that was configured, with our prefix.
prefix=/opt/dreambooth
make_staged() {
    "$MAKE" -C "$BUILD_DIR/.." --no-print-directory "$@" \
        DESTDIR="$temp/stage" prefix=$prefix exec_prefix=$prefix \
        libdir=$prefix/lib includedir=$prefix/include
}

check "make install" make_staged install
root=$temp/stage$prefix
export PKG_CONFIG_PATH="$root/lib/pkgconfig"
export LD_LIBRARY_PATH="$root/lib${LD_LIBRARY_PATH+:$LD_LIBRARY_PATH}"

# pkg-config with the staged tree in place of the prefix.
package() {
    "$PKG_CONFIG" --define-variable=prefix="$root" "$@" libdreambooth
}

check "pkg-config --validate" package --validate
check "pkg-config --modversion" test "$(package --modversion)" = "$VERSION"

# A second library directory has the archive alone, for linking statically.
mkdir -p "$temp/static"
cp "$root/lib/libdreambooth.a" "$temp/static/" 2>/dev/null

compile() { # OUTPUT SOURCE COMPILER-AND-FLAGS...
    output=$1 source=$2
    shift 2
    # shellcheck disable=SC2046,SC2086 # lists of words
    "$@" $CFLAGS -Wall -Wextra -Werror -o "$output" "$source" \
        $(package --cflags --libs) $LDFLAGS
}

# What links the archive. Debian's OpenBLAS asks for Fortran's library when
# linked statically, which its package does not bring: then what configure found.
echo 'int main(void) { return 0; }' >"$temp/empty.c"
# shellcheck disable=SC2046,SC2086 # lists of words
if $CC $CFLAGS -o "$temp/empty" "$temp/empty.c" -L"$temp/static" \
    $(package --static --libs) $LDFLAGS >/dev/null 2>&1; then
    static_libs=$(package --static --libs)
else
    test "$STATIC" = yes &&
        echo "left out: pkg-config --static, whose libraries are not all here"
    static_libs="-ldreambooth $DEPENDENCY_LIBS"
fi

compile_static() {
    output=$1 source=$2
    shift 2
    # shellcheck disable=SC2046,SC2086
    "$@" $CFLAGS -Wall -Wextra -Werror -o "$output" "$source" \
        $(package --cflags) -L"$temp/static" $static_libs $LDFLAGS
}

# The program "version.EXTENSION" for both languages.
cat >"$temp/version.c" <<'END'
#include <stdio.h>
#include <string.h>

#include <dreambooth/base.h>

int main(int argc, char **argv)
{
    puts(dreambooth_version());
    return argc != 2 || strcmp(argv[1], dreambooth_version()) != 0;
}
END
cat >"$temp/version.cc" <<'END'
#include <string>

END
for header in "$root"/include/dreambooth/*.h; do
    echo "#include <dreambooth/${header##*/}>" >>"$temp/version.cc"
done
cat >>"$temp/version.cc" <<'END'

int main(int argc, char **argv)
{
    return argc != 2 || std::string(argv[1]) != dreambooth_version();
}
END

try_all() { # KIND COMPILE-FUNCTION
    kind=$1 how=$2
    # shellcheck disable=SC2086 # CC may be of several words
    check "C11, $kind" "$how" "$temp/version-c" "$temp/version.c" $CC -std=c11
    check "C11 program runs, $kind" "$temp/version-c" "$VERSION"
    if test -n "${CXX-}"; then
        # shellcheck disable=SC2086
        check "C++17, $kind" "$how" "$temp/version-cc" "$temp/version.cc" \
            $CXX -std=c++17
        check "C++17 program runs, $kind" "$temp/version-cc" "$VERSION"
    else
        echo "left out: C++17, for want of a compiler"
    fi
    for example in "$SRC_DIR"/doc/examples/*.c; do
        test -f "$example" || continue
        name=$(basename "$example" .c)
        # shellcheck disable=SC2086
        check "doc/examples/$name.c, $kind" "$how" "$temp/$name" "$example" \
            $CC -std=c11
        # Without arguments an example says how it is used, or does its work.
        check "doc/examples/$name starts, $kind" starts "$temp/$name"
    done
}

# Any end but by a signal or for want of a library is a start.
starts() {
    (cd "$temp" && "$1" </dev/null)
    status=$?
    test $status -lt 126
}

test "$SHARED" = yes && try_all shared compile
if test "$STATIC" = yes; then
    saved=$LD_LIBRARY_PATH
    unset LD_LIBRARY_PATH
    try_all static compile_static
    export LD_LIBRARY_PATH="$saved"
fi

if test -x "$root/bin/dreambooth"; then
    unset LD_LIBRARY_PATH
    check "the installed command runs" "$root/bin/dreambooth" --version
fi

check "make uninstall" make_staged uninstall
find "$temp/stage" ! -type d >"$temp/left"
check "nothing is left: $(cat "$temp/left")" test ! -s "$temp/left"

echo "$passed passed, $failed failed"
test $failed -eq 0
