#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Measures everything and puts the tables into a page, between lines such as
# <!-- kernels --> and <!-- end of kernels -->. `make performance` runs it on
# doc/performance.md; an hour or so of a machine that does nothing else.
#
#     performance.sh PAGE

set -eu
page=$1
bench=$BUILD_DIR/test/bench-run
work=$BUILD_DIR/performance
mkdir -p "$work"
unset OPENBLAS_CORETYPE

# Replaces what stands between the lines of NAME by FILE.
insert() { # NAME FILE
    grep -q "^<!-- $1 -->$" "$page" && grep -q "^<!-- end of $1 -->$" "$page" ||
        { echo "performance: $page has no place for $1" >&2; return 1; }
    awk -v name="$1" -v file="$2" '
        $0 == "<!-- end of " name " -->" { inside = 0; print "" }
        !inside { print }
        $0 == "<!-- " name " -->" {
            inside = 1
            print ""
            while ((getline line < file) > 0)
                print line
        }' "$page" >"$work/page" && cp "$work/page" "$page"
}

# Shows as it goes on what it writes into FILE.
tables() { # NAME ARGUMENT...
    name=$1
    shift
    BENCH_OUT=$work/$name.md "$bench" "$@" && insert "$name" "$work/$name.md"
}

threads=${THREADS-0}
backend=${BACKEND-simd}
tables float32 "$threads" "$backend" "${PART-}" float32
tables bfloat16 "$threads" "$backend" "${PART-kernels+steps+profile}" bfloat16
status=0
BENCH_OUT=$work/peer.md "$SRC_DIR/test/bench/peer/compare.py" || status=$?
insert peer "$work/peer.md"
exit $status
