/* SPDX-License-Identifier: MIT */
/*
 * trim.c - gives memory back at once.  Owns the last allocation that failed although all had gone back, guarded by
 * hak_purge_lock; takes one heap's lock at a time.  Calls tcache.h, registry.h, purge.h, superslab.h, huge.h, stock.h
 * and limit.h.
 *
 * Other threads' magazines cannot be emptied; they are bounded (sizeclass_table.h).
 */
#include "purge/trim.h"

#include <errno.h>

#include "heap/registry.h"
#include "knobs/knobs.h"
#include "os/os.h"
#include "pages/huge.h"
#include "pages/limit.h"
#include "pages/misuse.h"
#include "pages/stock.h"
#include "pages/superslab.h"
#include "pages/trigger.h"
#include "purge/purge.h"

#define KEEP_ALL ((size_t)1 << 40)  /* with so large a keep_free (preset=latency) no call gives memory back */
#define FUTILE_MS 50u               /* after so long other processes may have made room */
#define OTHERS_MOST 4u              /* tries that rely on what other threads gave back */
#define UNCOUNTED ((size_t)4 << 20) /* bytes that may be free and are not counted: magazines, outboxes */

/* How often all that is free has gone back.  Written under hak_purge_lock; a try reads it without. */
static _Atomic uint32_t trim_reclaims;

static struct {
    size_t owed;          /* bytes of rise that no cached mapping was small enough for, so far */
    size_t futile_size;   /* the smallest allocation that failed although all that is free had gone back, or 0, */
    size_t futile_in_use; /* the bytes that were in use then, */
    uint64_t futile_at;   /* and when that was, in milliseconds */
} trim HAK_GUARDED_BY(hak_purge_lock);

/* `mine` is the calling thread's cache, or NULL. */
HAK_REQUIRES(hak_purge_lock) static size_t trim_locked(struct hak_tcache *mine, size_t keep, bool pages)
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
        hak_store_release(&trim_reclaims, hak_load(&trim_reclaims) + 1);
    return given;
}

static size_t trim_all(size_t keep, bool pages)
{
    struct hak_tcache *mine = hak_tcache_mine();
    hak_lock(&hak_purge_lock);
    size_t given = trim_locked(mine, keep, pages);
    hak_unlock(&hak_purge_lock);
    hak_misuse_report();
    return given;
}

size_t hak_trim(size_t keep)
{
    return trim_all(keep, true);
}

void hak_reclaim(void)
{
    trim_all(0, false);
}

void hak_trim_to(size_t units, size_t mappings)
{
    hak_lock(&hak_purge_lock);
    for (unsigned i = 0; i < HAK_STOCKS && units < SIZE_MAX; i++)
        hak_stock_decay(&hak_stocks[i], true);
    hak_super_purge(units);
    hak_huge_purge(mappings);
    hak_unlock(&hak_purge_lock);
}

/* Of two threads that come at once, one does it for both.  A quarter less than keep_free stays, so that not each free
 * of a heap that shrinks makes a system call. */
void hak_purge_excess(void)
{
    size_t keep = hak_super_keep();
    if (!hak_lock_try(&hak_purge_lock))
        return;
    hak_store(&hak_trigger.excess, 0);
    hak_super_purge(keep - keep / 4);
    hak_unlock(&hak_purge_lock);
}

void hak_shed(void)
{
    int saved = errno;
    size_t rise = hak_load(&hak_limit_rise);
    hak_store(&hak_limit_rise, 0);
    if (hak_knob_value(keep_free) >= KEEP_ALL || !hak_lock_try(&hak_purge_lock))
        return;
    size_t owed = hak_add_sat(trim.owed, rise), given = hak_huge_shed(owed);
    trim.owed = hak_huge_count().cached ? owed - given : 0;
    if (given < rise)
        hak_super_shed(rise - given);
    hak_unlock(&hak_purge_lock);
    errno = saved;
}

/* ---- when memory is out ---- */

/* Bytes held and not known to be free. */
static size_t trim_in_use(void)
{
    size_t held = hak_load(&hak_limit_held), idle = hak_purge_idle();
    return held > idle ? held - idle : 0;
}

/* Whether giving back what is free can make room for an allocation of so many bytes. */
HAK_REQUIRES(hak_purge_lock) static bool trim_may_help(size_t size)
{
    size_t in_use = trim_in_use();
    if (!hak_limit_allows(in_use > UNCOUNTED ? in_use - UNCOUNTED : 0, size))
        return false;
    return !trim.futile_size || size < trim.futile_size || in_use < trim.futile_in_use ||
           hak_os_milliseconds() - trim.futile_at >= FUTILE_MS;
}

static void trim_note_futile(size_t size)
{
    hak_lock(&hak_purge_lock);
    trim.futile_size = HAK_MAX(size, 1);
    trim.futile_in_use = trim_in_use();
    trim.futile_at = hak_os_milliseconds();
    hak_unlock(&hak_purge_lock);
}

void hak_retry_begin(struct hak_retry *retry)
{
    retry->seen = hak_load_acquire(&trim_reclaims);
}

bool hak_retry(struct hak_retry *retry, size_t size)
{
    bool again = false;
    if (!hak_os_could_map(size))
        return false;
    if (retry->last) {
        trim_note_futile(size);
        return false;
    }
    if (hak_load_acquire(&trim_reclaims) != retry->seen && retry->others++ < OTHERS_MOST)
        return true;
    struct hak_tcache *mine = hak_tcache_mine();
    hak_lock(&hak_purge_lock);
    if (hak_load(&trim_reclaims) != retry->seen && retry->others++ < OTHERS_MOST) {
        again = true; /* another thread has done it while this one waited */
    } else {
        again = trim_may_help(size);
        if (again)
            trim_locked(mine, 0, false);
        retry->last = true;
    }
    hak_unlock(&hak_purge_lock);
    hak_misuse_report();
    return again;
}
