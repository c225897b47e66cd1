#!/bin/sh
# SPDX-License-Identifier: MIT
# Under limits: little address space, little data, strict commit accounting, no /proc, valgrind.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
need_interposition
need_shared
emulated && skip_all "the limits would be the emulator's"
# shellcheck source-path=SCRIPTDIR source=alone.subr
. "$tests/alone.subr"

with() { "$@"; }
preloaded() { env LD_PRELOAD="$library" "$@"; }
compile_c -o "$scratch/exhaust" "$tests/alone/exhaust.c" || exit 99
compile_c -o "$scratch/threads" "$tests/alone/threads.c" || exit 99
compile_c -o "$scratch/tsd" "$tests/alone/tsd.c" || exit 99
compile_c -o "$scratch/memlock" "$tests/alone/memlock.c" || exit 99
shared_library lifetime c lifetime_library.c
compile_c -o "$scratch/lifetime" "$tests/alone/lifetime.c" "$scratch/liblifetime.so" -Wl,-rpath,"$scratch" || exit 99

# limited_run WHAT ULIMIT-OPTION KIB COMMAND...
limited_run()
{
    run_name=limit what=$1 option=$2 kib=$3
    shift 3
    # shellcheck disable=SC3045
    (
        ulimit "$option" "$kib" || exit 77
        limited 600 env LD_PRELOAD="$library" "$@"
    ) >"$scratch/$run_name.log" 2>&1
    status=$?
    if [ $status -eq 77 ]; then
        skip "$what" "the limit cannot be set"
    elif [ $status -eq 0 ] && ! grep -q '^not ok\|^Bail out' "$scratch/$run_name.log"; then
        ok 0 "$what"
    else
        ok 1 "$what: exit status $status"
        grep -v '^ok' "$scratch/$run_name.log" | sed 's/^/# /' | head -n 40
    fi
}

limited_run "exhaustion and recovery under ulimit -v 256 MiB" -v 262144 "$scratch/exhaust" 268435456
limited_run "exhaustion and recovery under ulimit -d 128 MiB" -d 131072 "$scratch/exhaust" 134217728
limited_run "exhaustion and recovery under ulimit -v 64 MiB" -v 65536 "$scratch/exhaust" 50000000
limited_run "from before constructors until after destructors under ulimit -v 64 MiB" -v 65536 "$scratch/lifetime"
HAKMEM_TEST_SHORT=1 limited_run "destructors of threads under ulimit -v 256 MiB" -v 262144 "$scratch/tsd"
# More than a hundred threads' stacks of 64 KiB, and their heaps.
limited_run "python3 or perl under ulimit -v 256 MiB" -v 262144 sh -c \
    'if command -v perl >/dev/null; then perl -e "\$h{\$_} = \"x\" x \$_ for 1 .. 2000; print scalar(keys %h), \"\\n\""; fi'

# Locked memory: mlockall() counts all that is mapped, and Debian lets a user lock 8 MiB.
if "$scratch/memlock" fits >"$scratch/memlock.log" 2>&1; then
    for what in fits out; do
        run memlock "mlockall in 8 MiB, as without the library: $what" \
            env LD_PRELOAD="$library" "$scratch/memlock" $what
    done
else
    skip "mlockall in 8 MiB" "it does not work without the library"
fi
if [ "$(id -u)" -eq 0 ] && "$scratch/memlock" trim >"$scratch/memlock.log" 2>&1; then
    run memlock "locked memory that is free goes back" env LD_PRELOAD="$library" "$scratch/memlock" trim
else
    skip "locked memory that is free goes back" "no right to lock so much"
fi

# A quota of processor time: a control group of version 2 allows one processor, and so threads share one heap, beside
# the one of those that exit.
if grep -q '^0::' /proc/self/cgroup && unshare -m sh -c 'mount -t tmpfs none /sys/fs/cgroup' 2>/dev/null; then
    cat >"$scratch/quota" <<END
mount -t tmpfs none /sys/fs/cgroup && echo "\$1" >/sys/fs/cgroup/cpu.max && shift &&
    HAKMEM_TUNE=stats_at_exit=text LD_PRELOAD='$library' exec "\$@"
END
    heaps_at_quota()
    {
        limited 100 env HAKMEM_TEST_SHORT=1 unshare -m sh "$scratch/quota" "$1" "$scratch/lifetime" 2>&1 |
            awk '$1 == "heaps" { if ($2 > most) most = $2 } END { print most + 0 }'
    }
    one=$(heaps_at_quota '50000 100000')
    all=$(heaps_at_quota 'max 100000')
    if [ "$all" -le 2 ]; then
        skip "threads share a heap where time for one processor is allowed" "it has one processor, or no threads"
    else
        [ "$one" -eq 2 ]
        ok $? "threads share a heap where time for one processor is allowed: $one heaps, $all without a quota"
    fi
else
    skip "threads share a heap where time for one processor is allowed" "no right to set a quota"
