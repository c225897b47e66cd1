/* SPDX-License-Identifier: MIT */
/*
 * trim.c - gives back all that can be given back, at somebody's request or when memory is out.  Owns nothing; takes
 * one heap's lock at a time.  Calls cache.h, pool.h, purge.h, superslab.h, large.h and limit.h.
 *
 * Other threads' magazines are out of reach; they are bounded (sizeclass_table.h).
 */
#include <errno.h>

#include "process/init.h"
#include "pages/large.h"
#include "pages/limit.h"
#include "pages/misuse.h"
#include "heap/registry.h"
#include "purge/purge.h"
#include "knobs/knobs.h"
#include "front/slow.h"

/* Who is told to keep as much wants nothing to go back in the middle of a call. */
#define KEEP_ALL ((size_t)1 << 40)

static size_t give_back(size_t keep, bool pages)
{
    if (!hak_ready())
        return 0;
    struct hak_tcache *mine = hak_thread_tcache();
    if (mine)
        hak_tcache_empty(mine);
    hak_lock(&hak_purge_lock);
    for (uint32_t number = 1; number <= hak_heap_count(); number++)
        hak_heap_drain(hak_heap_numbered(number));
    size_t given = pages ? hak_purge_pages() : 0;
    given += hak_super_purge(keep) + hak_huge_purge(keep);
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

size_t hak_reclaim(void)
{
    return give_back(0, false);
}
