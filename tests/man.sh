#!/bin/sh
# SPDX-License-Identifier: MIT
# The header, the list of symbols and the manual pages tell of the same functions; the pages are well-formed.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
header=$top_srcdir/include/hakmem.h
list=$top_srcdir/src/libhakmem.sym
man=$top_srcdir/man

grep '^hakmem_' "$list" | sort >"$scratch/listed"
sed -n '/^ \*\|^\/\*/!s/.*[ *]\(hakmem_[a-z0-9_]*\)(.*/\1/p' "$header" | sort -u >"$scratch/declared"
diff "$scratch/declared" "$scratch/listed" >"$scratch/diff"
ok $? "the header declares what src/libhakmem.sym lists"
note "$scratch/diff"

# Each name of the C library that we replace exists as hakmem_ as well.
grep -v '^hakmem_\|^_Z' "$list" | sed 's/^/hakmem_/' | sort >"$scratch/family"
echo hakmem_version | sort - "$scratch/family" | diff - "$scratch/listed" >"$scratch/diff"
ok $? "each replaced function exists as hakmem_"
note "$scratch/diff"

missing=
while read -r name; do
    [ -e "$man/$name.3" ] || missing="$missing $name"
done <"$scratch/listed"
[ -z "$missing" ]
ok $? "each function has a manual page, or an alias of one${missing:+; these have none:$missing}"

wrong=
for page in "$man"/hakmem_*.3; do
    name=$(basename "$page" .3)
    target=$(sed -n 's/^\.so //p' "$page")
    real=$page
    [ -z "$target" ] || real=$man/$(basename "$target")
    [ -e "$real" ] && grep -q "^\.\(Nm\|Fn\|Fo\) $name\( \|$\)" "$real" || wrong="$wrong $name"
done
[ -z "$wrong" ]
ok $? "each page tells of the function it is found by${wrong:+; not so:$wrong}"

unknown=
for page in "$man"/hakmem_*.3; do
    name=$(basename "$page" .3)
    grep -qx "$name" "$scratch/listed" || unknown="$unknown $name"
done
[ -z "$unknown" ]
ok $? "no page tells of a function that is not there${unknown:+:$unknown}"

if have mandoc; then
    for page in "$man"/*.[0-9]; do
        grep -q '^\.so ' "$page" && continue
        mandoc -Tlint -Wwarning "$page" >"$scratch/lint" 2>&1
        [ ! -s "$scratch/lint" ]
        ok $? "mandoc -Tlint $(basename "$page")"
        note "$scratch/lint"
    done
else
    skip "mandoc -Tlint" "no mandoc"
fi
finish
