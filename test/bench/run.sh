#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The benchmarks run: the smallest of each kind of work, and the comparison with
# PyTorch, with a program in its place that takes its turns and does nothing.

. "$SRC_DIR/test/checks.sh"
bench=$BUILD_DIR/test/bench-run
export BENCH_QUICK=yes

# The words of a step, run twice.
worker() {
    # shellcheck disable=SC2086 # a list of words
    printf 'run\nrun\n' | "$bench" worker model=small64 side=32 backend=blas \
        threads=1 $1 >"$temp/out" 2>"$temp/log" &&
        test "$(grep -c '^seconds 0*[0-9.]*$' "$temp/out")" -eq 2 &&
        grep -q '^flops [1-9]' "$temp/out" && grep -q '^peak [1-9]' "$temp/out"
}

for step in "kind=unet batch=2" "kind=unet width=32" "kind=vae" "kind=text" \
    "kind=train prior=yes" "kind=train text_encoder=yes" \
    "kind=sample steps=2"; do
    check "a step: $step" worker "$step"
done
check "steps in bfloat16" \
    worker "kind=sample steps=2 precision=bfloat16 weights=bfloat16"
check "a step in little memory" \
    worker "kind=train optimizer=adamw-8bit gradients=bfloat16
        weights=bfloat16 memory_limit=100000000 prior=yes"
check "nothing is left behind" \
    test -z "$(find "$BUILD_DIR/test" -name 'bench-class-*')"

# A table whose rows have numbers; what goes into the file is what is shown.
table() { # ROWS ARGUMENT...
    rows=$1
    shift
    BENCH_OUT=$temp/table "$bench" 1 "$@" >"$temp/out" 2>"$temp/log" &&
        test "$(grep -Ec "^\| ($(echo "$2" | tr + '|')).* [0-9]" "$temp/out")" \
            -eq "$rows" &&
        ! grep -i -e '[^a-z]nan' -e '[^a-z]inf' "$temp/out" &&
        cmp "$temp/out" "$temp/table"
}

check "what the machine can do" table 1 blas "sum of two arrays"
check "kernels, products" table 1 simd "gemm 77"
check "kernels, in bfloat16" table 1 simd "gemm 77" bfloat16
check "kernels, passes" table 1 blas "layer norm"
check "whole steps" table 1 blas "small model, sampling"
profile() {
    "$bench" 1 blas "profile small model, sampling" >"$temp/out" &&
        grep -q '^| conv2d_forward  *|  *[1-9]' "$temp/out" &&
        grep -q '^| between kernels .* [0-9.]*%' "$temp/out" &&
        ! grep -q '^| small model' "$temp/out"
}
check "a profile" profile
no_vocabulary() {
    ! BUILD_DIR=$temp "$bench" 1 blas "steps small" 2>"$temp/log" &&
        grep -q 'bench-vocabulary: "make tests" makes it' "$temp/log"
}
check "what makes a vocabulary is said" no_vocabulary
check "several rows" table 2 blas "layer norm+silu 4096"

# A library that is not what it is called is as good as none.
# shellcheck disable=SC2086
echo 'int nothing;' >"$temp/empty.c" && $CC -shared -fPIC $CFLAGS $LDFLAGS \
    -o "$temp/libdnnl.so.2" "$temp/empty.c" >"$temp/log" 2>&1 || bad "a library"
check "without oneDNN" env LD_LIBRARY_PATH="$temp" "$bench" 1 blas oneDNN
check "nothing of it" test -z "$(LD_LIBRARY_PATH=$temp "$bench" 1 blas oneDNN |
    grep 'beside oneDNN')"

# Says what PyTorch's side says; each run takes it a second.
cat >"$temp/python" <<'END'
#!/bin/sh
case $2 in
    versions) echo "PyTorch of the test" ; exit ;;
esac
case $* in
    *form=broken*) exit 1 ;;
    *form=slow*) exec sleep 60 ;;
esac
echo ready
while read -r line; do
    test "$line" = run && echo "seconds 1000.0"
done
echo "peak 1073741824"
END
chmod +x "$temp/python"

compare() { # VARIABLE=VALUE...
    env PYTHONDONTWRITEBYTECODE=1 PEER_PYTHON="$temp/python" BENCH_OUT="$temp/table" THREADS=1 RUNS=1 \
        BUILD_DIR="$temp/build" "$@" \
        "$SRC_DIR/test/bench/peer/compare.py" >"$temp/out" 2>"$temp/log"
}

if command -v python3 >/dev/null 2>&1; then
    mkdir -p "$temp/build" && ln -s "$BUILD_DIR/test" "$temp/build/test"
    check "a comparison" compare ROWS=sample-f32 FORMS="broken eager"
    check "its row" grep -q '^| small model.* m*s | 1000.00 s | eager | 0.00 ' \
        "$temp/table"
    check "its machine" grep -q '1 threads.*PyTorch of the test' "$temp/table"
    check "a form that takes too long is left" compare ROWS=sample-f32 \
        FORMS="slow eager" FORM_LIMIT=0.1
    check "the other is taken" grep -q ' | eager | ' "$temp/table"
    check "a row that is not there" \
        test "$(compare ROWS=nonsense || echo failed)" = failed
    check "no form that runs" \
        test "$(compare ROWS=sample-f32 FORMS=broken || echo failed)" = failed
    # The page gets its tables, and keeps what is around them, twice over.
    for name in float32 bfloat16 peer peer-vectors; do
        printf '%s\n\n' "before $name" "<!-- $name -->" \
            "<!-- end of $name -->" "after $name"
    done >"$temp/page"
    perform() {
        env PYTHONDONTWRITEBYTECODE=1 PEER_PYTHON="$temp/python" THREADS=1 \
            RUNS=1 BUILD_DIR="$temp/build" BACKEND=blas PART="layer norm" \
            ROWS=sample-f32 VECTOR_ROWS=sample-f32 FORMS=eager \
            "$SRC_DIR/test/bench/performance.sh" "$temp/page"
    }
    # Two tables of kernels and one beside PyTorch; where there are tiles of
    # bfloat16, another one without them.
    rows=3
    ! grep -qs amx_bf16 /proc/cpuinfo || rows=4
    check "the page" perform
    check "the page once more" perform
    check "its tables" test "$(grep -c -e '^| layer norm ' \
        -e '^| small model' "$temp/page")" -eq "$rows"
    check "what is around them" test "$(grep -c -e '^before ' -e '^after ' \
        -e '^<!-- ' "$temp/page")" -eq 16
    no_place() {
        echo "before" >"$temp/page" && ! perform 2>"$temp/log" &&
            grep -q 'has no place for float32' "$temp/log"
    }
    check "a page without places" no_place
else
    missing "the comparison with PyTorch" python3
fi

finish
