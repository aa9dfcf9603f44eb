#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The benchmarks run: the smallest of each kind of work, and the comparison with
# PyTorch, with a program in its place that takes its turns and does nothing.

. "$SRC_DIR/test/checks.sh"
bench=$BUILD_DIR/test/bench-run

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
check "nothing is left behind" \
    test -z "$(find "$BUILD_DIR/test" -name 'bench-class-*')"

# Says what PyTorch's side says; each run takes it a second.
cat >"$temp/python" <<'END'
#!/bin/sh
case $2 in
    versions) echo "PyTorch of the test" ; exit ;;
esac
case $* in
    *form=broken*) exit 1 ;;
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
    check "its row" grep -q '^| small model.* ms | 1000.00 s | eager | 0.00 ' \
        "$temp/table"
    check "its machine" grep -q '1 threads.*PyTorch of the test' "$temp/table"
    check "a row that is not there" \
        test "$(compare ROWS=nonsense || echo failed)" = failed
    check "no form that runs" \
        test "$(compare ROWS=sample-f32 FORMS=broken || echo failed)" = failed
else
    missing "the comparison with PyTorch" python3
fi

finish
