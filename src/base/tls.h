/* SPDX-License-Identifier: MIT */
/*
 * tls.h - each thread's variables: the way to its cache, and its state.
 *
 * A thread's variables are zero when it starts.  On glibc the main thread's are set to zero once more after relocation,
 * when ifunc resolvers may already have allocated.  So zero must be a valid state that needs no set-up: `delta` counts
 * from hak_tcache_none, an empty cache for which every operation takes the slow path.  That also spares the hot paths a
 * test for a null pointer.
 */
#ifndef HAK_TLS_H
#define HAK_TLS_H

#include "base/base.h"

enum hak_thread_state {
    HAK_THREAD_NEW,      /* has no cache yet */
    HAK_THREAD_ATTACHED, /* owns the cache that delta leads to */
    HAK_THREAD_EXITED,   /* gave its cache up; what it still does goes to the orphan heap */
};

enum hak_fork_state {
    HAK_FORK_NONE,
    HAK_FORK_TAKES, /* this thread forks, and is taking all locks */
    HAK_FORK_HOLDS, /* it holds all of them */
    HAK_FORK_DIES,  /* no fork: the thread found the allocator's own structures broken, perhaps under a lock */
};

struct hak_tls {
    intptr_t delta; /* from hak_tcache_none to this thread's cache */
    uint8_t state;  /* enum hak_thread_state */
    uint8_t fork;   /* enum hak_fork_state */
    uint8_t frees;   /* blocks that the thread has freed before it had a cache */
    uint8_t misuses; /* misuses that were noted and not reported yet (misuse.h) */
    uint8_t ticks;   /* calls of the thread while calls watch what is free (purge.h), modulo 256 */
    /* Debug builds: the locks held, by rank. */
    uint8_t ranks_held[16];
    uint32_t ranks;
    uint32_t delays; /* the state of delay.c */
};

#pragma GCC visibility push(hidden)
extern __thread struct hak_tls hak_tls __attribute__((tls_model("initial-exec")));
#pragma GCC visibility pop

#endif
