/* SPDX-License-Identifier: MIT */
/*
 * purge.h - free memory goes back to the kernel in the course of time.
 *
 * Memory goes back when nobody has used it for a while, whichever thread freed it and whatever the threads do that own
 * it.  A pass (pass.c) gives back what nobody has used for HAK_PURGE_PASSES passes (blocks in depots: for one):
 *
 *   blocks at the bottom of depots        into their slabs
 *   slabs that are empty                  to their superslabs
 *   pages of slabs without a live block   to the kernel, if half of the slab is free
 *   free units                            to the kernel, in runs as long as there are; a few of a huge page stay
 *   cached mappings                       to the kernel
 *
 * The helper makes the passes (helper.c), a thread that exists only when enough is free and the program has several
 * threads.  Where there is no helper, calls that allocate and free make them (caller.c).  These also give memory back
 * at once after a free that may be the program's last call.  Magazines and outboxes are their threads' own and stay;
 * they are bounded (tcache.c).
 */
#ifndef HAK_PURGE_H
#define HAK_PURGE_H

#include "os/lock.h"
#include "pages/trigger.h"

#pragma GCC visibility push(hidden)
/* Whoever gives memory back holds this lock while units are out of their superslabs. */
extern struct hak_lock hak_purge_lock;

/* pass.c: one pass; returns the bytes given back.  *round tells whether the pass over slabs came to the last one, as a
 * large heap takes several passes. */
size_t hak_purge_pass(bool *round) HAK_EXCLUDES(hak_purge_lock);
/* Gives back all that is free outside of slabs, and the free pages in slabs if heaps have `pages_from` bytes free;
 * returns the bytes. */
size_t hak_purge_rush(size_t pages_from) HAK_EXCLUDES(hak_purge_lock);
/* Gives back the free pages in all slabs; returns the bytes.  Releases the lock at times and takes it again. */
size_t hak_purge_pages(void) HAK_REQUIRES(hak_purge_lock);
/* Free bytes anywhere but in magazines and outboxes. */
size_t hak_purge_idle(void);
/* Clears the purge trigger (pages/trigger.h) and sets its thresholds `slack` bytes above what is free; returns what is
 * free. */
struct hak_idle hak_purge_rearm(size_t slack);

/* helper.c: called without a lock at the end of a call that frees, when hak_purge_due_free() says so; `caller` is
 * where that call returns to. */
HAK_COLD void hak_purge_tick(const void *caller);
/* Called without a lock at the end of a call that allocates, when hak_purge_due_alloc() says so. */
HAK_COLD void hak_purge_tick_alloc(void);
/* The helper has to look whether it is still wanted. */
void hak_helper_look(void);
/* A thread has given up its cache.  With the last but one thread the helper ends; with the main thread, before this
 * returns, and for good. */
void hak_helper_thread_left(bool is_main);
/* At the start: notes the process, to tell the child of a vfork from its parent. */
void hak_helper_in_process(void);
/* In the child of a fork: there is no helper. */
void hak_helper_forked(void);

/* caller.c: a call that found the trigger due where there is no helper. */
void hak_caller_tick(bool frees);
/* In the child of a fork. */
void hak_caller_forked(void);
#pragma GCC visibility pop

#endif
