#!/bin/sh
# SPDX-License-Identifier: MIT
# HAKMEM_TUNE, hakmem tune and hakmem run --tune: what they accept, say and refuse, and the knobs that only they set.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
need_interposition
need_shared
# shellcheck source-path=SCRIPTDIR source=alone.subr
. "$tests/alone.subr"
hakmem=$top_builddir/tools/hakmem-uninstalled
HAKMEM_LIBRARY=$library
export HAKMEM_LIBRARY
unset HAKMEM_TUNE
case " $HAK_CPPFLAGS " in
*" -DHAK_MINIMAL=1 "*) minimal=yes ;;
*) minimal= ;;
esac

# expect STATUS WHAT FILE COMMAND...: its exit status, and nothing on standard error, or what FILE holds.
expect()
{
    wanted=$1 what=$2 said=$3
    shift 3
    limited 60 "$@" >"$scratch/out" 2>"$scratch/err"
    status=$?
    [ $status -eq "$wanted" ] && diff "$said" "$scratch/err" >"$scratch/diff"
    good=$?
    ok $good "$what"
    [ $good -eq 0 ] || {
        echo "exit status $status" >>"$scratch/diff"
        note "$scratch/diff"
    }
}
: >"$scratch/nothing"
says() { printf '%s\n' "$@" >"$scratch/said"; }

if [ -n "$minimal" ]; then
    says "hakmem: HAKMEM_TUNE: keep_free: '1m' is not supported by this build on this system"
    expect 0 "a build with constant knobs says so" "$scratch/said" env HAKMEM_TUNE=keep_free=1m "$hakmem" run -- true
    expect 0 "hakmem tune list" "$scratch/nothing" "$hakmem" tune list
    finish
fi

# ---- The environment ------------------------------------------------------------------------------------------------
compile_c -o "$scratch/whose" "$scratch/whose.c" || exit 99
preloaded() { limited 60 env LD_PRELOAD="$library" "$@"; }
expect 0 "right settings are not spoken of" "$scratch/nothing" \
    env LD_PRELOAD="$library" HAKMEM_TUNE='keep_free=1m, huge_cache=0' "$scratch/whose"
says "hakmem: HAKMEM_TUNE: unknown knob 'keep_fre'; nearest is keep_free" \
    "hakmem: HAKMEM_TUNE: 'huge_cache' has no '='; nearest is huge_cache=VALUE" \
    "hakmem: HAKMEM_TUNE: on_misuse: 'ignore' is not a valid value; nearest is abort" \
    "hakmem: HAKMEM_TUNE: depot_budget: '2x' is not a valid value; valid is 0 to 1g" \
    "hakmem: HAKMEM_TUNE: heaps_per_cpu: '65' is out of range; nearest is 64" \
    "hakmem: HAKMEM_TUNE: limit_soft: '101%' is out of range; a share is 1% to 100%, a size 4m to 64t" \
    "hakmem: HAKMEM_TUNE: stats_signal: '9' is not supported by this build on this system" \
    "hakmem: HAKMEM_TUNE: unknown preset 'low'; nearest is low-memory"
expect 0 "each problem is one line, and the program runs" "$scratch/said" env LD_PRELOAD="$library" \
    HAKMEM_TUNE='keep_fre=1,huge_cache,on_misuse=ignore,depot_budget=2x,heaps_per_cpu=65,
        limit_soft=101%,stats_signal=9,preset=low' "$scratch/whose"
says "hakmem: HAKMEM_TUNE: unknown knob '?[31m?'; nearest is thp"
expect 0 "control characters are not passed on" "$scratch/said" env LD_PRELOAD="$library" \
    HAKMEM_TUNE="$(printf '\033[31m\001=1')" "$scratch/whose"

now() { HAKMEM_TUNE=$2 "$hakmem" tune explain "$1" 2>/dev/null | sed -n 's/^  now *//p'; }
[ "$(now keep_free 'nonsense=1,keep_free=3m,huge_cache=x')" = 3m ]
ok $? "the rest applies"
[ "$(now keep_free 'keep_free=3m,keep_free=4m')" = 4m ]
ok $? "the last one holds"
[ "$(now keep_free 'preset=low-memory')" = 2m ] && [ "$(now keep_free 'preset=low-memory,keep_free=5m')" = 5m ]
ok $? "a preset is a list of settings"
[ "$(now heaps_per_cpu heaps_per_cpu=7)" = 7 ]
ok $? "what can be set at the start only is set"
[ "$(HAKMEM_TUNE=keep_free=6m "$hakmem" run -- sh -c "exec '$top_builddir/tools/tune/hakmem-tune' explain keep_free" |
    sed -n 's/^  now *//p')" = 6m ]
