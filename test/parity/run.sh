#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Puts the small set of reference data beside this script through the library,
# with each backend and with one thread and three. `make parity DIR=folder`
# does so with any other folder of that form.

set -u
temp=$(mktemp -d) || exit 1
trap 'rm -rf "$temp"' EXIT
passed=0
failed=0

for backend in blas reference; do
    for threads in 1 3; do
        "$BUILD_DIR/test/parity-run" --backend $backend --threads $threads \
            "$SRC_DIR/test/parity/data" >"$temp/log" 2>&1
        status=$?
        counts=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' \
            "$temp/log")
        # shellcheck disable=SC2086 # two words, or none
        set -- $counts
        if test $# -ne 2 || { test $status -ne 0 && test "$2" -eq 0; }; then
            set -- 0 1
            cat "$temp/log"
        fi
        passed=$((passed + $1))
        failed=$((failed + $2))
        grep '^FAIL' "$temp/log" | sed "s/^/$backend, $threads threads: /"
    done
done

echo "$passed passed, $failed failed"
test $failed -eq 0
