#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs as distributions do: into their library folder, with a strict umask,
# with folders that configure was not told of. The command must find its
# library, must not be told where to look when the system knows, and nothing may
# name the folders of the source and the build.

. "$SRC_DIR/test/checks.sh"

install_into() { # STAGE VARIABLE...
    stage=$temp/$1
    shift
    (umask 077 && "$MAKE" -C "$BUILD_DIR/.." --no-print-directory install \
        DESTDIR="$stage" "$@")
}

# Where FILE tells the loader to look.
rpath_of() {
    readelf -d "$1" | sed -n 's/.*R[UN]*PATH.*\[\(.*\)\]/\1/p'
}

readable_by_all() {
    find "$1" ! -type l ! -perm -o=r -o -type d ! -perm -o=x >"$temp/closed"
    cat "$temp/closed"
    test ! -s "$temp/closed"
}

names_none_of() { # TREE FOLDER...
    tree=$1
    shift
    for folder; do
        ! grep -rlaF "$folder" "$tree" || return
    done
}

# As Debian, Fedora and others do.
triplet=$($CC -print-multiarch 2>/dev/null)
libdir=/usr/lib${triplet:+/$triplet}
set -- prefix=/usr exec_prefix=/usr libdir="$libdir" includedir=/usr/include
check "installs into $libdir" install_into system "$@"
root=$temp/system
pc=$root$libdir/pkgconfig/libdreambooth.pc
check "the .pc file is there" test -s "$pc"
check "its libdir" test "$("$PKG_CONFIG" --variable=libdir "$pc")" = "$libdir"
check "its version" test "$("$PKG_CONFIG" --modversion "$pc")" = "$VERSION"
check "readable for all with any umask" readable_by_all "$root/usr"
if command -v readelf >/dev/null; then
    check "no rpath in the command" \
        test -z "$(rpath_of "$root/usr/bin/dreambooth")"
    test "$SHARED" != yes ||
        check "no rpath in the library" \
            test -z "$(rpath_of "$root$libdir/libdreambooth.so.$VERSION")"
else
    echo "left out: rpaths, for want of readelf (binutils)"
fi
if grep -q -e -ffile-prefix-map "$BUILD_DIR/../config.mk"; then
    check "nothing names the folders of source and build" \
        names_none_of "$root" "$SRC_DIR/lib" "$SRC_DIR/src" "$BUILD_DIR/"
else
    echo "left out: names of folders, for want of -ffile-prefix-map"
fi

# A prefix of its own, which is then moved.
set -- prefix=/opt/a exec_prefix=/opt/a libdir=/opt/a/lib64 \
    includedir=/opt/a/include ENABLE_RPATH=yes
check "installs into lib64" install_into own "$@"
mv "$temp/own/opt/a" "$temp/moved"
check "the command runs where it was moved to" env -u LD_LIBRARY_PATH \
    "$temp/moved/bin/dreambooth" --version

finish
