#!/bin/sh
# SPDX-License-Identifier: MIT
# A program that was linked with the last release runs with this library: nothing that abi/ARCHITECTURE.abi describes
# is gone or has changed.  `abi.sh --write` writes that file, which doc/ABI.md says when to do.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
need_interposition
need_shared
have abidiff || skip_all "no abidiff"
# shellcheck disable=SC2086
architecture=$($CC -dumpmachine)
baseline=$tests/abi/${architecture%%-*}.abi
readelf --sections --wide "$library" | grep -q '\.debug_info' || skip_all "the library has no debugging information"

if [ "${1-}" = --write ]; then
    abidw --exported-interfaces-only --type-id-style hash --headers-dir "$top_srcdir/include" --no-corpus-path \
        --no-comp-dir-path --no-show-locs --no-parameter-names "$library" |
        sed "s|path='[^']*/src/|path='src/|" >"$scratch/new" && [ -s "$scratch/new" ] || exit 1
    mv "$scratch/new" "$baseline"
    echo "$baseline"
    exit 0
fi

[ -e "$baseline" ] || skip_all "no interface of $architecture is on record"
abidiff --no-added-syms --headers-dir2 "$top_srcdir/include" "$baseline" "$library" >"$scratch/difference" 2>&1
status=$?
ok $status "what the last release had is as it was"
[ $status -eq 0 ] || note "$scratch/difference" 100
# By how much libtool-version has to rise is for the release; that it must is for now.
abidiff --headers-dir2 "$top_srcdir/include" "$baseline" "$library" 2>/dev/null | sed -n 's/.*\[A\] /# new: /p'
finish
