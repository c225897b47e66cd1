/* SPDX-License-Identifier: MIT */
/* thread.h - how a thread comes by its cache, and how it loses it. */
#ifndef HAK_THREAD_H
#define HAK_THREAD_H

#include "heap/tcache.h"

#pragma GCC visibility push(hidden)
/* This thread's cache, given to it first if need be; NULL if it cannot have one (it has exited, or memory is out), and
 * then the orphan heap must serve. */
struct hak_tcache *hak_thread_tcache(void);
/* This thread's cache, for a call that frees: the thread gets one only when it has freed a few blocks without.
 * libc frees some on behalf of a thread when its destructors have run, and nobody would take a cache back then. */
struct hak_tcache *hak_thread_tcache_freeing(void);
/* The calling thread gives up the cache it may have, for good: force_libc was set after it had got one. */
void hak_thread_leave(void);
/* The key whose destructor takes a thread's cache back.  False if there is no memory for it. */
bool hak_thread_start(void);
#pragma GCC visibility pop

#endif
