/* SPDX-License-Identifier: MIT */
/*
 * snapshot.c - snapshots of this process.  Owns nothing; holds one lock at a time, never while it writes, and allocates
 * nothing.  Calls usage.h, init.h, large.h, meta.h, os.h, registry.h and superslab.h.
 */
#include "stats/stats.h"

#include <errno.h>
#include <string.h>

#include "process/init.h"
#include "pages/meta.h"
#include "os/os.h"

/* How often a lock is tried; whoever holds it may be running. */
#define TRIES 1000

static bool try_for_a_while(struct hak_lock *lock)
{
    for (unsigned i = 0; i < TRIES; i++) {
        if (hak_lock_try(lock))
            return true;
        hak_os_pause();
    }
    return false;
}

/* False if the lock could not be had. */
static bool lock_for(struct hak_lock *lock, enum hak_patience patience)
{
    if (patience != HAK_LOCK_WAIT)
        return try_for_a_while(lock);
    hak_lock(lock);
    return true;
}

static const struct hak_heap *open_heap(struct hak_view *view, uint32_t number, enum hak_patience patience)
{
    struct hak_heap *heap = hak_heap_numbered(number);
    view->locked = lock_for(&heap->lock, patience);
    return view->locked || patience == HAK_LOCK_SKIP ? heap : NULL;
}

static const struct hak_heap *open_waiting(struct hak_view *view, uint32_t number)
{
    return open_heap(view, number, HAK_LOCK_WAIT);
}

static const struct hak_heap *open_giving_up(struct hak_view *view, uint32_t number)
{
    return open_heap(view, number, HAK_LOCK_TRY);
}

static const struct hak_heap *open_going_on(struct hak_view *view, uint32_t number)
{
    return open_heap(view, number, HAK_LOCK_SKIP);
}

static void close_heap(struct hak_view *view, const struct hak_heap *heap)
{
    if (view->locked)
        hak_unlock(&hak_heap_numbered(heap->number)->lock);
}

static const struct hak_tcache *thread_itself(struct hak_view *view, const struct hak_tcache *at)
{
    (void)view;
    return at;
}

static uint32_t entry_of(struct hak_view *view, const void *block)
{
    (void)view;
    return hak_entry_of(block);
}

static bool read_counts(struct hak_counts *counts, enum hak_patience patience)
{
    *counts = (struct hak_counts){
        .own_bytes = hak_load(&hak_meta_held),
        .mapped = hak_load(&hak_os_counts.mapped),
        .mapped_peak = hak_load(&hak_os_counts.mapped_peak),
        .want_huge = hak_load(&hak_os_counts.want_huge),
    };
    for (unsigned kind = 0; kind < HAK_OS_KINDS; kind++)
        counts->calls[kind] = hak_load(&hak_os_counts.calls[kind]);
    counts->stocks = hak_stock_count(hak_stocks);
    bool locked = lock_for(&hak_super_lock, patience);
    counts->super = *hak_super_counts_at();
    if (locked)
        hak_unlock(&hak_super_lock);
    else if (patience == HAK_LOCK_TRY)
        return false;
    locked = lock_for(&hak_huge_lock, patience);
    counts->huge = *hak_huge_counts_at();
    if (locked)
        hak_unlock(&hak_huge_lock);
    return locked || patience == HAK_LOCK_SKIP;
}

bool hak_stats_view(struct hak_view *view, enum hak_patience patience)
{
    static const struct hak_heap *(*const opens[])(struct hak_view *, uint32_t) = {
        [HAK_LOCK_WAIT] = open_waiting,
        [HAK_LOCK_TRY] = open_giving_up,
        [HAK_LOCK_SKIP] = open_going_on,
    };
    *view = (struct hak_view){
        .open = opens[patience],
        .close = close_heap,
        .thread = thread_itself,
        .entry = entry_of,
        .process = hak_os_pid(),
    };
    if (!hak_ready())
        return true;
    view->heaps = hak_heap_count();
    return read_counts(&view->counts, patience);
}

/* As much of the structure as the caller knows of. */
static int hand_out(void *to, size_t size, const void *from, size_t known)
{
    uint32_t filled = (uint32_t)HAK_MIN(size, known);
    memset(to, 0, size);
    memcpy(to, from, filled);
    memcpy((char *)to + sizeof(uint32_t), &filled, sizeof filled);
    return 0;
}

static int refuse(void)
{
    errno = EINVAL;
    return -1;
}

int hakmem_stats_get(struct hakmem_stats *stats, size_t size)
{
    struct hak_view view;
    struct hak_usage usage;
    struct hakmem_stats all;
    if (size < offsetof(struct hakmem_stats, live_blocks))
        return refuse();
    hak_stats_view(&view, HAK_LOCK_WAIT);
    view.counts.resident = hak_os_resident();
    hak_usage_collect(&view, 0, &usage);
    hak_usage_total(&view, &usage, &all);
    return hand_out(stats, size, &all, sizeof all);
}

int hakmem_stats_get_class(size_t index, struct hakmem_stats_class *stats, size_t size)
{
    struct hak_view view;
    struct hak_usage usage;
    struct hakmem_stats_class one;
    if (index >= HAK_CLASS_COUNT || size < offsetof(struct hakmem_stats_class, block_bytes))
        return refuse();
    hak_stats_view(&view, HAK_LOCK_WAIT);
    hak_usage_collect(&view, 0, &usage);
    hak_usage_class(&usage, (unsigned)index, &one);
    return hand_out(stats, size, &one, sizeof one);
}

int hakmem_stats_get_heap(size_t index, struct hakmem_stats_heap *stats, size_t size)
{
    struct hak_view view;
    struct hakmem_stats_heap one;
    if (!hak_ready() || index >= hak_heap_count() || size < offsetof(struct hakmem_stats_heap, threads))
        return refuse();
    hak_stats_view(&view, HAK_LOCK_WAIT);
    hak_usage_heaps(&view, (uint32_t)index + 1, 1, &one);
    return hand_out(stats, size, &one, sizeof one);
}

void hak_stats_write_stderr(void *unused, const char *text, size_t length)
{
    (void)unused;
    hak_os_write_stderr(text, length);
}

/* Pages of their own for the figures of many heaps: not for a few, and if there are none, it takes longer. */
bool hak_stats_print(struct hak_view *view, enum hakmem_stats_format format,
                     void (*write)(void *arg, const char *text, size_t length), void *arg)
{
    size_t bytes = view->heaps * sizeof *view->room;
    view->room = bytes > hak_os_page ? hak_os_map(bytes) : NULL;
    view->room_heaps = view->heaps;
    struct hakmem_stats_heap *room = view->room;
    bool printed = hak_usage_print(view, format, write, arg);
    if (room)
        hak_os_unmap(room, hak_round_up(bytes, hak_os_page));
    return printed;
}

int hakmem_stats_print(enum hakmem_stats_format format, void (*write)(void *arg, const char *text, size_t length),
                       void *arg)
{
    struct hak_view view;
    if ((unsigned)format > HAKMEM_STATS_PROMETHEUS)
        return refuse();
    hak_stats_view(&view, HAK_LOCK_WAIT);
    view.counts.resident = hak_os_resident();
    hak_stats_print(&view, format, write ? write : hak_stats_write_stderr, arg);
    return 0;
}
