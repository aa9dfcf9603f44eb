#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every public header compiles alone and twice, in C99, C11, C++11 and C++17,
# without a warning, whichever headers stand before it. begin.h and end.h do so
# as a pair.

set -u
passed=0
failed=0

try() { # LANGUAGE COMPILER...
    language=$1
    shift
    # shellcheck disable=SC2086 # headers is a list of words
    if printf '#include "dreambooth/%s"\n' $headers $headers | "$@" \
        "-std=$language" -Wall -Wextra -Wpedantic -Werror -fsyntax-only \
        -I"$SRC_DIR/include" -; then
        passed=$((passed + 1))
    else
        echo "$headers: fails to compile with: $* -std=$language"
        failed=$((failed + 1))
    fi
}

try_all() { # HEADER...
    headers=$*
    for language in c99 c11; do
        # shellcheck disable=SC2086 # CC may be of several words
        try $language $CC -x c
    done
    test -n "${CXX-}" || return 0
    for language in c++11 c++17; do
        # shellcheck disable=SC2086
        try $language $CXX -x c++
    done
}

test -n "${CXX-}" || echo "left out: C++, for want of a compiler"
for header in "$SRC_DIR"/include/dreambooth/*.h; do
    case ${header##*/} in
        begin.h) try_all base.h begin.h end.h ;;
        end.h) ;;
        *) try_all "${header##*/}" ;;
    esac
done

echo "$passed passed, $failed failed"
test $failed -eq 0
