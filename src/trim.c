/* SPDX-License-Identifier: MIT */
/*
 * trim.c - gives back all that can be given back, at somebody's request or when memory is out.  Owns nothing; takes
 * one heap's lock at a time.  Calls cache.h, pool.h, purge.h, superslab.h and large.h.
 *
 * Other threads' magazines are out of reach; they are bounded (sizeclass_table.h).
 */
#include "init.h"
#include "large.h"
#include "pool.h"
#include "purge.h"
#include "slow.h"

static size_t give_back(size_t keep, bool pages)
{
    if (!hak_ready())
        return 0;
    struct hak_thread *mine = hak_thread_self();
    if (mine)
        hak_cache_empty(mine);
    hak_lock(&hak_purge_lock);
    for (uint32_t number = 1; number <= hak_heap_count(); number++)
        hak_heap_drain(hak_heap_numbered(number));
    size_t given = pages ? hak_purge_pages() : 0;
    given += hak_super_purge(keep) + hak_huge_purge(keep);
    hak_unlock(&hak_purge_lock);
    return given;
}

size_t hak_trim(size_t keep)
{
    return give_back(keep, true);
}

size_t hak_reclaim(void)
{
    return give_back(0, false);
}