ok $? "children inherit it"

# A program with other rights than its caller's.  It is linked with the library, as the loader preloads nothing then.
cat >"$scratch/secure.c" <<'END'
#include <hakmem.h>
#include <inttypes.h>
#include <stdio.h>
int main(void)
{
    uint64_t value = 0;
    hakmem_tune_get("keep_free", &value);
    printf("%" PRIu64 "\n", value);
    return 0;
}
END
if [ "$(id -u)" -eq 0 ] && ! emulated && have setpriv && [ "$enable_static" = yes ] && [ -e "$archive" ] &&
    compile_c -I"$top_srcdir/include" -o "$scratch/secure" "$scratch/secure.c" "$archive" -ldl &&
    chmod 755 "$scratch" && chmod u+s "$scratch/secure"; then
    other() { limited 60 setpriv --reuid 65534 --clear-groups "$scratch/secure" >"$scratch/out" 2>"$scratch/err"; }
    says 'hakmem: HAKMEM_TUNE is ignored in a program that runs with other rights'
    HAKMEM_TUNE=keep_free=1m other
    diff "$scratch/said" "$scratch/err" >"$scratch/diff" &&
        [ "$(cat "$scratch/out")" = 67108864 ]
    ok $? "it is ignored in a set-user-ID program, with a note"
    note "$scratch/diff"
    other
    [ ! -s "$scratch/err" ]
    ok $? "without it there is no note"
    HAKMEM_TUNE=keep_free=1m limited 60 "$scratch/secure" >"$scratch/out" 2>"$scratch/err"
    [ ! -s "$scratch/err" ] && [ "$(cat "$scratch/out")" = 1048576 ]
    ok $? "run by its owner, the same program heeds it"
else
    skip "a set-user-ID program" "needs root, setpriv and the static library"
fi

# ---- The command ----------------------------------------------------------------------------------------------------
expect 0 "hakmem tune list" "$scratch/nothing" "$hakmem" tune list
names=$(sed -n 's/^HAK_KNOB(\([a-z0-9_]*\),.*/\1/p' "$top_srcdir/src/knobs/knobs.def")
for name in $names; do grep "^$name " "$scratch/out" >/dev/null || echo "$name"; done >"$scratch/missing"
[ ! -s "$scratch/missing" ] && grep -q '^preset=low-memory ' "$scratch/out"
ok $? "lists every knob and the presets"
"$hakmem" tune list --names | grep -v '^preset=' | tr '\n' ' ' >"$scratch/out"
[ "$(cat "$scratch/out")" = "$(echo "$names" | tr '\n' ' ')" ]
ok $? "hakmem tune list --names"
expect 0 "hakmem tune explain" "$scratch/nothing" "$hakmem" tune explain
[ "$(grep -c '^  default' "$scratch/out")" -eq "$(echo "$names" | wc -l)" ]
ok $? "explains every knob"
expect 0 "hakmem tune explain keep_free low-memory" "$scratch/nothing" "$hakmem" tune explain keep_free low-memory
grep -q '^  range    0 to 64t$' "$scratch/out" && grep -q '^  keep_free=2m$' "$scratch/out"
ok $? "explains both"
says "hakmem: tune: unknown knob or preset 'keep'; see hakmem tune list"
expect 1 "hakmem tune explain of what is not there" "$scratch/said" "$hakmem" tune explain keep
expect 0 "hakmem tune check of what is right" "$scratch/nothing" "$hakmem" tune check 'preset=latency,heaps_per_cpu=1,'
says "hakmem: tune: unknown knob 'foo'; nearest is thp" "hakmem: tune: keep_free: '' is not a valid value; valid is 0 to 64t"
expect 1 "hakmem tune check of what is not" "$scratch/said" "$hakmem" tune check foo=1,keep_free=
says "hakmem: tune: check takes one argument; see hakmem help tune"
expect 2 "hakmem tune check of nothing" "$scratch/said" "$hakmem" tune check
says "hakmem: tune: unknown action: not list, explain or check; see hakmem help tune"
expect 2 "hakmem tune with another word" "$scratch/said" "$hakmem" tune lists
expect 0 "hakmem help tune" "$scratch/nothing" "$hakmem" help tune
if [ -e /dev/full ]; then
    "$hakmem" tune list >/dev/full 2>"$scratch/err"
    [ $? -eq 1 ] && [ -s "$scratch/err" ]
    ok $? "an output that cannot be written is an error"
