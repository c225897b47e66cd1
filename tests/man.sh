#!/bin/sh
# SPDX-License-Identifier: MIT
# The header, the list of symbols, the table of knobs and the manual pages tell of the same; the pages are well-formed
# and their examples compile.  Links and the picture of the Markdown files are right.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
header=$top_srcdir/include/hakmem.h
list=$top_srcdir/src/libhakmem.sym
man=$top_srcdir/man

grep '^hakmem_' "$list" | sort >"$scratch/listed"
sed -n '/^HAKMEM_API/s/.*[ *]\(hakmem_[a-z0-9_]*\)(.*/\1/p' "$header" | sort -u >"$scratch/declared"
diff "$scratch/declared" "$scratch/listed" >"$scratch/diff"
ok $? "the header declares what src/libhakmem.sym lists"
note "$scratch/diff"

# Each name of the C library that we replace exists as hakmem_ as well.
grep -v '^hakmem_\|^_Z' "$list" | sed 's/^/hakmem_/' | sort | comm -23 - "$scratch/listed" >"$scratch/missing"
[ ! -s "$scratch/missing" ]
ok $? "each replaced function exists as hakmem_"
note "$scratch/missing"

missing=
while read -r name; do
    [ -e "$man/$name.3" ] || missing="$missing $name"
done <"$scratch/listed"
[ -z "$missing" ]
ok $? "each function has a manual page, or an alias of one${missing:+; these have none:$missing}"

wrong=
for page in "$man"/hakmem*.3; do
    name=$(basename "$page" .3)
    target=$(sed -n 's/^\.so //p' "$page")
    real=$page
    [ -z "$target" ] || real=$man/$(basename "$target")
    [ -e "$real" ] || wrong="$wrong $name"
    [ "$name" = hakmem ] || grep -q "^\.\(Nm\|Fn\|Fo\) $name\( \|$\)" "$real" || wrong="$wrong $name"
done
[ -z "$wrong" ]
ok $? "each page tells of the function it is found by${wrong:+; not so:$wrong}"

# An alias is a function's; the others are of groups of functions, each of which is listed.
unknown=
for page in "$man"/hakmem_*.3; do
    name=$(basename "$page" .3)
    grep -q '^\.so ' "$page" && ! grep -qx "$name" "$scratch/listed" && unknown="$unknown $name"
done
sed -n 's/^\.Fn \(hakmem_[a-z0-9_]*\) .*/\1/p; s/^\.Fo \(hakmem_[a-z0-9_]*\)$/\1/p' "$man"/*.3 | sort -u >"$scratch/told"
while read -r name; do
    grep -qx "$name" "$scratch/listed" || grep -q "^typedef .*[ *]$name(" "$header" || unknown="$unknown $name"
done <"$scratch/told"
[ -z "$unknown" ]
ok $? "no page tells of a function that is not there${unknown:+:$unknown}"

# ---- The knobs: the table, the page and what the library says ------------------------------------------------------
sed -n 's/^HAK_KNOB(\([a-z0-9_]*\),.*/\1/p' "$top_srcdir/src/knobs/knobs.def" | sort >"$scratch/knobs"
# Of each knob its name and the line that tells default, range and when.
awk '/^\.Sh/ { knobs = /^\.Sh KNOBS/ }
    knobs && /^\.It Cm / { name = $3; next }
    knobs && name { print name ": " $0; name = "" }' "$man/hakmem_tune.3" | sort >"$scratch/described"
cut -d : -f 1 "$scratch/described" | diff "$scratch/knobs" - >"$scratch/diff"
ok $? "hakmem_tune(3) describes the knobs of src/knobs/knobs.def and no others"
note "$scratch/diff"
tune=${HAKMEM_TUNE_COMMAND:-$top_builddir/tools/tune/hakmem-tune}
if [ -x "$tune" ]; then
    unset HAKMEM_TUNE
    "$tune" explain | awk '/^preset=/ { exit }
        /^[a-z]/ { name = $1 }
        { line = $0; sub(/^ *[a-z]* */, "", line) }
        $1 == "default" { initial = line }
        $1 == "range" { range = line }
        $1 == "when" { print name " Default " initial "; " range "; " line "." }' | sort >"$scratch/explained"
    diff "$scratch/explained" "$scratch/described" >"$scratch/diff"
    ok $? "and gives the defaults and ranges that the library has"
    note "$scratch/diff"
    "$tune" list --names | sed -n 's/^preset=//p' | sort >"$scratch/presets"
    sed -n 's/^\.It Cm preset Ns = Ns Cm //p' "$man/hakmem_tune.3" | sort | diff "$scratch/presets" - >"$scratch/diff"
    ok $? "and the presets"
    note "$scratch/diff"
else
    skip "and gives the defaults and ranges that the library has" "hakmem tune was not built"
