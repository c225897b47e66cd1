#!/bin/sh
# SPDX-License-Identifier: MIT
# The experiment that the original profiled by hand, as one command: `make profile-seed`.
#
# Three reports: random mixed with 400 slots and seed 1 under the standard and the minimal build of libhakmem, glibc and
# every other allocator that is installed; the program with the minimal build linked into it, as the original had; and
# the original's own figures, judged by the same thresholds.  The original had 200 million iterations.  The default here
# is fewer: the pattern does not change with time, and without hardware counters each iteration is simulated.
#
# Variables, which make sets: srcdir, CC, CFLAGS, LIBRARY (libhakmem.so of this build), OUT (a directory for the
# reports), ITERATIONS, RUNS.  The working directory is the build tree.
set -eu

: "${srcdir:?}" "${LIBRARY:?}" "${OUT:=profile-seed}" "${ITERATIONS:=20000000}" "${RUNS:=7}"
: "${CC:=cc}" "${CFLAGS:=-O2 -g}" "${MAKE:=make}"
build=$(pwd)
source=$(cd "$srcdir" && pwd)
fixtures=$source/profile/tests/fixtures

say()
{
    printf 'profile-seed: %s\n' "$*" >&2
}

# The second build, beside this one; made once, and again when the sources change.
minimal=$build/profile-seed.minimal
mkdir -p "$minimal"
if ! [ -f "$minimal/Makefile" ]; then
    say "configuring the minimal build in $minimal"
    (cd "$minimal" && "$source/configure" --quiet --enable-minimal CC="$CC" CFLAGS="$CFLAGS")
fi
say "making the minimal build"
(cd "$minimal" && "$MAKE" -s src/libhakmem.la bench/random_mixed_static >&2)

profile()
{
    HAKMEM_LIBRARY=$LIBRARY HAKMEM_EXEC_PATH=$build/profile "$build/tools/hakmem" profile "$@"
}

mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
say "standard and minimal build, and the peers"
(cd "$build/bench" && profile --runs "$RUNS" --against "minimal=$minimal/src/.libs/libhakmem.so.0,all" \
    --out "$OUT/shared" -- ./random_mixed "$ITERATIONS" 400 1)
say "the minimal build linked statically"
(cd "$minimal/bench" && profile --runs "$RUNS" --ops "$ITERATIONS" \
    --out "$OUT/static-minimal" -- ./random_mixed_static "$ITERATIONS" 400 1)
say "the original's figures"
(cd "$fixtures" && profile --replay seed-perf-stat.txt --report seed-perf-report.txt --ops 200000000 \
    --out "$OUT/original")
say "reports are in $OUT"
