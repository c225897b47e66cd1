/* SPDX-License-Identifier: MIT */
/*
 * thp.c - when huge pages are worth asking for.  Owns how fast the last ones were faulted in, atomics without an order
 * among them: no lock.  Calls os.h and knobs.h.
 *
 * The kernel clears a huge page in 0.1 ms if it has one, and 512 small pages in 0.5 ms.  But the kernel may have to
 * move other memory out of the way first, or a hypervisor to find memory for the machine.  Then a huge page takes
 * milliseconds to fault in, and small pages, of which some are always free, do not.  So faults of huge pages are timed.
 * After a slow one, huge pages are backed off for a time that is proportional to the fault's, which bounds the share of
 * time that is lost.  Where the first block of a superslab is a large one, only some faults are timed, as timing makes
 * memory resident that the program may never write to.
 *
 * Of a block of more than half a superslab a program may touch one page and no more: of a table, a stack, a buffer of
 * the largest size.  No huge pages are asked for because of such a block, unless the kernel gives them to every
 * program.
 */
#include "pages/thp.h"

#include "base/atomics.h"
#include "os/os.h"
#include "knobs/knobs.h"

/* Superslabs of a smaller heap are told to do without huge pages, as one huge page may waste much of such a heap. */
#define HUGE_PAGES_FROM ((size_t)32 << 20)
#define SLOW_NS 2000000u  /* a slower fault, in nanoseconds of a processor, is slower than 512 small pages */
#define BACK_OFF 1024u    /* huge pages are backed off for so many times as long as the slow fault took */
#define LARGE_TIMED 8u    /* large blocks that are timed at first, */
#define LARGE_SHARE 4u    /* and one in so many from then on */

/* All that this module knows. */
static struct {
    _Atomic uint64_t back_off_until; /* hak_os_milliseconds(); 0: not backed off */
    _Atomic bool last_was_slow;      /* to fault in, of those that were timed */
    _Atomic unsigned large;          /* large blocks that were the first in their superslabs */
} huge_pages;

/* False if a huge page is larger than a superslab: it would make memory resident that is not on the account. */
static bool thp_size_fits(void)
{
    return hak_os_huge_page() <= HAK_SUPER;
}

bool hak_thp_wanted(size_t heap, bool long_run)
{
    if (hak_knob_value(thp) == HAK_THP_AUTO)
        return heap > HUGE_PAGES_FROM && thp_size_fits() && (!long_run || hak_os_huge_pages_are_usual());
    return hak_knob_value(thp) == HAK_THP_ALWAYS && thp_size_fits();
}

bool hak_thp_backed_off(void)
{
    uint64_t until = hak_load(&huge_pages.back_off_until);
    if (HAK_LIKELY(until == 0))
        return false;
    if (hak_os_milliseconds() < until)
        return true;
    atomic_compare_exchange_strong(&huge_pages.back_off_until, &until, 0); /* unless another fault was slow just now */
    return false;
}

bool hak_thp_times_large(void)
{
    unsigned before = hak_fetch_add(&huge_pages.large, 1);
    return hak_load(&huge_pages.last_was_slow) || before < LARGE_TIMED || before % LARGE_SHARE == 0;
}

void hak_thp_touch(void *block)
{
    if (hak_knob_value(thp) != HAK_THP_AUTO)
        return;
    uint64_t took = hak_os_touch(block);
    hak_store(&huge_pages.last_was_slow, took >= SLOW_NS);
    if (HAK_LIKELY(took < SLOW_NS))
        return;
    uint64_t until = hak_os_milliseconds() + took * BACK_OFF / 1000000, before = hak_load(&huge_pages.back_off_until);
    while (before < until && !atomic_compare_exchange_weak(&huge_pages.back_off_until, &before, until))
        ;
}
