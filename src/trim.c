/* SPDX-License-Identifier: MIT */
/*
 * trim.c - gives back all that can be given back, at somebody's request or when memory is out.  Owns nothing; takes
 * one heap's lock at a time.  Calls cache.h, pool.h, superslab.h and large.h.
 *
 * Other threads' magazines are out of reach; they are bounded (sizeclass_table.h).
 */
#include "init.h"
#include "large.h"
#include "pool.h"
#include "slow.h"

size_t hak_trim(size_t keep)
{
    if (!hak_ready())
        return 0;
    struct hak_thread *mine = hak_thread_self();
    if (mine)
        hak_cache_empty(mine);
    for (uint32_t number = 1; number <= hak_heap_count(); number++)
        hak_heap_drain(hak_heap_numbered(number));
    return hak_super_purge(keep) + hak_huge_purge(keep);
}