fi

# What is run here are programs of the system's.
if ! emulated; then
    expect 3 "hakmem run --tune" "$scratch/nothing" "$hakmem" run --tune=keep_free=1m --tune=huge_cache=0 -- \
        sh -c 'env | sed -n s/^HAKMEM_TUNE=//p; exit 3'
    [ "$(cat "$scratch/out")" = keep_free=1m,huge_cache=0 ]
    ok $? "exports what it is told"
    HAKMEM_TUNE=on_misuse=report "$hakmem" run --tune=keep_free=1m env | sed -n 's/^HAKMEM_TUNE=//p' >"$scratch/out"
    [ "$(cat "$scratch/out")" = on_misuse=report,keep_free=1m ]
    ok $? "behind what is there already"
    says "hakmem: tune: unknown knob 'keep_fre'; nearest is keep_free"
    expect 2 "a wrong --tune runs nothing" "$scratch/said" "$hakmem" run --tune=keep_fre=1m -- sh -c 'echo ran'
    [ ! -s "$scratch/out" ]
    ok $? "nothing at all"
fi

# ---- force_libc -----------------------------------------------------------------------------------------------------
# glibc's malloc_info tells how much it held at most, and libhakmem's does not.
preloaded "$scratch/whose" >"$scratch/out"
! grep -q '<system type="max"' "$scratch/out" && grep -q '<malloc version' "$scratch/out"
ok $? "malloc_info is libhakmem's"
expect 0 "a program under force_libc" "$scratch/nothing" \
    env LD_PRELOAD="$library" HAKMEM_TUNE=force_libc=yes "$scratch/whose"
grep -q '<system type="max"' "$scratch/out"
ok $? "malloc_info is the C library's"
cat >"$scratch/family.c" <<'END'
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
void free_sized(void *block, size_t size) __attribute__((weak));
void free_aligned_sized(void *block, size_t align, size_t size) __attribute__((weak));
static int failures;
#define EXPECT(x) ((x) ? (void)0 : (void)(failures++, printf("not so: %s\n", #x)))
/* glibc puts blocks of the main thread on the program's break, or maps them, which mallinfo counts. */
static int on_break(void *block)
{
    return (char *)block < (char *)sbrk(0) && (char *)block > (char *)sbrk(0) - (64 << 20);
}
static void *thread(void *argument)
{
    for (int i = 0; i < 20000; i++) {
        char *block = malloc((size_t)i % 3000);
        block = realloc(block, (size_t)i % 5000 + 1);
        memset(block, i, (size_t)i % 5000 + 1);
        free(block);
    }
    free(argument);
    return malloc(77);
}
int main(void)
{
    static const size_t sizes[] = {0, 1, 16, 100, 1000, 40000, 131072, 300000, 2000000, 50000000};
    void *zeroed, *aligned, *result = NULL;
    pthread_t threads[8];
    EXPECT(on_break(malloc(100)) && on_break(calloc(3, 30)) && on_break(memalign(64, 100)) && on_break(realloc(NULL, 50)));
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t mapped = mallinfo2().hblks;
        char *block = malloc(sizes[i]);
        EXPECT(malloc_usable_size(block) >= sizes[i] && (on_break(block) || mallinfo2().hblks == mapped + 1));
        memset(block, 7, sizes[i]);
        block = realloc(block, 2 * sizes[i] + 1);
        EXPECT(sizes[i] == 0 || (block[0] == 7 && block[sizes[i] - 1] == 7));
        if (free_sized)
            free_sized(block, 2 * sizes[i] + 1);
        else
            free(block);
        zeroed = calloc(sizes[i], 1);
        for (size_t at = 0; at < sizes[i]; at += 511)
            EXPECT(((char *)zeroed)[at] == 0);
        free(zeroed);
        EXPECT(posix_memalign(&aligned, 4096, sizes[i]) == 0 && (uintptr_t)aligned % 4096 == 0);
        free(aligned);
        aligned = aligned_alloc(256, sizes[i]);
        EXPECT((uintptr_t)aligned % 256 == 0);
        if (free_aligned_sized)
            free_aligned_sized(aligned, 256, sizes[i]);
        else
            free(aligned);
    }
    EXPECT((uintptr_t)valloc(10) % 4096 == 0 && malloc_usable_size(pvalloc(10)) >= 4096);
    errno = 0;
    volatile size_t much = PTRDIFF_MAX;
    EXPECT(malloc(much) == NULL && errno == ENOMEM);
    EXPECT(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1);
    EXPECT(mallinfo2().uordblks > 0 && malloc_usable_size(NULL) == 0);
    malloc_trim(0);
    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, thread, malloc(100));
    for (int i = 0; i < 30 && !getenv("HAKMEM_TEST_EMULATED"); i++) {
        int status = -1;
        pid_t child = fork();
        if (child == 0) {
            free(malloc(100000));
            _exit(0);
        }
        waitpid(child, &status, 0);
        EXPECT(status == 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], &result);
        free(result);
    }
    puts(failures ? "failed" : "all is well");
    return failures != 0;
}
END
compile_c -o "$scratch/family" "$scratch/family.c" || exit 99
expect 0 "the whole family, threads and fork under force_libc" "$scratch/nothing" \
    env LD_PRELOAD="$library" HAKMEM_TUNE=force_libc=yes "$scratch/family"
