#!/bin/sh
# SPDX-License-Identifier: MIT
# The statistics as text: JSON and Prometheus are what they claim to be; at exit and on a signal they come, whatever
# locks are held; and hakmem stats sees from outside what the process says itself.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
export top_srcdir
have python3 || skip_all "no python3"
emulated && skip_all "the process that is looked at would be the emulator's"
command=$top_builddir/tools/stats/hakmem-stats
check() { python3 "$tests/stats_check.py" "$@" >"$scratch/check" 2>&1; }

# ---- at exit and on a signal -----------------------------------------------------------------------------------------
# dump SETTINGS ACT: stats_dump does so, with the statistics in $scratch/text.
dump()
{
    HAKMEM_TUNE=$1 limited 120 "$top_builddir/tests/stats_dump" "$2" >"$scratch/out" 2>"$scratch/text"
}
dump '' exit && [ ! -s "$scratch/text" ]
ok $? "nothing at exit unless asked for"
case " $HAK_CPPFLAGS " in
*" -DHAK_MINIMAL=1 "*) skip "at exit and on a signal" "the knobs are constant" ;;
*)
    dump stats_at_exit=text exit
    grep -q '^live_bytes  *[0-9]' "$scratch/text" && ! grep -q '[^ -~]' "$scratch/text"
    ok $? "at exit, for people"
    dump stats_at_exit=json exit && python3 -m json.tool "$scratch/text" >/dev/null 2>&1
    ok $? "at exit, as JSON"
    dump stats_at_exit=prometheus exit && check prometheus "$scratch/text"
    ok $? "at exit, for Prometheus"
    note "$scratch/check"
    dump stats_at_exit=text lock
    grep -q '^live_bytes  *[0-9]' "$scratch/text"
    ok $? "exit with a heap's lock held does not wait for ever"
    number=$(kill -l USR2)
    dump "stats_signal=$number" signal && grep -q 'went on' "$scratch/out" &&
        [ "$(grep -c '^live_bytes ' "$scratch/text")" -eq 2 ]
    ok $? "on a signal, also with a heap's lock held"
    dump "stats_signal=$number" handler
    grep -q 'own handler' "$scratch/text" && ! grep -q '^live_bytes ' "$scratch/text"
    ok $? "a program's own handler stays"
    case $SANITIZER_CFLAGS in
    *thread*) skip "many signals to threads that allocate" "what is then read without a lock is a race, as it says" ;;
    *)
        dump "stats_signal=$number" storm
        status=$?
        [ $status -eq 0 ] && grep -q 'went on' "$scratch/out" && grep -q live_bytes "$scratch/text"
        ok $? "many signals to threads that allocate: exit status $status"
        ;;
    esac
    ;;
esac

# ---- wrong usage -----------------------------------------------------------------------------------------------------
# says STATUS TEXT ARGUMENT...: hakmem stats ends so, with one line that has the text.
says()
{
    wanted=$1 text=$2
    shift 2
    limited 60 "$command" "$@" >"$scratch/out" 2>"$scratch/error"
    status=$?
    [ $status -eq "$wanted" ] && [ "$(wc -l <"$scratch/error")" -eq 1 ] &&
        grep -q "^hakmem: stats: .*$text" "$scratch/error"
    ok $? "hakmem stats $*: $text"
}
says 2 "which process"
says 2 "not a process ID" 0
says 2 "not a process ID" 99999999999
says 1 "no process is called 'no-such-program'" no-such-program
says 1 "no process is called '?\[31m'" "$(printf '\033[31m')"
says 2 "unknown option" --xml 1
says 2 "only one of" --json --prometheus 1
says 2 "only one of" --watch --all 1
says 2 "number of seconds" --watch=no 1
says 2 "number of seconds" --watch=0 1
says 2 "number of seconds" --watch=nan 1
says 2 "one process" 1 2
says 1 "no process 4194305" 4194305
sleep 100 &
sleeper=$!
says 1 "does not use libhakmem" $sleeper
kill $sleeper
"$command" --help | grep -q '^Usage: hakmem stats'
ok $? "hakmem stats --help"
"$command" --version | grep -q libhakmem
ok $? "hakmem stats --version"

