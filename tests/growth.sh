#!/bin/sh
# SPDX-License-Identifier: MIT
# How the cost of a call grows with what the process holds: instructions, read from callgrind, of the same calls with n
# and with 8n threads, slabs left by an exited thread and so on.  Instructions are the same on every machine, so that a
# ratio of them is no matter of luck.  The cases are those of growth.c.
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
growth huge-blocks 256 15 1 1
growth stuck-mappings 256 15 1 1
finish
