/* SPDX-License-Identifier: MIT */
/*
 * snapshot.c - snapshots of this process.  Owns nothing.  Holds one lock at a time, and none while text is written.
 * Allocates nothing, but may map pages while it prints.  Calls usage.h, init.h, meta.h, os.h, registry.h, huge.h and
 * superslab.h.
 */
#include "stats/stats.h"

#include <errno.h>
#include <string.h>

#include "process/init.h"
#include "pages/meta.h"
#include "os/os.h"

#define TRIES 1000 /* of a lock; whoever holds it may be running */

static bool snapshot_try(struct hak_lock *lock) HAK_TRY_ACQUIRES(*lock);
static bool snapshot_lock(struct hak_lock *lock, enum hak_patience patience) HAK_TRY_ACQUIRES(*lock);

static bool snapshot_try(struct hak_lock *lock)
{
    for (unsigned i = 0; i < TRIES; i++) {
        if (hak_lock_try(lock))
            return true;
        hak_os_pause();
    }
    return false;
}

/* False if the lock could not be had. */
static bool snapshot_lock(struct hak_lock *lock, enum hak_patience patience)
{
    if (patience != HAK_LOCK_WAIT)
        return snapshot_try(lock);
    hak_lock(lock);
    return true;
}

/* ---- the view of this process ---- */

/* A heap stays locked from `open` to `close`, if it could be locked: the view remembers that, and clang cannot. */
static const struct hak_heap *snapshot_open(struct hak_view *view, uint32_t number) HAK_UNCHECKED;
static void snapshot_close(struct hak_view *view, const struct hak_heap *heap) HAK_UNCHECKED;

static const struct hak_heap *snapshot_open(struct hak_view *view, uint32_t number)
{
    struct hak_heap *heap = hak_heap_numbered(number);
    view->locked = snapshot_lock(&heap->lock, view->patience);
    return view->locked || view->patience == HAK_LOCK_SKIP ? heap : NULL;
}

static void snapshot_close(struct hak_view *view, const struct hak_heap *heap)
{
    if (view->locked)
        hak_unlock(&hak_heap_numbered(heap->number)->lock);
}

static const struct hak_tcache *snapshot_thread(struct hak_view *view, const struct hak_tcache *at)
{
    (void)view;
    return at;
}

static uint32_t snapshot_entry(struct hak_view *view, const void *block)
{
    (void)view;
    return hak_entry_of(block);
}

/* Copy what the page heap, or the table of huge blocks, counts.  False if the lock could not be had.  HAK_LOCK_SKIP
 * reads without the lock then, which clang cannot follow. */
static bool snapshot_super(struct hak_super_counts *counts, enum hak_patience patience) HAK_UNCHECKED;
static bool snapshot_huge(struct hak_huge_counts *counts, enum hak_patience patience) HAK_UNCHECKED;

static bool snapshot_super(struct hak_super_counts *counts, enum hak_patience patience)
{
    bool locked = snapshot_lock(&hak_super_lock, patience);
    *counts = *hak_super_counts_at();
    if (locked)
        hak_unlock(&hak_super_lock);
    return locked || patience == HAK_LOCK_SKIP;
}

static bool snapshot_huge(struct hak_huge_counts *counts, enum hak_patience patience)
{
    bool locked = snapshot_lock(&hak_huge_lock, patience);
    *counts = *hak_huge_counts_at();
    if (locked)
        hak_unlock(&hak_huge_lock);
    return locked || patience == HAK_LOCK_SKIP;
}

static bool snapshot_counts(struct hak_counts *counts, enum hak_patience patience)
{
    *counts = (struct hak_counts){
        .own_bytes = hak_load(&hak_meta_held),
        .mapped = hak_load(&hak_os_counts.mapped),
        .mapped_peak = hak_load(&hak_os_counts.mapped_peak),
        .want_huge = hak_load(&hak_os_counts.want_huge),
        .stocks = hak_stock_count(hak_stocks),
    };
    for (unsigned kind = 0; kind < HAK_OS_KINDS; kind++)
        counts->calls[kind] = hak_load(&hak_os_counts.calls[kind]);
    return snapshot_super(&counts->super, patience) && snapshot_huge(&counts->huge, patience);
}

bool hak_stats_view(struct hak_view *view, enum hak_patience patience)
{
    *view = (struct hak_view){
        .patience = patience,
        .open = snapshot_open,
        .close = snapshot_close,
        .thread = snapshot_thread,
        .entry = snapshot_entry,
        .process = hak_os_pid(),
    };
    if (!hak_ready())
        return true;
    view->heaps = hak_heap_count();
    return snapshot_counts(&view->counts, patience);
}

/* ---- hakmem.h's functions ---- */

/* Hands out as much of a structure as the caller knows, and says in its second member how much that is. */
static int snapshot_hand_out(void *to, size_t size, const void *from, size_t known)
{
    uint32_t filled = (uint32_t)hak_copy_out(to, size, from, known);
    memcpy((char *)to + offsetof(struct hakmem_stats, size), &filled, sizeof filled);
    return 0;
}

static int snapshot_refuse(void)
{
    errno = EINVAL;
    return -1;
}

/* The view for a caller that waits for locks, with what is resident, which takes system calls. */
static void snapshot_view(struct hak_view *view)
{
    hak_stats_view(view, HAK_LOCK_WAIT);
    view->counts.resident = hak_os_resident();
}

int hakmem_stats_get(struct hakmem_stats *stats, size_t size)
{
    struct hak_view view;
    struct hak_usage usage;
    struct hakmem_stats all;
    if (size < offsetof(struct hakmem_stats, live_blocks))
        return snapshot_refuse();
    snapshot_view(&view);
    hak_usage_collect(&view, 0, &usage);
    hak_usage_total(&view, &usage, &all);
    return snapshot_hand_out(stats, size, &all, sizeof all);
}

int hakmem_stats_get_class(size_t index, struct hakmem_stats_class *stats, size_t size)
{
    struct hak_view view;
    struct hak_usage usage;
    struct hakmem_stats_class one;
    if (index >= HAK_CLASS_COUNT || size < offsetof(struct hakmem_stats_class, block_bytes))
        return snapshot_refuse();
    hak_stats_view(&view, HAK_LOCK_WAIT);
    hak_usage_collect(&view, 0, &usage);
    hak_usage_class(&usage, (unsigned)index, &one);
    return snapshot_hand_out(stats, size, &one, sizeof one);
}

int hakmem_stats_get_heap(size_t index, struct hakmem_stats_heap *stats, size_t size)
{
    struct hak_view view;
    struct hakmem_stats_heap one;
    if (!hak_ready() || index >= hak_heap_count() || size < offsetof(struct hakmem_stats_heap, threads))
        return snapshot_refuse();
    hak_stats_view(&view, HAK_LOCK_WAIT);
    hak_usage_heaps(&view, (uint32_t)index + 1, 1, &one);
    return snapshot_hand_out(stats, size, &one, sizeof one);
}

void hak_stats_write_stderr(void *unused, const char *text, size_t length)
{
    (void)unused;
    hak_os_write_stderr(text, length);
}

/* The figures of many heaps get pages of their own.  Without them, hak_usage_print() reads the heaps several times. */
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
        return snapshot_refuse();
    snapshot_view(&view);
    hak_stats_print(&view, format, write ? write : hak_stats_write_stderr, arg);
    return 0;
}
