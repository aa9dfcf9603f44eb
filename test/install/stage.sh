# SPDX-License-Identifier: MIT
#
# Sourced by the tests that stand on an installed library: installs it as a
# packager would, and lets pkg-config find it where it was staged. Wants temp, a
# folder to work in; sets root, the prefix as it lies in the staging directory.

prefix=/opt/dreambooth
root=$temp/stage$prefix

# Runs make in the directory that was configured, with our prefix, and with an
# rpath even after --disable-rpath: no loader knows of our folders.
make_staged() {
    "$MAKE" -C "$BUILD_DIR/.." --no-print-directory "$@" \
        DESTDIR="$temp/stage" prefix=$prefix exec_prefix=$prefix \
        libdir=$prefix/lib includedir=$prefix/include ENABLE_RPATH=yes
}

# Programs do not know of staging: they get the .pc file with the true prefix.
stage() {
    make_staged install && mkdir -p "$temp/pkgconfig" &&
        sed "s|^prefix=.*|prefix=$root|" "$root/lib/pkgconfig/libdreambooth.pc" \
            >"$temp/pkgconfig/libdreambooth.pc"
}

# A small model with random weights, and photos, in the present directory.
make_model_and_photos() { # MODEL PHOTOS COUNT
    "$SRC_DIR/doc/demo/make-vocabulary.sh" vocabulary &&
        "$root/bin/dreambooth" init "$SRC_DIR/doc/demo/config" \
            --tokenizer vocabulary --seed 5 --out "$1" --quiet &&
        mkdir -p "$2" &&
        "$BUILD_DIR/doc/demo/draw" subject "$2" "$3" 48
}