grep -qx 'all is well' "$scratch/out" || note "$scratch/out"
! preloaded "$scratch/family" >"$scratch/out" 2>&1
ok $? "which notices that libhakmem's is another"
if [ "$enable_static" = yes ] && [ -e "$archive" ] &&
    compile_c -static -o "$scratch/static" "$scratch/whose.c" "$archive" 2>/dev/null; then
    says "hakmem: HAKMEM_TUNE: force_libc: 'yes' is not supported by this build on this system"
    expect 0 "force_libc is refused in a static program" "$scratch/said" env HAKMEM_TUNE=force_libc=yes "$scratch/static"
else
    skip "force_libc is refused in a static program" "no static libraries"
fi

# Real programs: what they print is the same.
both()
{
    what=$1
    shift
    limited 600 "$@" >"$scratch/expected" 2>/dev/null || {
        skip "$what under force_libc" "fails without the library as well"
        return
    }
    limited 600 env LD_PRELOAD="$library" HAKMEM_TUNE=force_libc=yes "$@" >"$scratch/out" 2>"$scratch/err" &&
        diff "$scratch/expected" "$scratch/out" >"$scratch/diff" && [ -s "$scratch/out" ] && [ ! -s "$scratch/err" ]
    good=$?
    ok $good "$what under force_libc"
    [ $good -eq 0 ] || note "$scratch/err"
}
if have python3 && ! emulated; then
    both python3 python3 -c 'import json, threading
print(json.loads(json.dumps({str(i): [i] * (i % 50) for i in range(20000)}))["77"])
t = [threading.Thread(target=lambda: [bytearray(i) for i in range(5000)]) for _ in range(8)]
[x.start() for x in t]; [x.join() for x in t]; print(len(t))'
else
    skip "python3 under force_libc" "not here"
fi
if have sqlite3 && ! emulated; then
    both sqlite3 sqlite3 :memory: "CREATE TABLE t (a, b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
        WHERE i < 30000) INSERT INTO t SELECT i, zeroblob(i % 300) FROM n; CREATE INDEX x ON t (b, a);
        SELECT count(*), sum(length(b)) FROM t; PRAGMA integrity_check;"
else
    skip "sqlite3 under force_libc" "not here"
fi
# shellcheck disable=SC2016
have perl && ! emulated && both perl perl -e '$h{$_ % 1000} .= "x" x ($_ % 50) for 1 .. 100000; print length(join "", values %h), "\n"'
have git && both git git -C "$top_srcdir" log --oneline -n 20
cat >"$scratch/new.cc" <<'END'
#include <cstdio>
#include <map>
#include <memory>
#include <new>
#include <string>
struct alignas(128) wide { char bytes[300]; };
char *volatile block;
int main()
{
    std::map<std::string, std::unique_ptr<wide>> map;
    for (int i = 0; i < 10000; i++)
        map[std::to_string(i * 7919 % 3000) + " is the key of this"] = std::make_unique<wide>();
    try {
        volatile std::size_t much = 1ul << 60;
        block = new char[much];
    } catch (const std::bad_alloc &) {
        std::printf("%zu entries\n", map.size());
    }
}
END
if compile_cxx -o "$scratch/new" "$scratch/new.cc" 2>/dev/null; then
    both "operator new" "$scratch/new"
