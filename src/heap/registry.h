/* SPDX-License-Identifier: MIT */
/*
 * registry.h - all heaps and all threads' caches: made, numbered, handed out and taken back.
 */
#ifndef HAK_REGISTRY_H
#define HAK_REGISTRY_H

#include "heap/tcache.h"

#pragma GCC visibility push(hidden)
extern struct hak_lock hak_registry_lock;
/* The heap that serves threads that are exiting or could not have a cache.  Constant after the start. */
extern struct hak_heap *hak_orphan_heap;

/* Creates the orphan heap.  False when memory is out. */
bool hak_registry_start(void) HAK_EXCLUDES(hak_registry_lock);
/* Forgets the heaps of a start that a fork interrupted (init.h). */
void hak_registry_abandon(void);
/* A cache and a heap for the calling thread.  NULL when memory is out. */
struct hak_tcache *hak_registry_acquire(void) HAK_EXCLUDES(hak_registry_lock);
/* Empties the exiting thread's cache and keeps it for the next thread. */
void hak_registry_release(struct hak_tcache *thread) HAK_EXCLUDES(hak_registry_lock);
/* Takes back the caches of all threads that have ended without their destructor. */
void hak_registry_reclaim(void) HAK_EXCLUDES(hak_registry_lock);
/* How many threads have a cache. */
unsigned hak_registry_threads(void);
/* Heaps are numbered from 1 to hak_heap_count(), the orphan heap first. */
uint32_t hak_heap_count(void);
struct hak_heap *hak_heap_numbered(uint32_t number);
/* Where the table and the count are, for another process that reads them (root.h). */
struct hak_heap *const *hak_heap_table(void);
const _Atomic uint32_t *hak_heap_count_at(void);
/* In the child of a fork: notes the new process and thread numbers in `mine`, the thread's cache, or NULL. */
void hak_registry_in_process(struct hak_tcache *mine);
/* In the child of a fork that had several threads: does the above, and every other cache becomes stale. */
void hak_registry_orphan_all(struct hak_tcache *mine);
#pragma GCC visibility pop

#endif
