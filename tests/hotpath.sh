#!/bin/sh
# SPDX-License-Identifier: MIT
# The branches and instruction counts of the hot paths, the latter read from callgrind, against those in
# hotpath.golden.  Instructions are the same on every machine for the same code, so a change of them is a change of
# ours, not noise.
#
# `hotpath.sh --print` prints the counts as they are now, in the form of hotpath.golden.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
need_interposition
need_shared
have valgrind || skip_all "no valgrind"
have objdump || skip_all "no objdump"
# shellcheck source-path=SCRIPTDIR source=alone.subr
. "$tests/alone.subr"

golden=$tests/hotpath.golden
# shellcheck disable=SC2086
compiler=$($CC --version 2>/dev/null | head -n 1 | sed -n 's/.*clang version \([0-9]*\).*/clang-\1/p; s/.*gcc.* \([0-9]*\)\.[0-9.]*$/gcc-\1/p; s/^cc .* \([0-9]*\)\.[0-9.]*$/gcc-\1/p')
build=$(uname -m)-${compiler:-unknown}
case " $HAK_CPPFLAGS " in
*" -DHAK_DEBUG=1 "*) skip_all "a debug build checks invariants on its hot paths" ;;
*" -DHAK_MINIMAL=1 "* | *" -DHAK_STATS=0 "*) skip_all "not the standard build" ;;
esac
case " $CFLAGS " in
*" -O2 "*) ;;
*) skip_all "the counts are those of -O2" ;;
esac
case $CFLAGS in
*-fprofile* | *--coverage* | *-flto* | *-march* | *-fstack-protector* | *FORTIFY*) skip_all "CFLAGS change the code" ;;
esac
if [ "${1:-}" != --print ] && ! grep -q "^$build " "$golden"; then
    skip_all "no counts are recorded for $build"
fi

# The loops around the calls are always the same code.
gcc_or_cc=$CC
# shellcheck disable=SC2086
$gcc_or_cc -std=gnu11 -O2 -fno-builtin -fno-unroll-loops -pthread -o "$scratch/hotpath" "$tests/alone/hotpath.c" ||
    exit 99

# instructions NAME COUNT FUNCTION: how many are executed within FUNCTION and what it calls.
instructions()
{
    rm -f "$scratch"/callgrind.*
    limited 600 env LD_PRELOAD="$library" valgrind --tool=callgrind \
        --callgrind-out-file="$scratch/callgrind.out" --collect-atstart=no --toggle-collect="$3" "$scratch/hotpath" "$1" "$2" >"$scratch/callgrind.log" 2>&1
    sed -n 's/^==[0-9]*== Collected : *\([0-9]*\).*/\1/p' "$scratch/callgrind.log"
}

# cost NAME FUNCTION: tenths of an instruction per call, the loop included.
cost()
{
    few=$(instructions "$1" 20000 "$2")
    many=$(instructions "$1" 60000 "$2")
    [ -n "$few" ] && [ -n "$many" ] && echo $(((many - few) / 4000))
}

malloc_loop=$(cost nothing-malloc measured_malloc)
free_loop=$(cost nothing-free measured_free)
[ -n "$malloc_loop" ] && [ -n "$free_loop" ] || skip_all "callgrind does not run here"

# branches NAME: conditional jumps of a function before it returns for the first time, in tenths like all else here.
branches()
{
    objdump -d --no-show-raw-insn "$library" | awk -v begin="<$1>:" '
        $2 == begin { inside = 1 }
        inside && $2 ~ /^j/ && $2 != "jmp" { count++ }
        inside && $2 ~ /^ret/ { print count * 10; exit }'
}

for name in malloc-branches free-branches malloc-48 malloc-1000 free-48 free-1000 calloc-48 aligned-128 realloc-48 free-null large-alloc large-free refill-48 flush-48 refill-1000 flush-1000 \
    remote-free-48; do
    case $name in
    malloc-* | refill-* | large-alloc) function=measured_malloc loop=$malloc_loop ;;
    calloc-*) function=measured_calloc loop=$malloc_loop ;;
    aligned-*) function=measured_aligned loop=$malloc_loop ;;
    realloc-*) function=measured_realloc loop=$malloc_loop ;;
    *) function=measured_free loop=$free_loop ;;
    esac
    case $name in
    *-branches) count=$(branches "${name%-branches}") ;;
    *) count=$(($(cost "$name" "$function") - loop)) ;;
    esac
    if [ "${1:-}" = --print ]; then
        printf '%s %s %d.%d\n' "$build" "$name" $((count / 10)) $((count % 10))
        continue
    fi
    expected=$(sed -n "s/^$build $name \([0-9]*\)\.\([0-9]\)\$/\1\2/p" "$golden")
    if [ -z "$expected" ]; then
        skip "$name" "no count is recorded"
        continue
    fi
    # One instruction or 4 %, whichever is more, up or down: an improvement is to be recorded as well.  Of the branches,
    # which fast.h tells of, none.
    tolerance=$((expected / 25 > 10 ? expected / 25 : 10))
    [ "$name" = "${name%-branches}" ] || tolerance=0
    difference=$((count - expected))
    [ ${difference#-} -le $tolerance ]
    ok $? "$name: $((count / 10)).$((count % 10)), $((expected / 10)).$((expected % 10)) recorded"
done
[ "${1:-}" = --print ] && exit 0
finish
