/* SPDX-License-Identifier: MIT */
/*
 * trim.c - gives back all that can be given back, at somebody's request or when memory is out.  Owns nothing; takes
 * one heap's lock at a time.  Calls tcache.h, registry.h, purge.h, superslab.h, large.h and limit.h.
 *
 * Other threads' magazines are out of reach; they are bounded (sizeclass_table.h).
 */
#include "purge/trim.h"

#include <errno.h>

#include "os/os.h"
#include "pages/large.h"
#include "pages/limit.h"
#include "pages/misuse.h"
#include "pages/stock.h"
#include "heap/registry.h"
#include "purge/purge.h"
#include "knobs/knobs.h"

/* Who is told to keep as much wants nothing to go back in the middle of a call. */
#define KEEP_ALL ((size_t)1 << 40)

/* Under hak_purge_lock: how often all that is free has gone back so far, and what that did not help. */
static _Atomic uint32_t reclaims;
static struct {
    size_t size;   /* an allocation that failed afterwards */
    size_t needed; /* what was in use then */
    uint64_t when; /* in milliseconds */
} futile;

#define FUTILE_MS 50u /* so long nothing but frees of its own is expected to make room for a process */
#define OTHERS_MOST 4u /* times that a call relies on what other threads give back */
#define UNCOUNTED ((size_t)4 << 20) /* more may be free than is counted: magazines, outboxes */

/* Under hak_purge_lock.  `mine` is the calling thread's cache, if it has one. */
static size_t give_back_locked(struct hak_tcache *mine, size_t keep, bool pages)
{
    if (mine)
        hak_tcache_empty(mine);
    for (uint32_t number = 1; number <= hak_heap_count(); number++)
        hak_heap_drain(hak_heap_numbered(number));
    size_t given = pages ? hak_purge_pages() : 0;
    for (unsigned i = 0; i < HAK_STOCKS; i++)
        hak_stock_decay(&hak_stocks[i], true);
    given += hak_super_purge(keep) + hak_huge_purge(keep);
    given += hak_super_unmap(keep);
    if (keep == 0)
        hak_store_release(&reclaims, hak_load(&reclaims) + 1);
    return given;
}

static size_t give_back(size_t keep, bool pages)
{
    struct hak_tcache *mine = hak_tcache_mine();
    hak_lock(&hak_purge_lock);
    size_t given = give_back_locked(mine, keep, pages);
    hak_unlock(&hak_purge_lock);
    hak_misuse_report();
    return given;
}

size_t hak_trim(size_t keep)
{
    return give_back(keep, true);
}

void hak_shed(void)
{
    static size_t owed; /* what a mapping that is larger than the last rise has to wait for; under the lock */
    int saved = errno;
    size_t rise = hak_load(&hak_limit_rise);
    hak_store(&hak_limit_rise, 0);
    if (hak_knob_value(keep_free) >= KEEP_ALL || !hak_lock_try(&hak_purge_lock))
        return;
    size_t given = hak_huge_shed(hak_add_sat(owed, rise));
    owed = hak_huge_count().cached ? hak_add_sat(owed, rise) - given : 0;
    if (given < rise)
        hak_super_shed(rise - given);
    hak_unlock(&hak_purge_lock);
    errno = saved;
}

/* Of two threads that come at once, one does it for both.  A quarter less stays than may, so that not each free of a
 * heap that shrinks makes a system call. */
void hak_purge_excess(void)
{
    size_t keep = hak_super_keep();
    if (!hak_lock_try(&hak_purge_lock))
        return;
    hak_store(&hak_trigger.excess, 0);
    hak_super_purge(keep - keep / 4);
    hak_unlock(&hak_purge_lock);
}

void hak_reclaim(void)
{
    give_back(0, false);
}

/* ---- when memory is out ---- */

/* What is held and not known to be free. */
static size_t needed(void)
{
    size_t held = hak_load(&hak_limit_held), idle = hak_purge_idle();
    return held > idle ? held - idle : 0;
}

/* Whether room may be made for so many bytes by giving back what is free. */
static bool may_help(size_t size)
{
    size_t in_use = needed();
    if (!hak_limit_allows(in_use > UNCOUNTED ? in_use - UNCOUNTED : 0, size))
        return false;
    return !futile.size || size < futile.size || in_use < futile.needed ||
           hak_os_milliseconds() - futile.when >= FUTILE_MS;
}

static void note_futile(size_t size)
{
    hak_lock(&hak_purge_lock);
    futile.size = HAK_MAX(size, 1);
    futile.needed = needed();
    futile.when = hak_os_milliseconds();
    hak_unlock(&hak_purge_lock);
}

void hak_retry_begin(struct hak_retry *retry)
{
    retry->seen = hak_load_acquire(&reclaims);
}

bool hak_retry(struct hak_retry *retry, size_t size)
{
    bool again = false;
    if (!hak_os_could_map(size))
        return false;
    if (retry->last) {
        note_futile(size);
        return false;
    }
    if (hak_load_acquire(&reclaims) != retry->seen && retry->others++ < OTHERS_MOST)
        return true;
    struct hak_tcache *mine = hak_tcache_mine();
    hak_lock(&hak_purge_lock);
    if (hak_load(&reclaims) != retry->seen && retry->others++ < OTHERS_MOST) {
        again = true; /* another thread has done it while this one waited */
    } else {
        again = may_help(size);
        if (again)
            give_back_locked(mine, 0, false);
        retry->last = true;
    }
    hak_unlock(&hak_purge_lock);
    hak_misuse_report();
    return again;
}
