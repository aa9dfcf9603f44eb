#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every public header compiles alone and twice, in C11 and in C++17, without a
# warning, whichever headers stand before it.

set -u
passed=0
failed=0

try() {
    if printf '#include "dreambooth/%s"\n#include "dreambooth/%s"\n' \
        "$name" "$name" | "$@" -Wall -Wextra -Wpedantic -Werror \
        -fsyntax-only -I"$SRC_DIR/include" -; then
        passed=$((passed + 1))
    else
        echo "$name fails to compile with: $*"
        failed=$((failed + 1))
    fi
}

test -n "${CXX-}" || echo "left out: C++17, for want of a compiler"
for header in "$SRC_DIR"/include/dreambooth/*.h; do
    name=${header##*/}
    # shellcheck disable=SC2086 # CC may be of several words
    try $CC -std=c11 -x c
    # shellcheck disable=SC2086
    test -n "${CXX-}" && try $CXX -std=c++17 -x c++
done

echo "$passed passed, $failed failed"
test $failed -eq 0
