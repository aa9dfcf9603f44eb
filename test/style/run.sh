#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The style scripts can fail: each rule is broken once, in a tree of one file,
# and the script must say so; a clean file must pass.

set -u
temp=$(mktemp -d) || exit 1
trap 'rm -rf "$temp"' EXIT
mkdir -p "$temp/build-aux" "$temp/lib/base" "$temp/lib/text" "$temp/lib/file" \
    "$temp/lib/kernel" "$temp/src" "$temp/include/dreambooth" "$temp/build"
cp "$SRC_DIR/build-aux/check-style" "$SRC_DIR/build-aux/check-includes" \
    "$temp/build-aux"
cp "$SRC_DIR/.clang-format" "$temp"
for header in base/base.h text/text.h file/file.h base/base_int.h; do
    printf '/* SPDX-License-Identifier: MIT */\n/* Why. */\n' \
        >"$temp/lib/$header"
done
: >"$temp/build/passed"
: >"$temp/build/failed"

# SCRIPT FILE PATTERN: the text on standard input, as FILE behind the opening,
# must make the script print PATTERN and fail; without a pattern it must pass.
expect() {
    script=$1 file=$2 pattern=$3
    {
        test "${opening-yes}" = yes &&
            printf '/* SPDX-License-Identifier: MIT */\n/* Why. */\n'
        cat
    } >"$temp/$file"
    "$temp/build-aux/$script" >"$temp/build/said" 2>&1
    status=$?
    rm "$temp/$file"
    if test -z "$pattern" && test $status -eq 0; then
        echo "$file" >>"$temp/build/passed"
    elif test -n "$pattern" && test $status -ne 0 &&
        grep -q "^$file:.*$pattern" "$temp/build/said"; then
        echo "$file" >>"$temp/build/passed"
    else
        echo "$script on $file: expected \"$pattern\", but it said"
        cat "$temp/build/said"
        echo "$file" >>"$temp/build/failed"
    fi
}

style() {
    expect check-style lib/base/x.c "$1"
}

echo 'static const int x = 1;' | style ''
printf 'int x(void);\t/* tab */\n' | style 'tab'
printf 'int x(void); \n' | style 'blanks at the end'
printf 'int x(void);' | style 'no newline'
printf '/* %080d */\n' 0 | style '80 columns'
printf '/* TO%s later */\n' DO | style 'instead of doing it'
echo 'int x(void);' | opening=no style 'no SPDX'
printf '/* SPDX-License-Identifier: MIT */\nint x(void);\n' |
    opening=no style 'no opening comment'
printf 'void x(void)\n{\n    abort();\n}\n' | style 'abort() is not'
printf 'void *x(void)\n{\n    return stderr;\n}\n' | style 'stderr is not'
printf '/* abort(); */\nconst char *x = "abort()";\n' | style ''
echo 'static int x;' | style 'outlives'
echo 'all:' | opening=no expect check-style Makefile 'no SPDX'
printf '# SPDX-License-Identifier: MIT\nall:\n' |
    opening=no expect check-style Makefile ''
echo 'x = 1' | opening=no expect check-style src/x.lua 'no SPDX'
echo '{}' | opening=no expect check-style src/x.json ''
echo 'static const char *x[] = {"a"};' | style 'outlives'
echo 'static const char *const x[] = {"a"};' | style ''
{
    printf 'void x(void)\n{\n'
    yes '    x();' | head -n 60
    printf '}\n'
} | style 'x() has 62 lines'
if command -v clang-format >/dev/null &&
    clang-format --version | grep -q 'version 14'; then
    echo 'int  x(void);' | style 'clang-format'
fi

includes() { # FILE INCLUDE PATTERN
    echo "#include \"$2\"" | expect check-includes "$1" "$3"
}

includes lib/text/x.c base/base.h ''
includes lib/text/x.c text/text.h ''
includes lib/base/x.c text/text.h 'does not stand on text'
includes lib/text/x.c file/file.h 'does not stand on file'
includes lib/kernel/x.c text/text.h 'does not stand on text'
includes lib/text/x.c base/base_int.h 'for lib/base alone'
includes lib/text/x.c base/none.h 'no such header'
includes src/x.c base/base.h 'not a public header'
echo '#include <dreambooth/none.h>' |
    expect check-includes src/x.c 'not a public header'
echo '#include <dreambooth/none.h>' |
    expect check-includes lib/base/x.c 'written in quotes'
echo 'int x(void);' | expect check-includes lib/x.c 'in no floor'

# Counted in files, for the ends of pipelines are processes of their own.
echo "$(wc -l <"$temp/build/passed") passed, $(wc -l <"$temp/build/failed") failed"
test ! -s "$temp/build/failed"
