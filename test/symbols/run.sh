#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Four lists of the public functions must be one: what the headers declare, the
# committed test/symbols.txt, the version script, and what the shared library
# exports. Beside them: every symbol has a version, the archive has no public
# name that the headers lack, and the library has no writable data.

set -u
here=$SRC_DIR/test
temp=$(mktemp -d) || exit 1
trap 'rm -rf "$temp"' EXIT
export LC_ALL=C
passed=0
failed=0

same() {
    if diff -u "$2" "$3"; then
        passed=$((passed + 1))
    else
        echo "$1: see above; after a wanted change say make symbols"
        failed=$((failed + 1))
    fi
}

"$SRC_DIR/build-aux/symbols" >"$temp/headers"
same "test/symbols.txt and the headers differ" "$here/symbols.txt" \
    "$temp/headers"

sed -n 's/^ *\(dreambooth_[a-z0-9_]*\);$/\1/p' \
    "$SRC_DIR/lib/libdreambooth.map" | sort >"$temp/map"
same "lib/libdreambooth.map and the headers differ" "$temp/map" "$temp/headers"

: >"$temp/none"
if test "$SHARED" = yes; then
    "$NM" -D --defined-only "$BUILD_DIR/libdreambooth.so" |
        awk '$2 != "A" { print $3 }' | sort >"$temp/versioned"
    sed 's/@.*//' "$temp/versioned" >"$temp/exported"
    same "the library's exports and the headers differ" "$temp/exported" \
        "$temp/headers"
    grep -v '@@DREAMBOOTH_[0-9.]*$' "$temp/versioned" >"$temp/unversioned"
    same "exports without a version" "$temp/unversioned" "$temp/none"
else
    echo "left out: the exports, for want of a shared library"
fi

# In the archive hidden names can still clash with a program's own.
"$NM" -g --defined-only "$BUILD_DIR/libdreambooth.a" |
    awk 'NF == 3 && $3 !~ /^(db_|dreambooth_)/ { print $3 }' |
    sort >"$temp/foreign"
case $CFLAGS in
    *-fsanitize*) ;;
    *)
        same "archive names without db_ or dreambooth_" "$temp/foreign" \
            "$temp/none"
        objdump -t "$BUILD_DIR/libdreambooth.a" |
            awk 'NF > 3 && $(NF - 2) ~ /^(\.t?(bss|data)|\*COM\*)/ &&
                 $(NF - 2) !~ /^\.data\.rel\.ro/ && $NF !~ /^\./ {
                     print $NF
                 }' >"$temp/state"
        same "writable data, where a library has none" "$temp/state" \
            "$temp/none"
        ;;
esac

echo "$passed passed, $failed failed"
test $failed -eq 0
