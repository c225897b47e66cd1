#!/bin/sh
# SPDX-License-Identifier: MIT
# Where blocks and libhakmem's own structures lie: nobody can foretell it, unless the kernel was told to place every run
# alike.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
need_interposition
need_shared
[ -z "$SANITIZER_CFLAGS" ] || skip_all "a sanitizer chooses the places"
emulated && skip_all "the emulator chooses the places"
# shellcheck source-path=SCRIPTDIR source=alone.subr
. "$tests/alone.subr"
compile_c -o "$scratch/places" "$tests/alone/places.c" || exit 99

places() { LD_PRELOAD="$library" "$@" "$scratch/places"; }

# Each of the bits differs in half of the runs: of 40 runs all, for 2 million million tries but one.
for _ in $(seq 40); do places; done >"$scratch/places.out"
awk 'function differ(a, b,    i) {
        for (i = 1; i <= 23; i++) { if (a % 2 != b % 2) seen[column, i] = 1; a = int(a / 2); b = int(b / 2) }
    }
    NR == 1 { first[1] = $1; first[2] = $2 }
    { for (column = 1; column <= 2; column++) differ(first[column], $column) }
    END { for (i = 1; i <= 23; i++) { blocks += seen[1, i]; own += seen[2, i] } print blocks, own }' \
    "$scratch/places.out" >"$scratch/bits"
read -r blocks own <"$scratch/bits"
[ "$blocks" -ge 22 ]
ok $? "blocks: $blocks bits of an address differ from run to run"
[ "$own" -ge 20 ]
ok $? "its own structures: $own bits differ"
if have setarch && setarch "$(uname -m)" -R true 2>/dev/null; then
    first=$(places setarch "$(uname -m)" -R)
    second=$(places setarch "$(uname -m)" -R)
    [ -n "$first" ] && [ "$first" = "$second" ]
    ok $? "setarch -R: the same in each run: $first"
else
    skip "setarch -R" "not possible here"
fi
finish