fi
sed -n 's/^ *\(HAKMEM_[A-Z_]*\)[, ].*\/\*\*<.*/\1/p' "$header" | while read -r name; do
    grep -q "$name\( \|$\)" "$man"/*.3 || echo "$name"
done >"$scratch/missing"
[ ! -s "$scratch/missing" ]
ok $? "each constant of the header's enums is in a manual page"
note "$scratch/missing"

# ---- What the library asks of the kernel ---------------------------------------------------------------------------
{
    grep -ho 'SYS_[a-z0-9_]*' "$top_srcdir"/src/*/*.c | sed 's/^SYS_//; s/^prlimit64$/prlimit/'
    ! grep -q 'sigaction(' "$top_srcdir"/src/*/*.c || echo sigaction
} | sort -u >"$scratch/called"
sed -n '/^\.Ss System calls/,/^\.El/{/^\.It/{s/^\.It//; s/Xr \([a-z0-9_]*\) 2 *,*/\
\1\
/gp;};}' "$man/hakmem.7" | grep '^[a-z]' | sort -u | diff "$scratch/called" - >"$scratch/diff"
ok $? "hakmem(7) lists the system calls that the sources make and no others"
note "$scratch/diff"
grep -ho '"/\(proc\|sys\)/[^"]*"' "$top_srcdir"/src/*/*.c | tr -d '"' | sort -u | while read -r file; do
    grep -q "^\.It Pa $file\(/\|$\)" "$man/hakmem.7" || echo "$file"
done >"$scratch/missing"
[ ! -s "$scratch/missing" ]
ok $? "and the files that they read"
note "$scratch/missing"

# ---- The members of a structure, as the header and the page have them ----------------------------------------------
sed -n 's/^struct \(hakmem_stats[a-z_]*\) {$/\1/p' "$header" >"$scratch/structs"
while read -r struct; do
    sed -n "/^struct $struct {\$/,/^}/s/^ *u*[a-z0-9]*_t \([a-z_]*\);.*/\1/p" "$header" | sort >"$scratch/members"
    sed -n "/^\.Ss struct $struct\$/,/^\.S[sh] [^s]/{/^\.Ss struct $struct\$/b
        /^\.S[sh]/q
        s/^\.It Va //p
    }" "$man"/*.3 | sed 's/ , /\n/g' | sort >"$scratch/described"
    diff "$scratch/members" "$scratch/described" >"$scratch/diff"
    ok $? "the members of struct $struct"
    note "$scratch/diff"
done <"$scratch/structs"

# ---- Examples in C: those that include a header are whole files, and those with a main are programs -----------------
for page in hakmem hakmem_stats hakmem_tune; do
    awk -v to="$scratch/example.$page" '/^\.Bd -literal/ { n++; inside = 1; next }
        /^\.Ed/ { inside = 0 }
        inside { gsub(/\\e/, "\\"); gsub(/\\-/, "-"); print >(to "." n ".c") }' "$man/$page.3"
done
for file in "$scratch"/example.*.c; do
    grep -q '^#include' "$file" || continue
    name=$(basename "$file" .c)
    if ! grep -q '^main(' "$file"; then
        # shellcheck disable=SC2086
        $CC -std=c11 $WARN_CFLAGS -Wno-missing-prototypes -I"$top_srcdir/include" -c "$file" -o "$scratch/$name.o" \
            >"$scratch/log" 2>&1
        good=$?
        ok $good "$name compiles"
    elif [ -e "$library" ] && [ "$enable_shared" = yes ]; then
        # shellcheck disable=SC2086
        $CC -std=c11 $WARN_CFLAGS $SANITIZER_CFLAGS -I"$top_srcdir/include" "$file" -o "$scratch/$name" "$library" \
            -Wl,-rpath,"$(dirname "$library")" >"$scratch/log" 2>&1 &&
            limited 60 "$scratch/$name" >"$scratch/log" 2>&1 && [ -s "$scratch/log" ]
        good=$?
        ok $good "$name compiles and runs"
    else
        continue
    fi
    [ $good -eq 0 ] || note "$scratch/log"
done

# ---- Markdown: links lead somewhere, and the picture shows what its tables say --------------------------------------
for file in "$top_srcdir"/README.md "$top_srcdir"/doc/*.md; do
    sed 's/](/\n](/g' "$file" | sed -n 's/^](\([^)#]*\).*/\1/p' | grep -v '^https*:' | while read -r link; do
        [ -e "$(dirname "$file")/$link" ] || echo "$(basename "$file"): $link"
    done
done >"$scratch/missing"
[ ! -s "$scratch/missing" ]
ok $? "links of Markdown files lead to files"
note "$scratch/missing"
if have python3; then
    python3 "$top_srcdir/doc/compare.py" "$scratch/compare.svg" >"$scratch/log" 2>&1 &&
        cmp "$scratch/compare.svg" "$top_srcdir/doc/compare.svg" >>"$scratch/log" 2>&1
    ok $? "doc/compare.svg is what doc/compare.py draws from doc/measurements.md"
    note "$scratch/log"
else
    skip "doc/compare.svg is what doc/compare.py draws from doc/measurements.md" "no python3"
fi

if have mandoc; then
    for page in "$man"/*.[0-9]; do
        grep -q '^\.so ' "$page" && continue
        # Of the page are the messages that name a line of it.  Which other pages are installed, in what state the
        # machine's index of them is, and what day it is there, which go between them, is not the page's fault.
        mandoc -Tlint -Wstyle "$page" 2>/dev/null | grep "^mandoc: [^ ]*:[0-9]*:[0-9]*: " |
            grep -v 'referenced manual not found\|date in the future' >"$scratch/lint"
        [ ! -s "$scratch/lint" ]
        ok $? "mandoc -Tlint $(basename "$page")"
        note "$scratch/lint"
    done
else
    skip "mandoc -Tlint" "no mandoc"
fi
finish
