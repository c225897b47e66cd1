/* SPDX-License-Identifier: MIT */
/*
 * trigger.h - the purge trigger: what makes a call of malloc or free look at the memory that is free.
 *
 * Free memory is counted in the page heap (superslab.c), in the cache of mappings (huge.c) and in each heap (heap.c).
 * Whoever frees compares the count with its threshold, under the lock of the count.  Above the threshold `due` is set,
 * and the next slow path of front/ calls hak_purge_tick().  hak_purge_rearm() (purge/pass.c) clears `due` and sets each
 * threshold to what is free at that moment plus a slack: hak_trigger_rearm() does so in this folder,
 * hak_heap_rearm_purge() for the threshold of a heap, which lies in struct hak_heap.
 */
#ifndef HAK_TRIGGER_H
#define HAK_TRIGGER_H

#include "base/atomics.h"
#include "base/base.h"
#include "base/tls.h"
#include "pages/limit.h"

/* The slack in bytes where nothing else is said, and the first threshold of each count. */
#define HAK_PURGE_SLACK ((size_t)1 << 20)

enum hak_purge_due {
    HAK_PURGE_NONE,  /* no count is above its threshold */
    HAK_PURGE_GROWN, /* one is: the next free looks */
    HAK_PURGE_WATCH, /* no helper makes passes: calls look now and then whether a pass is due */
};

/* All members are atomic and need no lock (R10).  Each is a hint: a value that is seen late makes a look late. */
struct hak_trigger {
    _Atomic uint32_t due;    /* enum hak_purge_due */
    _Atomic uint32_t excess; /* set with `due`: the page heap has more free than keep_free allows */
    _Atomic size_t units;    /* threshold of the page heap, in bytes of free dirty units */
    _Atomic size_t mappings; /* threshold of the cached mappings, in bytes */
    _Atomic size_t reuse;    /* while calls watch: with so many bytes held, memory that went back is in use again */
};

/* Bytes that are free and resident, by where they are. */
struct hak_idle {
    size_t units;    /* in the page heap */
    size_t mappings; /* in cached mappings */
    size_t stocks;   /* in stocks of large blocks */
    size_t heaps;    /* in slabs and depots; hak_trigger_idle() leaves them to its callers, in purge/ */
};

HAK_INLINE size_t hak_idle_outside(const struct hak_idle *idle)
{
    return idle->units + idle->mappings + idle->stocks;
}

HAK_INLINE size_t hak_idle_total(const struct hak_idle *idle)
{
    return hak_idle_outside(idle) + idle->heaps;
}

#pragma GCC visibility push(hidden)
extern struct hak_trigger hak_trigger;
struct hak_idle hak_trigger_idle(void);
/* Clears `due` and sets both thresholds `slack` bytes above what is free; returns what is free. */
struct hak_idle hak_trigger_rearm(size_t slack);
#pragma GCC visibility pop

/* After a free, under the lock of the count. */
HAK_INLINE void hak_trigger_compare(size_t idle, size_t threshold)
{
    if (HAK_UNLIKELY(idle > threshold))
        hak_store(&hak_trigger.due, HAK_PURGE_GROWN);
}

HAK_INLINE void hak_trigger_excess(void)
{
    hak_store(&hak_trigger.excess, 1);
    hak_store(&hak_trigger.due, HAK_PURGE_GROWN);
}

/* While calls watch: whether this call looks.  One of 256 calls of a thread does, since a look reads the clock by a
 * system call; each call does once memory that went back is in use again. */
HAK_INLINE bool hak_trigger_turn(void)
{
    return hak_tls.ticks++ == 0 || hak_load(&hak_limit_held) >= hak_load(&hak_trigger.reuse);
}

/* Whether this call is to call hak_purge_tick(): one that frees, and one that allocates. */
HAK_INLINE bool hak_purge_due_free(void)
{
    uint32_t due = hak_load(&hak_trigger.due);
    return HAK_UNLIKELY(due != HAK_PURGE_NONE) && (due == HAK_PURGE_GROWN || HAK_UNLIKELY(hak_trigger_turn()));
}

HAK_INLINE bool hak_purge_due_alloc(void)
{
    return HAK_UNLIKELY(hak_load(&hak_trigger.due) != HAK_PURGE_NONE) && HAK_UNLIKELY(hak_trigger_turn());
}

#endif
