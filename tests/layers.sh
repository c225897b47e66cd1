#!/bin/sh
# SPDX-License-Identifier: MIT
# The folders of src/ are layers, in the order of src/README: a file includes and calls its own folder and those below.
# Each internal header compiles by itself.  And no variable lies in the cache line of a lock that all threads share.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
src=$top_srcdir/src

# FILE SYMBOL, and why it is right:
#   init.c holds the library's constructor, as it lies in an object that each static link takes; what writes statistics
#   at exit and on a signal has to be told then.
exceptions='process/init.c stats/stats.h
process/init hak_dump_start'

layers=$(sed -n 's|^  \([a-z]*\)/ .*|\1|p' "$src/README")
[ "$(find "$src" -mindepth 2 -name '*.[ch]' | sed "s|^$src/||; s|/.*||" | sort -u)" = "$(echo "$layers" | sort)" ]
ok $? "src/README has the folders of src: $(echo "$layers" | tr '\n' ' ')"

# upward: of lines "LAYER/FILE LAYER/..." those whose second layer is above the first.
upward()
{
    awk -v layers="$layers" -v exceptions="$exceptions" 'BEGIN {
        n = split(layers, names, /[ \n]+/)
        for (i = 1; i <= n; i++) rank[names[i]] = i
        n = split(exceptions, lines, "\n")
        for (i = 1; i <= n; i++) known[lines[i]] = 1
    }
    {
        from = $1; to = $2
        sub("/.*", "", from); sub("/.*", "", to)
        if (!(from in rank) || !(to in rank)) next
        name = NF > 2 ? $3 : $2
        if (rank[to] > rank[from] && !(($1 " " name) in known)) print $1 ": " name " of " to "/"
    }'
}

(cd "$src" && grep -H '^#include "[a-z]*/' ./*/*.[ch]) | sed 's|^\./||; s|:#include "| |; s|".*||' >"$scratch/includes"
upward <"$scratch/includes" >"$scratch/up"
[ "$(wc -l <"$scratch/includes")" -gt 200 ] && [ ! -s "$scratch/up" ]
ok $? "no file includes a header of a folder above"
note "$scratch/up"

# The objects of the core library, which have all of the allocator and none of the libc names.
: >"$scratch/defined"
: >"$scratch/needed"
for object in "$top_builddir"/src/*/libhakmemcore_la-*.o "$top_builddir"/src/*/.libs/libhakmemcore_la-*.o; do
    [ -e "$object" ] || continue
    layer=${object#"$top_builddir/src/"}
    layer=${layer%%/*}
    name=$(basename "$object" .o)
    nm "$object" 2>/dev/null | awk -v at="$layer/${name#*-}" '
        NF == 3 && $2 ~ /[A-TV-Z]/ { print $3, at >>defined }
        $1 == "U" { print at, $2 >>needed }' defined="$scratch/defined" needed="$scratch/needed"
done
if [ -s "$scratch/defined" ]; then
    awk 'NR == FNR { at[$1] = $2; next } $2 in at { print $1, at[$2], $2 }' \
        "$scratch/defined" "$scratch/needed" | sort -u >"$scratch/calls"
    upward <"$scratch/calls" >"$scratch/up"
    [ "$(wc -l <"$scratch/calls")" -gt 200 ] && [ ! -s "$scratch/up" ]
    ok $? "no object needs a symbol of a folder above"
    note "$scratch/up"
else
    skip "no object needs a symbol of a folder above" "no nm, or no static objects"
fi

: >"$scratch/alone"
for header in "$src"/*/*.h; do
    # The body of the functions, for each set of names: no header of its own.
    case $header in */api/family.h) continue ;; esac
    # shellcheck disable=SC2086
    echo "#include \"${header#"$src"/}\"" | $CC -std=gnu11 -D_GNU_SOURCE $HAK_CPPFLAGS -DHAKMEM_BUILD -I"$src" \
        -I"$top_srcdir/include" -I"$top_builddir" -I"$top_builddir/include" -fsyntax-only -x c - 2>>"$scratch/alone" ||
        echo "$header" >>"$scratch/alone"
done
[ ! -s "$scratch/alone" ]
ok $? "each internal header compiles by itself"
note "$scratch/alone"

if nm -n -S -t d "$library" >"$scratch/variables" 2>/dev/null && grep -q ' hak_super_lock$' "$scratch/variables"; then
    awk '$3 ~ /^[bdBD]$/ { first = int($1 / 64); last = int(($1 + $2 - 1) / 64)
            if ($4 ~ /^hak_.*_lock$/) { lock[first] = $4; locks++ }
            names[first] = names[first] " " $4; if (last > first) names[last] = names[last] " " $4 }
        END { for (line in lock) if (names[line] != " " lock[line]) print names[line]; exit locks < 7 }' \
        "$scratch/variables" >"$scratch/shared" && [ ! -s "$scratch/shared" ]
    ok $? "each lock has a cache line of its own"
    note "$scratch/shared"
else
    skip "each lock has a cache line of its own" "no shared library with symbols"
fi
finish
