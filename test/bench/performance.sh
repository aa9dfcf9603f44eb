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

# What the machine would do without tiles of bfloat16 is a table, too.
places="float32 bfloat16 peer"
if grep -qs amx_bf16 /proc/cpuinfo; then
    places="$places peer-vectors"
fi
# Said before an hour is spent on it.
for name in $places; do
    grep -q "^<!-- $name -->$" "$page" &&
        grep -q "^<!-- end of $name -->$" "$page" ||
        { echo "performance: $page has no place for $name" >&2; exit 1; }
done

# Replaces what stands between the lines of NAME by FILE.
insert() { # NAME FILE
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

# Side by side with PyTorch. A row that cannot be had is told at the end.
compare() { # NAME BACKEND ROWS
    BENCH_OUT=$work/$1.md BACKEND=$2 ROWS=$3 \
        "$SRC_DIR/test/bench/peer/compare.py" || status=$?
    insert "$1" "$work/$1.md"
}

compare peer "$backend" "${ROWS-}"
case $places in
    *peer-vectors)
        compare peer-vectors simd-avx512 "${VECTOR_ROWS-unet-f32 unet2-f32
            vae-f32 text-f32 step256-f32 small8-f32 small24-f32 sample-f32}" ;;
esac
exit $status
