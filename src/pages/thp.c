/* SPDX-License-Identifier: MIT */
/*
 * thp.c - when huge pages are worth asking for.  Owns what is known of how the last ones came, atomics without an order
 * among them.  Calls os.h and knobs.h.
 *
 * The kernel clears a huge page in a tenth of a millisecond if it has one, and 512 small pages in half of one.  But it
 * may have to move other memory out of the way first, or a hypervisor to find memory for the machine, and then a huge
 * page takes milliseconds where small ones, of which some always lie about, do not.  So it is timed: after one that
 * was dear none is taken for a while, in proportion to what it took, which bounds the share of time that is lost.
 * Where the first block is a large one it is timed now and then only: the program may never write to it.
 *
 * Of a block of more than half a superslab a program may touch a page and no more: a table, a stack, a buffer of the
 * largest size.  No huge pages are asked for because of one, unless the kernel gives them to everybody.
 */
#include "pages/thp.h"

#include "base/atomics.h"
#include "os/os.h"
#include "knobs/knobs.h"

/* From this much heap on a superslab asks for a huge page, as what one of them may waste is then a few percent; before,
 * for none, as the kernel may be set to give them to everybody. */
#define HUGE_PAGES_FROM ((size_t)32 << 20)
#define SLOW_NS 2000000u /* nanoseconds of a processor; small pages would have taken less */
#define PAUSE 1024u        /* times as long as it took none is taken */
#define LARGE_TIMED 8u     /* so many large blocks are timed, */
#define LARGE_SHARE 4u     /* and one of so many from then on */

static _Atomic uint64_t again_at; /* hak_os_milliseconds(), or 0 */
static _Atomic bool last_was_slow;    /* the last one that was timed was dear */
static _Atomic unsigned large;    /* how many large blocks came first in their superslabs */

/* Larger huge pages than superslabs would be resident where the account says that nothing is. */
static bool size_fits(void)
{
    return hak_os_huge_page() <= HAK_SUPER;
}

bool hak_thp_wanted(size_t heap, bool long_run)
{
    if (hak_knob_value(thp) == HAK_THP_AUTO)
        return heap > HUGE_PAGES_FROM && size_fits() && (!long_run || hak_os_huge_pages_are_usual());
    return hak_knob_value(thp) == HAK_THP_ALWAYS && size_fits();
}

bool hak_thp_backed_off(void)
{
    uint64_t until = hak_load(&again_at);
    if (HAK_LIKELY(until == 0))
        return false;
    if (hak_os_milliseconds() < until)
        return true;
    atomic_compare_exchange_strong(&again_at, &until, 0); /* unless another was dear just now */
    return false;
}

bool hak_thp_times_large(void)
{
    unsigned before = hak_fetch_add(&large, 1);
    return hak_load(&last_was_slow) || before < LARGE_TIMED || before % LARGE_SHARE == 0;
}

void hak_thp_touch(void *block)
{
    if (hak_knob_value(thp) != HAK_THP_AUTO)
        return;
    uint64_t took = hak_os_touch(block);
    hak_store(&last_was_slow, took >= SLOW_NS);
    if (HAK_LIKELY(took < SLOW_NS))
        return;
    uint64_t until = hak_os_milliseconds() + took * PAUSE / 1000000, before = hak_load(&again_at);
    while (before < until && !atomic_compare_exchange_weak(&again_at, &before, until))
        ;
}
