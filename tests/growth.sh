#!/bin/sh
# SPDX-License-Identifier: MIT
# How the cost of a call grows with what the process holds: instructions, read from callgrind, of the same calls with n
# and with 8n threads, slabs left by an exited thread and so on.  Instructions are the same on every machine, so that a
# ratio of them is no matter of luck.  The cases are those of growth.c and the steps of superslabs.c.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
[ -z "$SANITIZER_CFLAGS" ] || skip_all "valgrind and a sanitizer do not mix"
emulated && skip_all "valgrind would run the emulator"
have valgrind || skip_all "no valgrind"
case " $HAK_CPPFLAGS " in
*" -DHAK_DEBUG=1 "*) skip_all "a debug build checks every invariant" ;;
*" -DHAK_STATS=0 "*) skip_all "built without statistics" ;;
esac
case " $CFLAGS " in
*" -flto"*) skip_all "functions of the library cannot be told apart" ;;
esac
program=$top_builddir/tests/growth

# instructions CASE N FUNCTION HEAPS
instructions()
{
    limited 250 env HAKMEM_TUNE=heaps_per_cpu="$4",thp=never,purge_thread=no valgrind --tool=callgrind --max-threads=2000 \
        --callgrind-out-file="$scratch/out" --collect-atstart=no --toggle-collect="$3" "$program" "$1" "$2" \
        >"$scratch/log" 2>&1 &&
        sed -n 's/^==[0-9]*== Collected : *\([0-9]*\).*/\1/p' "$scratch/log"
}

# growth CASE N MOST UNITS HEAPS [FUNCTION]: 8n cost no more than MOST tenths of what n cost, each divided by the number
# of calls, of which there are UNITS times as many.  The threads share so many heaps.
growth()
{
    few=$(instructions "$1" "$2" "${6:-growth_measured}" "$5")
    many=$(instructions "$1" $(($2 * 8)) "${6:-growth_measured}" "$5")
    if [ "${few:-0}" -eq 0 ] || [ "${many:-0}" -eq 0 ]; then
        ok 1 "$1: not measured"
        note "$scratch/log"
        return
    fi
    ratio=$((many * 10 / few / $4))
    [ $ratio -le "$3" ]
    ok $? "$1: $few instructions with $2, $many with $(($2 * 8)): $((ratio / 10)).$((ratio % 10)) times"
}

# superslabs N: the steps of superslabs.c, each with its count, one a line in $scratch/N.
superslabs()
{
    rm -f "$scratch/out"*
    limited 250 env HAKMEM_TUNE=heaps_per_cpu=64,thp=never,purge_thread=no,purge_delay=3600s,keep_free=64t \
        valgrind --tool=callgrind --max-threads=200 --callgrind-out-file="$scratch/out" --collect-atstart=no \
        --toggle-collect=step_measured --dump-before=step_ends "$top_builddir/tests/superslabs" "$1" \
        >"$scratch/names" 2>"$scratch/log" || return
    number=0
    while read -r name; do
        number=$((number + 1))
        echo "$name $(sed -n 's/^summary: *//p' "$scratch/out.$number")"
    done <"$scratch/names" >"$scratch/$1"
}

# large_heap N MOST: no step costs more than MOST tenths with 8N superslabs of what it cost with N.
large_heap()
{
    superslabs "$1" && superslabs $(($1 * 8))
    case $? in
    0) ;;
    77) skip "superslabs" "no room for $(($1 * 16)) MiB of addresses" && return ;;
    *) ok 1 "superslabs: not measured" && note "$scratch/log" && return ;;
    esac
    while read -r name few; do
        many=$(sed -n "s/^$name //p" "$scratch/$(($1 * 8))")
        [ "${few:-0}" -gt 0 ] && [ "${many:-0}" -gt 0 ] && ratio=$((many * 10 / few)) && [ "$ratio" -le "$2" ]
        ok $? "superslabs, $name: $few instructions with $1, $many with $(($1 * 8))"
    done <"$scratch/$1"
    [ "$(wc -l <"$scratch/$1")" -eq 10 ]
    ok $? "superslabs: all steps were measured"
}

limited 60 valgrind --tool=callgrind --callgrind-out-file="$scratch/out" true >/dev/null 2>&1 ||
    skip_all "callgrind does not run here"

growth slabs-left-other-class 256 15 1 2
growth slabs-left-same-class 256 15 1 2
# Eight times as many threads exit.
growth thread-exit 64 11 8 1 'hak_registry_release*'
# Eight times as many heaps are printed.
growth snapshot 8 11 8 64
growth walk 16 22 1 64
# Growing the heap, and aligned blocks, where superslabs have holes.
growth holes-grow 256 15 1 1
growth holes-aligned 256 15 1 1
growth large-blocks 256 15 1 1
growth huge-blocks 256 15 1 1
growth stuck-mappings 256 15 1 1
# Finding, joining, growing, freeing, purging in a heap of up to 128 GiB.
large_heap 8192 12
finish
