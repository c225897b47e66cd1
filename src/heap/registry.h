/* SPDX-License-Identifier: MIT */
/*
 * registry.h - all heaps and all threads' caches: made, numbered, handed out and taken back.
 */
#ifndef HAK_REGISTRY_H
#define HAK_REGISTRY_H

#include "heap/tcache.h"

#pragma GCC visibility push(hidden)
extern struct hak_lock hak_registry_lock;
/* The heap of those that have none: threads that are exiting, or that could not have a cache. */
extern struct hak_heap *hak_orphan_heap;

/* Creates the orphan heap.  False when memory is out. */
bool hak_registry_start(void);
/* As if nothing had been created: see init.h. */
void hak_registry_abandon(void);
/* A cache and a heap for the calling thread.  NULL when memory is out. */
struct hak_tcache *hak_registry_acquire(void);
/* Empties what the exiting thread holds, and keeps it for the next. */
void hak_registry_release(struct hak_tcache *thread);
/* Takes back the caches of all threads that ended unseen. */
void hak_registry_reclaim(void);
/* How many threads have a cache. */
unsigned hak_registry_threads(void);
/* Heaps are numbered from 1 to hak_heap_count(), the orphan heap first. */
uint32_t hak_heap_count(void);
struct hak_heap *hak_heap_numbered(uint32_t number);
/* Where both are, for who reads them in another process. */
struct hak_heap *const *hak_heap_table(void);
const _Atomic uint32_t *hak_heap_count_at(void);
/* After a fork, in the child: `mine`, if the thread has one, is of a thread with another number now. */
void hak_registry_in_process(struct hak_tcache *mine);
/* And every other cache becomes stale. */
void hak_registry_orphan_all(struct hak_tcache *mine);
#pragma GCC visibility pop

#endif
