#!/bin/sh
# SPDX-License-Identifier: MIT
# What gdb/libhakmem-gdb.py tells gdb of a process and of its threads: where blocks are whose place is known.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
need_interposition
need_shared
have gdb || skip_all "no gdb"
have readelf || skip_all "no readelf"
gdb -batch -nx -ex 'python import gdb.printing' >/dev/null 2>&1 || skip_all "gdb knows no Python"
readelf --sections --wide "$library" | grep -q '\.debug_info' || skip_all "the library has no debugging information"

cat >"$scratch/program.c" <<'END_OF_PROGRAM'
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
/* A program's own names, which the script must not take for the library's. */
static int heaps = 77, table = 88, table_size = 99;
char *live, *freed, *large, *span, *huge, *kept, *sent;
static void *from_another_thread(void *sent_block)
{
    free(malloc(100));
    sent = malloc(5000);
    return sent_block;
}
__attribute__((noinline)) static void stop(void)
{
    __asm__ volatile("" ::"r"(&heaps), "r"(&table), "r"(&table_size) : "memory");
}
int main(void)
{
    pthread_t thread;
    live = malloc(100);
    freed = malloc(100);
    large = malloc(300000);
    span = malloc(500000);
    huge = malloc(400000000); /* a quarter of what is live may be kept */
    kept = malloc(70000000);
    pthread_create(&thread, NULL, from_another_thread, NULL);
    pthread_join(thread, NULL);
    free(freed);
    free(span);
    free(kept);
    free(sent);
    stop();
    return 0;
}
END_OF_PROGRAM
# shellcheck disable=SC2086
$CC $CFLAGS -g -O0 -fno-builtin -pthread -o "$scratch/program" "$scratch/program.c" || exit 99

cat >"$scratch/commands" <<END_OF_COMMANDS
set pagination off
set width 0
set startup-with-shell off
set environment LD_PRELOAD=$library
set environment HAKMEM_TUNE=huge_cache=128m,keep_free=1g,purge_delay=20s
break stop
run
source $top_srcdir/gdb/libhakmem-gdb.py
echo heaps:\n
hakmem heaps
echo live:\n
hakmem address live
echo into:\n
hakmem address live + 7
echo freed:\n
hakmem address freed
echo large:\n
hakmem address large + 70000
echo span:\n
hakmem address span
echo huge:\n
hakmem address huge + 1
echo kept:\n
hakmem address kept
echo sent:\n
hakmem address sent
echo foreign:\n
hakmem address &live
echo window:\n
print hak_window_first
echo super:\n
print hak_window_first.chunks[0].supers[0]
echo slab:\n
print hak_window_first.chunks[0].slabs[0]
echo raw:\n
print/r hak_window_first
echo core:\n
generate-core-file $scratch/core
echo outbox:\n
set var \$thread = hak_heap_numbered(2)->threads_list
set var \$thread->outbox.count = 0xffffffff
hakmem address live
echo ring:\n
python
def refused(command):
    try:
        gdb.execute(command)
    except gdb.error as error:
        print(error)
end
set var \$thread->next_of_heap = \$thread
python refused("hakmem heaps")
echo windows:\n
set var hak_window_first.next = &hak_window_first
python refused("hakmem address huge")
echo wrong:\n
hakmem heaps all
END_OF_COMMANDS
limited 600 gdb -batch -nx -x "$scratch/commands" "$scratch/program" >"$scratch/output" 2>"$scratch/errors"
if ! grep -q '^heaps:$' "$scratch/output"; then
    grep -qi 'ptrace\|could not trace\|not permitted' "$scratch/errors" && skip_all "gdb may not run a program here"
    ok 1 "gdb runs the program"
    note "$scratch/errors"
    finish
fi

# says SECTION WHAT PATTERN: the output of one command.
says()
{
    sed -n "/^$1:\$/,/^[a-z]*:\$/p" "$scratch/output" >"$scratch/section"
    grep -Eq "$3" "$scratch/section"
    good=$?
    ok $good "$2"
    [ $good -eq 0 ] || note "$scratch/section"
}

hex='0x[0-9a-f]+'
# Without statistics slabs are not counted.
case " $HAK_CPPFLAGS " in
*' -DHAK_STATS=0 '*) has= ;;
*) has='[1-9][0-9]* slabs?, [1-9][0-9]* bytes in blocks outside of them, ' ;;
esac
says heaps "the heap of those without one" '^heap 1: 0 threads, '
says heaps "the main thread's heap, with what it has" "^heap 2: 1 thread, ${has}[0-9]+ bytes in depots\$"
says heaps "its magazines" '^    thread with heap 2: [1-9][0-9]* blocks of [1-9][0-9]* bytes in magazines, '
says live "a live block" "^$hex is a block of 112 bytes at $hex, live, of heap 2\$"
says into "an address within it" "^$hex is 7 bytes into a block of 112 bytes at $hex, live, of heap 2\$"
says freed "a free block, found in its thread's magazine" \
    "^$hex is a block of 112 bytes at $hex, free in the magazine of a thread with heap 2, of heap 2\$"
says large "an address within a large block" "^$hex is 70000 bytes into a large block of 327680 bytes at $hex, live\$"
says span "a large block that was freed" "^$hex is in a freed span of 524288 bytes that is kept at $hex\$"
says huge "an address within a huge block" "^$hex is 1 byte into a huge block of [0-9]+ bytes at $hex, live\$"
says kept "a huge block that was freed" "^$hex is in a freed mapping of [0-9]+ bytes that is kept at $hex\$"
says sent "a block of another thread, freed by this one" "^$hex is a block of 5120 bytes at $hex, free in "
says foreign "the program's own variable" "^$hex is not libhakmem's\$"
says window "a window" "= window from $hex to $hex: [1-9][0-9]* of [1-9][0-9]* superslabs tried\$"
says super "a superslab" "= superslab at $hex: [0-9]+ of 32 units free, [0-9]+ of these dirty\$"
says slab "a slab" "= slab of heap [0-9]+ at $hex: [0-9]+ of [1-9][0-9]* blocks of [1-9][0-9]* bytes free\$"
says raw "print/r, which shows the fields" 'units = '
says outbox "an outbox that says it has more than there is room for" "^$hex is a block of 112 bytes at $hex, live, of"
says ring "threads that lead back to themselves" "a list by next_of_heap has no end: the memory of the process is damaged"
says windows "windows that do" "a list by next has no end: the memory of the process is damaged"

# The same from a core, where nothing can be run.
if [ -e "$scratch/core" ]; then
    limited 600 gdb -batch -nx -ex "source $top_srcdir/gdb/libhakmem-gdb.py" -ex 'echo live:\n' \
        -ex 'hakmem address live' -ex 'echo heaps:\n' -ex 'hakmem heaps' "$scratch/program" "$scratch/core" \
        >"$scratch/output" 2>>"$scratch/errors"
    says live "a live block, in a core" "^$hex is a block of 112 bytes at $hex, live, of heap 2\$"
    says heaps "the heaps, in a core" "^heap 2: 1 thread, ${has}[0-9]+ bytes in depots\$"
else
    skip "a core" "gdb could not write one"
fi
grep -q 'hakmem heaps takes no argument' "$scratch/errors"
ok $? "a wrong use is said to be one"
finish
