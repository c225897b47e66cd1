/* SPDX-License-Identifier: MIT */
/* thread.h - how a thread gets its cache and gives it up. */
#ifndef HAK_THREAD_H
#define HAK_THREAD_H

#include "heap/tcache.h"

#pragma GCC visibility push(hidden)
/* The calling thread's cache, which it gets now if it has none.  NULL if it cannot have one, as it is exiting or memory
 * is out: then the orphan heap must serve it. */
struct hak_tcache *hak_thread_tcache(void);
/* The calling thread's cache, for a call that frees.  A thread that has none gets one only after it has freed a few
 * blocks: libc frees some on behalf of a thread when its destructors have run, and none would take the cache back. */
struct hak_tcache *hak_thread_tcache_freeing(void);
/* Takes the calling thread's cache away for good, if it has one: force_libc was found set after it had got it. */
void hak_thread_leave(void);
/* Makes the key whose destructor takes a thread's cache back.  False if there is no memory for it. */
bool hak_thread_start(void);
#pragma GCC visibility pop

#endif
