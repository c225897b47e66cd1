#!/bin/sh
# SPDX-License-Identifier: MIT
# Programs of many threads and forks in a debug build whose threads are held up at each lock and each publication
# (src/base/delay.h).  HAKMEM_TEST_SEED repeats a run.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
case " $HAK_CPPFLAGS " in
*" -DHAK_DEBUG=1 "*) ;;
*) skip_all "only a debug build has delays" ;;
esac

seed=${HAKMEM_TEST_SEED:-$(date +%s)}
for program in core_threads core_fork check_crossfree; do
    HAKMEM_TEST_SHORT=1 limited 600 env HAKMEM_DEBUG_DELAY="$seed" "$top_builddir/tests/$program" \
        >"$scratch/log" 2>&1 && ! grep -q '^not ok\|^Bail out' "$scratch/log"
    result=$?
    ok $result "$program, delayed by seed $seed"
    [ $result -eq 0 ] || note "$scratch/log"
    seed=$((seed * 3 + 1))
done
finish
