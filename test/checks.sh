# SPDX-License-Identifier: MIT
#
# What the scripts under test/ share, which source it: a folder of their own in
# $temp, the numbers of checks, and the closing line that run-tests reads.

set -u
temp=$(mktemp -d) || exit 1
trap 'chmod -R u+w "$temp"; rm -rf "$temp"' EXIT
trap 'exit 130' INT TERM
passed=0
failed=0

good() {
    passed=$((passed + 1))
}

bad() { # WHAT [LOG]
    echo "failed: $1"
    sed 's/^/    /' "${2-$temp/log}"
    failed=$((failed + 1))
}

check() { # WHAT COMMAND...
    what=$1
    shift
    if "$@" >"$temp/log" 2>&1; then
        good
    else
        bad "$what"
    fi
}

missing() { # WHAT FOR-WANT-OF; in CI nothing may be missing
    echo "left out: $1, for want of $2"
    test "${CI-}" != true || failed=$((failed + 1))
}

finish() {
    echo "$passed passed, $failed failed"
    test $failed -eq 0
    exit
}
