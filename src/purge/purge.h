/* SPDX-License-Identifier: MIT */
/*
 * purge.h - free memory goes back to the kernel in the course of time.
 *
 * What is free goes back when nobody has used it for a while, whoever freed it and whatever the threads do that own it.
 * A pass over everything (purge.c) gives back what nobody has used since HAK_PURGE_PASSES passes ago (blocks in depots:
 * since the one before):
 *
 *   blocks at the bottom of depots        into their slabs
 *   slabs that are empty                  to their superslabs
 *   pages of slabs without a live block   to the kernel, if half of the slab is free
 *   units that no slab or span uses       to the kernel, in runs as long as there are; a few of a huge page stay
 *   cached mappings                       to the kernel
 *
 * The passes are made by a thread (helper.c), which there is only when enough is free and the program has several
 * threads; where there is none, by calls that allocate and free (caller.c), which also give back at once what a call
 * that may be the last leaves free.  Magazines and outboxes are their threads' own and stay; they are bounded
 * (tcache.c).
 */
#ifndef HAK_PURGE_H
#define HAK_PURGE_H

#include "base/tls.h"
#include "os/lock.h"
#include "pages/limit.h"
#include "pages/superslab.h"

#pragma GCC visibility push(hidden)
/* Whoever gives memory back holds it while units are out of their superslabs. */
extern struct hak_lock hak_purge_lock;

/* One pass; returns the bytes given back.  *round tells whether a round over all slabs was finished, which takes more
 * than one pass in a large heap. */
size_t hak_purge_pass(bool *round);
/* Gives back all that is free now as if it had rested, the pages among blocks in use only if heaps have as many bytes
 * free as `pages_from`; returns the bytes. */
size_t hak_purge_rush(size_t pages_from);
/* The pages in all slabs at once; returns the bytes given back.  Under hak_purge_lock, which it lets go at times. */
size_t hak_purge_pages(void);
/* The bytes that are free, wherever, but for threads' magazines and outboxes. */
size_t hak_purge_idle(void);
/* Those of them that are not in slabs and depots. */
size_t hak_purge_idle_outside(void);
/* hak_purge_due is one of these, or 0. */
enum hak_purge_due {
    HAK_PURGE_GROWN = 1, /* more is free than hak_purge_rearm() allowed for */
    HAK_PURGE_WATCH,     /* calls are to look at times whether a pass is due */
};
/* hak_purge_due will be set when `slack` bytes more are free than now; returns the bytes that are. */
size_t hak_purge_rearm(size_t slack);

/* caller.c: with as many bytes held, use of what was given back has begun. */
extern _Atomic size_t hak_purge_used_from;
/* Called without a lock, when hak_purge_due_free() says so, by a function of the family that frees; `caller` is where
 * it returns to. */
HAK_COLD void hak_purge_tick(const void *caller);
/* Called likewise, by a function of the family that allocates, when hak_purge_due_alloc() says so. */
HAK_COLD void hak_purge_tick_alloc(void);
/* Gives back what is more than keep_free allows, where that cannot wait for a pass. */
void hak_purge_excess(void);

/* caller.c: a call that found hak_purge_due set where there is no helper. */
void hak_caller_tick(bool frees);
/* In the child of a fork. */
void hak_caller_forked(void);

/* The helper has to see whether it is still wanted. */
void hak_helper_look(void);
/* A thread, the process's main one or another, has given up its cache: the helper leaves with the last but one, and
 * for good, before this returns, with the main one. */
void hak_helper_thread_left(bool is_main);
/* At the start, so that the child of a vfork is told from its parent. */
void hak_helper_in_process(void);
/* In the child of a fork: there is no helper. */
void hak_helper_forked(void);
#pragma GCC visibility pop

/* Whether it is this call's turn to look while calls watch: one of 256 of a thread, as asking for the time is a system
 * call, and each when use of what was given back has begun. */
HAK_INLINE bool hak_purge_turn(void)
{
    return hak_tls.ticks++ == 0 || hak_load(&hak_limit_held) >= hak_load(&hak_purge_used_from);
}

HAK_INLINE bool hak_purge_due_free(void)
{
    uint32_t due = hak_load(&hak_purge_due);
    return HAK_UNLIKELY(due != 0) && (due == HAK_PURGE_GROWN || HAK_UNLIKELY(hak_purge_turn()));
}

HAK_INLINE bool hak_purge_due_alloc(void)
{
    return HAK_UNLIKELY(hak_load(&hak_purge_due) != 0) && HAK_UNLIKELY(hak_purge_turn());
}

#endif
