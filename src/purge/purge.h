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

#include "os/lock.h"
#include "pages/trigger.h"

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
/* Clears the purge trigger (pages/trigger.h) and sets its thresholds `slack` bytes above what is free; returns that. */
size_t hak_purge_rearm(size_t slack);

/* Called without a lock, when hak_purge_due_free() says so, by a function of the family that frees; `caller` is where
 * it returns to. */
HAK_COLD void hak_purge_tick(const void *caller);
/* Called likewise, by a function of the family that allocates, when hak_purge_due_alloc() says so. */
HAK_COLD void hak_purge_tick_alloc(void);
/* Gives back what is more than keep_free allows, where that cannot wait for a pass. */
void hak_purge_excess(void);

/* caller.c: a call that found the trigger due where there is no helper. */
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

#endif
