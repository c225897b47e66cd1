#!/bin/sh
# SPDX-License-Identifier: MIT
# What build-aux/tap-driver.sh makes of tests: one failure is counted once, and an exit status that no failed test
# explains is one of its own.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"

# counts FAILURES ERRORS WHAT SCRIPT: what the driver reports of a test that does this.
counts()
{
    printf '%s\n' "$4" >"$scratch/program"
    AM_TAP_AWK=${AWK:-awk} sh "$top_srcdir/build-aux/tap-driver.sh" --merge --comments --test-name program \
        --log-file "$scratch/log" --trs-file "$scratch/trs" -- sh "$scratch/program" >"$scratch/out" 2>&1
    [ -s "$scratch/trs" ] && [ "$(grep -c '^FAIL: ' "$scratch/out")" -eq "$1" ] && [ "$(grep -c '^ERROR: ' "$scratch/out")" -eq "$2" ]
    good=$?
    ok $good "$3"
    [ $good -eq 0 ] || note "$scratch/out"
}

counts 0 0 "all passed" 'echo ok 1; echo 1..1'
counts 1 0 "one failed, and the exit status says so" 'echo ok 1; echo not ok 2; echo 1..2; exit 1'
counts 2 0 "two failed" 'echo not ok 1; echo not ok 2; echo 1..2; exit 1'
counts 0 1 "none failed, but the exit status does" 'echo ok 1; echo 1..1; exit 1'
counts 1 1 "one failed, and a sanitizer ends the program" 'echo not ok 1; echo 1..1; exit 66'
counts 1 1 "one failed, and a signal ends the program" 'echo not ok 1; echo 1..1; kill -9 $$'
counts 1 1 "one failed, and the plan is missing" 'echo not ok 1; exit 1'
finish