else
    skip "operator new under force_libc" "no C++ compiler"
fi

# ---- heaps_per_cpu --------------------------------------------------------------------------------------------------
cat >"$scratch/heaps.c" <<'END'
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
static pthread_barrier_t barrier;
static void *thread(void *argument)
{
    (void)argument;
    void *block = malloc(100);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return block;
}
int main(void)
{
    pthread_t threads[60];
    pthread_barrier_init(&barrier, NULL, 61);
    for (int i = 0; i < 60; i++)
        pthread_create(&threads[i], NULL, thread, NULL);
    pthread_barrier_wait(&barrier);
    malloc_info(0, stdout);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 60; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
END
compile_c -o "$scratch/heaps" "$scratch/heaps.c" || exit 99
cpus=$(nproc)
heaps() { preloaded HAKMEM_TUNE="heaps_per_cpu=$1" "$scratch/heaps" | grep -c '<heap nr='; }
# The commons are a heap as well.
one=$(heaps 1)
three=$(heaps 3)
[ "$one" -eq $((cpus < 61 ? cpus + 1 : 62)) ] && [ "$three" -eq $((3 * cpus < 61 ? 3 * cpus + 1 : 62)) ]
ok $? "heaps_per_cpu: $one and $three heaps for 61 threads on $cpus processors"

# ---- thp ------------------------------------------------------------------------------------------------------------
cat >"$scratch/huge_pages.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* The flags of the mapping that a block is in: hg where huge pages are asked for, nh where they are not wanted. */
int main(void)
{
    char line[4096];
    char *block = malloc(100);
    int inside = 0;
    FILE *maps = fopen("/proc/self/smaps", "r");
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (unsigned long)block >= from && (unsigned long)block < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            fputs(line, stdout);
    }
    return 0;
}
END
compile_c -o "$scratch/huge_pages" "$scratch/huge_pages.c" || exit 99
if emulated; then
    skip "thp" "the emulator does not ask for huge pages"
elif [ -e /sys/kernel/mm/transparent_hugepage ] && "$scratch/huge_pages" | grep -q '^VmFlags:'; then
    for setting in never:nh always:hg auto:nh; do
        preloaded HAKMEM_TUNE="thp=${setting%:*}" "$scratch/huge_pages" >"$scratch/out"
        grep -q " ${setting#*:} " "$scratch/out"
        ok $? "thp=${setting%:*}: a superslab has the flag ${setting#*:}"
        note "$scratch/out"
    done
else
    skip "thp" "the kernel has no transparent huge pages, or does not tell"
fi

# ---- Completion -----------------------------------------------------------------------------------------------------
if have bash && [ -r /usr/share/bash-completion/bash_completion ]; then
    cat >"$scratch/complete" <<'END'
. /usr/share/bash-completion/bash_completion
. "$1/tools/completions/hakmem"
hakmem=$2
shift 2
COMP_WORDS=("$hakmem" "$@")
COMP_CWORD=$#
COMP_LINE="${COMP_WORDS[*]}"
COMP_POINT=${#COMP_LINE}
compopt() { :; }
_hakmem "$hakmem" "${COMP_WORDS[COMP_CWORD]}"
printf '%s ' "${COMPREPLY[@]}"
END
    completes()
    {
        wanted=$1
        shift
        got=$(bash "$scratch/complete" "$top_srcdir" "$hakmem" "$@" 2>&1)
        [ "$got" = "$wanted " ]
        ok $? "completion of $*: $got"
    }
    completes "list" tune l
    completes "keep_free" tune explain keep
    completes "keep_free=" tune check keep
    completes "--tune=" run --t
    completes "keep_free=" run --tune=keep
    completes "1,keep_free=" run --tune=huge_cache=1,keep
    # What is up to the last `=` is another word to readline.
    completes "low-memory" tune check preset=lo
else
    skip "completion" "no bash-completion"
fi
finish
