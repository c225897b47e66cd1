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

# What structures of the C library, such as FILE, have inside is not ours to promise, and differs between its releases:
# of them it is on record only that they are there.
without_others()
{
    awk -v q="'" '
        /^ *<class-decl / && !/\/>$/ && $0 !~ " name=" q "hakmem_" {
            sub(/ size-in-bits=[^ ]*/, "")
            sub(/ id=/, " is-declaration-only=" q "yes" q "&")
            sub(/>$/, "/>")
            print
            skipped = 1
        }
        !skipped
        /<\/class-decl>/ { skipped = 0 }'
}

if [ "${1-}" = --write ]; then
    abidw --exported-interfaces-only --type-id-style hash --headers-dir "$top_srcdir/include" --no-corpus-path \
        --no-comp-dir-path --no-show-locs --no-parameter-names "$library" |
        sed "s|path='[^']*/src/|path='src/|" | without_others >"$scratch/new" && [ -s "$scratch/new" ] || exit 1
    mv "$scratch/new" "$baseline"
    echo "$baseline"
    exit 0
fi

[ -e "$baseline" ] || skip_all "no interface of $architecture is on record"
# Not with --headers-dir2: of types without a location, as they are on record, it takes all for private.
abidiff --no-added-syms "$baseline" "$library" >"$scratch/difference" 2>&1
status=$?
ok $status "what the last release had is as it was"
[ $status -eq 0 ] || note "$scratch/difference" 100
! grep "^ *<class-decl .*[^/]>\$" "$baseline" | grep -v " name='hakmem_" >"$scratch/others"
ok $? "nothing is on record of what the C library's structures have inside"
note "$scratch/others"
# As if the statistics had had another member in front before, and been larger.
sed "/<class-decl name='hakmem_stats' /,/<\/class-decl>/{
    s/size-in-bits='[0-9]*'/size-in-bits='64000'/
    s/layout-offset-in-bits='\([0-9]*\)'/layout-offset-in-bits='1\1'/
}" "$baseline" >"$scratch/other"
! cmp -s "$baseline" "$scratch/other" && ! abidiff --no-added-syms "$scratch/other" "$library" >"$scratch/found" 2>&1
ok $? "a structure that changes is noticed"
# By how much libtool-version has to rise is for the release; that it must is for now.
abidiff "$baseline" "$library" 2>/dev/null | sed -n 's/.*\[A\] /# new: /p'
finish