# ---- a process that is not to be trusted -----------------------------------------------------------------------------
# hostile WHAT STATUS PATTERN: what is said of a process whose structures are so, with little memory and in little time.
hostile()
{
    mkfifo "$scratch/hostile.in"
    : >"$scratch/hostile.pid"
    limited 100 "$top_builddir/tests/hostile" "$1" <"$scratch/hostile.in" >"$scratch/hostile.pid" 2>&1 &
    watchdog=$!
    exec 3>"$scratch/hostile.in"
    for _ in $(seq 300); do
        [ -s "$scratch/hostile.pid" ] && break
        sleep 0.1
    done
    (
        # shellcheck disable=SC3045 # where a shell has no -v the memory is not limited
        [ -n "$SANITIZER_CFLAGS" ] || ulimit -v 3000000 2>/dev/null
        limited 60 "$command" "$(cat "$scratch/hostile.pid")" >"$scratch/out" 2>"$scratch/error"
    )
    status=$?
    if grep -q 'not permitted' "$scratch/error"; then
        skip "hostile: $1" "the memory of other processes must not be read here"
    else
        [ $status -eq "$2" ] && [ "$(wc -l <"$scratch/error")" -le 1 ] &&
            grep -q "$3" "$scratch/out" "$scratch/error" &&
            ! LC_ALL=C grep -q '[^ -~]' "$scratch/out" "$scratch/error"
        ok $? "hostile: $1: exit status $status"
        note "$scratch/error"
    fi
    exec 3>&-
    wait $watchdog
    rm "$scratch/hostile.in"
}
hostile nothing 0 'libhakmem'
hostile threads 1 'more threads than this command'
hostile chain 1 'more threads than this command'
hostile heaps 1 'more heaps than this command'
hostile windows 1 'more windows than this command'
hostile version 1 "runs libhakmem '0?\\[31m?*'"
hostile layout 1 'another build of libhakmem [0-9.]* than'
hostile counts 0 'libhakmem'
hostile name 0 '^?\[31mx: process'
hostile scan 1 'does not use libhakmem'

# ---- from outside ----------------------------------------------------------------------------------------------------
# outside NAME: starts the program, which writes its own statistics and waits; compares them with those from outside.
outside()
{
    name=$1 watcher=
    mkfifo "$scratch/$name.in"
    : >"$scratch/$name.own"
    limited 100 "$scratch/$name" json <"$scratch/$name.in" >"$scratch/$name.own" 2>&1 &
    watchdog=$!
    exec 3>"$scratch/$name.in"
    for _ in $(seq 300); do
        [ -z "$(tail -n 1 "$scratch/$name.own")" ] && [ -s "$scratch/$name.own" ] && break
        sleep 0.1
    done
    check json "$scratch/$name.own"
    ok $? "$name: JSON, and it adds up"
    note "$scratch/check"
    pid=$(sed -n 's/.*"process":\([0-9]*\).*/\1/p' "$scratch/$name.own")
    "$command" --json "${pid:-0}" >"$scratch/$name.seen" 2>"$scratch/error"
    status=$?
    if grep -q 'not permitted' "$scratch/error"; then
        skip "$name: from outside" "the memory of other processes must not be read here"
    else
        [ $status -eq 0 ] && check same "$scratch/$name.own" "$scratch/$name.seen"
        ok $? "$name: what is seen from outside is the same"
        note "$scratch/error"
        note "$scratch/check"
        "$command" --prometheus "$pid" >"$scratch/$name.metrics" && check prometheus "$scratch/$name.metrics"
        ok $? "$name: Prometheus from outside"
        note "$scratch/check"
        "$command" --all "$pid" | grep -q "^libhakmem .*, process $pid\$"
        ok $? "$name: text from outside"
        "$command" "$pid" >"$scratch/$name.text" &&
            check text "$scratch/$name.own" "$scratch/$name.text" "$name"
        ok $? "$name: text for people has the same figures, and no long lines"
        note "$scratch/check"
        limited 60 "$command" --json "$name" >"$scratch/$name.seen" 2>"$scratch/error" &&
            check same "$scratch/$name.own" "$scratch/$name.seen"
        ok $? "$name: the process of this name"
        note "$scratch/error"
        (
            limited 60 "$command" --watch=0.1 "$pid" >"$scratch/$name.lines" 2>"$scratch/error"
            echo "status $?" >>"$scratch/$name.lines"
        ) 3>&- &
        watcher=$!
        for _ in $(seq 300); do
            [ "$(wc -l <"$scratch/$name.lines")" -ge 4 ] && break
            sleep 0.1
        done
    fi
    exec 3>&-
    wait $watchdog
    ok $? "$name: the process went on"
    if [ -n "$watcher" ]; then
        wait $watcher
        check lines "$scratch/$name.own" "$scratch/$name.lines" && ! [ -s "$scratch/error" ]
        ok $? "$name: watched until it ends"
        note "$scratch/check"
        note "$scratch/error"
    fi
}

if [ -n "$SANITIZER_CFLAGS" ]; then
    skip "from outside" "a sanitizer has malloc"
    finish
fi
# shellcheck disable=SC2086
compile() { $CC -std=gnu11 -D_GNU_SOURCE -I"$top_srcdir/include" $CFLAGS -pthread "$@"; }
if [ "$enable_shared" = yes ] && [ -e "$library" ]; then
    compile -o "$scratch/shared" "$tests/alone/stats.c" "$library" -Wl,-rpath,"$(dirname "$library")" || exit 99
    outside shared
fi
if [ "$enable_static" = yes ] && [ -e "$archive" ] &&
    compile -static -o "$scratch/static" "$tests/alone/stats.c" "$archive" 2>/dev/null; then
    outside static
fi
finish
