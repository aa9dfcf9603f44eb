#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Four lists of the public functions must be one: what the headers declare, the
# committed test/symbols.txt, the version script, and what the shared library
# exports. Beside them: every symbol has a version, the archive has no public
# name that the headers lack, and the library has no writable data.

. "$SRC_DIR/test/checks.sh"
here=$SRC_DIR/test
export LC_ALL=C

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
                 $(NF - 2) !~ /^\.data\.rel\.ro/ && $NF !~ /^\.|^__gnu_lto_/ {
                     print $NF
                 }' >"$temp/state"
        same "writable data, where a library has none" "$temp/state" \
            "$temp/none"
        ;;
esac

# The file name tells both: SOVERSION is the version's first number.
sed -n -e 's/^AC_INIT(\[[a-z]*\], \[\([0-9]*\)\..*/\1/p' \
    -e 's/^AC_SUBST(\[SOVERSION\], \[\(.*\)\])/\1/p' "$SRC_DIR/configure.ac" |
    uniq >"$temp/numbers"
check "SOVERSION and the version agree" test "$(wc -l <"$temp/numbers")" -eq 1

# A release to come: 0.1 is out, 0.2 brings a function.
refuses() { # PATTERN COMMAND...
    pattern=$1
    shift
    ! "$@" >"$temp/refused" 2>&1 && grep -Eq -e "$pattern" "$temp/refused"
}

# The lines of a node of the map.
node() { # NODE MAP
    sed -n "/^DREAMBOOTH_$1 {/,/^}/p" "$2"
}

tree=$temp/tree map=$temp/tree/lib/libdreambooth.map
mkdir -p "$tree/build-aux" "$tree/lib" "$tree/test/abi"
cp -R "$SRC_DIR/include" "$tree/"
cp "$SRC_DIR/configure.ac" "$tree/"
cp "$SRC_DIR/build-aux/symbols" "$tree/build-aux/"
chmod -R u+w "$tree"
write() {
    "$tree/build-aux/symbols" --write
}
set_version() {
    sed "s/^AC_INIT(.*/AC_INIT([libdreambooth], [$1])/" \
        "$SRC_DIR/configure.ac" >"$tree/configure.ac"
}
: >"$map"
: >"$tree/test/abi/releases"
set_version 0.1.0
check "a first map" write
cp "$map" "$temp/first"
echo "0.1.0 v0.1.0" >"$tree/test/abi/releases"
check "the same after the release" write
same "an unchanged map" "$temp/first" "$map"
sed 's!^#include "dreambooth/end.h"!int dreambooth_later(void);\n&!' \
    "$SRC_DIR/include/dreambooth/base.h" >"$tree/include/dreambooth/base.h"
check "nothing is added to a release" refuses 'DREAMBOOTH_0.1 is released' write
same "the refused map" "$temp/first" "$map"
set_version 0.2.0
check "a second node" write
node 0.1 "$temp/first" >"$temp/before"
node 0.1 "$map" >"$temp/after"
same "the first node" "$temp/before" "$temp/after"
printf '%s\n' 'DREAMBOOTH_0.2 {' global: '    dreambooth_later;' \
    '} DREAMBOOTH_0.1;' >"$temp/before"
node 0.2 "$map" >"$temp/after"
same "the second node" "$temp/before" "$temp/after"
cp "$map" "$temp/first"
check "the same again" write
same "the map written twice" "$temp/first" "$map"
sed 's!^void dreambooth_context_free(.*!!' \
    "$SRC_DIR/include/dreambooth/context.h" \
    >"$tree/include/dreambooth/context.h"
check "nothing released goes away" refuses '^    dreambooth_context_free$' write

# What the linker makes of two nodes.
sed 's/.*/int &(void) { return 0; }/' "$tree/test/symbols.txt" >"$temp/stub.c"
# shellcheck disable=SC2086 # lists of words
check "two nodes are linked" $CC $CFLAGS $LDFLAGS -w -shared \
    -fPIC "-Wl,--version-script=$map" -o "$temp/stub.so" "$temp/stub.c"
"$NM" -D --defined-only "$temp/stub.so" |
    awk '$2 != "A" { print $3 }' >"$temp/versioned"
check "the new name has the new version" \
    grep -qx 'dreambooth_later@@DREAMBOOTH_0.2' "$temp/versioned"
check "an old one the old" \
    grep -qx 'dreambooth_version@@DREAMBOOTH_0.1' "$temp/versioned"

finish