fi

# Without /proc: in a mount namespace of our own, where it is hidden.
if unshare -m true 2>/dev/null && unshare -m sh -c 'mount -t tmpfs none /proc' 2>/dev/null; then
    cat >"$scratch/noproc" <<END
mount -t tmpfs none /proc && [ ! -e /proc/self ] && LD_PRELOAD='$library' exec "\$@"
END
    for program in lifetime tsd; do
        limited 600 env HAKMEM_TEST_SHORT=1 unshare -m sh "$scratch/noproc" "$scratch/$program" >"$scratch/noproc.log" 2>&1
        status=$?
        ! grep -q '^not ok\|^Bail out' "$scratch/noproc.log" && [ $status -eq 0 ]
        ok $? "$program without /proc: exit status $status"
    done
else
    skip "without /proc" "no right to hide it"
fi

# Strict accounting: reserved addresses must not be charged.  Changing the mode needs root; it is put back.
mode_file=/proc/sys/vm/overcommit_memory
mode=$(cat $mode_file 2>/dev/null)
cat >"$scratch/commit.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* What strict accounting charges this process for: its private writable mappings. */
static long committed(void)
{
    char line[500], mode[8];
    unsigned long from, to, bytes = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) == 3 && mode[1] == 'w' && mode[3] == 'p')
            bytes += to - from;
    if (file)
        fclose(file);
    return (long)(bytes >> 10);
}
int main(void)
{
    long before = committed();
    void *blocks[1000];
    for (int i = 0; i < 1000; i++) {
        blocks[i] = malloc(20000);
        if (!blocks[i])
            return 2;
        memset(blocks[i], 1, 20000);
    }
    long after = committed();
    printf("%ld KiB committed for 20000 KiB\n", after - before);
    for (int i = 0; i < 1000; i++)
        free(blocks[i]);
    return after - before > 40000;
}
END
compile_c -o "$scratch/commit" "$scratch/commit.c" || exit 99
preloaded "$scratch/commit" >"$scratch/commit.log"
ok $? "reserved addresses are not charged: $(cat "$scratch/commit.log")"
# With less to spare than this shell and the compiler may want, whoever else runs would fail with us.
left=$(awk '/^CommitLimit:/ {limit = $2} /^Committed_AS:/ {used = $2} END {print limit - used}' /proc/meminfo)
if [ "${left:-0}" -lt 1000000 ]; then
    skip "under strict accounting" "too little memory is left to commit"
elif [ "${HAKMEM_TEST_MACHINE-}" != 1 ]; then
    skip "under strict accounting" "HAKMEM_TEST_MACHINE=1 does not say that settings of the machine may be changed"
elif [ "$(id -u)" -eq 0 ] && [ -n "$mode" ] && [ -w $mode_file ] &&
    trap 'echo $mode >$mode_file; rm -rf "$scratch"' EXIT && (echo 2 >$mode_file) 2>/dev/null &&
    [ "$(cat $mode_file)" = 2 ]; then
    if "$scratch/commit" >/dev/null 2>&1; then
        preloaded "$scratch/commit" >"$scratch/commit.log" 2>&1
        ok $? "under strict accounting: $(cat "$scratch/commit.log")"
        preloaded "$scratch/lifetime" >"$scratch/commit.log" 2>&1
        ok $? "from before constructors until after destructors under strict accounting"
    else
        skip "under strict accounting" "too little memory is left to commit"
    fi
    echo "$mode" >$mode_file
else
    skip "under strict accounting" "vm.overcommit_memory cannot be set"
fi

# Under valgrind's tools that leave malloc alone, and under memcheck, which has its own.
if have valgrind; then
    for tool in none callgrind memcheck; do
        options=
        [ $tool = callgrind ] && options=--callgrind-out-file=$scratch/callgrind.out
        # shellcheck disable=SC2086
        limited 600 env HAKMEM_TEST_SHORT=1 LD_PRELOAD="$library" valgrind -q --tool=$tool $options \
            --trace-children=no "$scratch/lifetime" >"$scratch/valgrind.log" 2>&1
        status=$?
        [ $status -eq 0 ] && ! grep -q '^not ok\|^Bail out\|^==.*Invalid' "$scratch/valgrind.log"
        good=$?
        ok $good "under valgrind --tool=$tool: exit status $status"
        [ $good -eq 0 ] || note "$scratch/valgrind.log"
    done
    limited 600 env HAKMEM_TEST_SHORT=1 LD_PRELOAD="$library" valgrind -q --tool=none "$scratch/tsd" \
        >"$scratch/valgrind.log" 2>&1
    status=$?
    [ $status -eq 0 ] && ! grep -q '^not ok\|^Bail out' "$scratch/valgrind.log"
    good=$?
    ok $good "destructors of threads under valgrind --tool=none: exit status $status"
    [ $good -eq 0 ] || note "$scratch/valgrind.log"
else
    skip "under valgrind" "no valgrind"
fi
finish
