/* SPDX-License-Identifier: MIT */
/*
 * pool.h - all heaps: made, numbered, and kept for the next thread when theirs has exited.  Layer 5, beside heap.h.
 */
#ifndef HAK_POOL_H
#define HAK_POOL_H

#include "heap.h"

#pragma GCC visibility push(hidden)
extern struct hak_lock hak_pool_lock;

/* Creates the commons.  False when memory is out. */
bool hak_heap_start(void);
/* A heap for the calling thread, pooled or new.  NULL when memory is out. */
struct hak_heap *hak_heap_acquire(void);
/* Empties what the exiting thread holds and pools its heap. */
void hak_heap_release(struct hak_heap *heap);
/* All heaps ever made are numbered from 1 to hak_heap_count(). */
uint32_t hak_heap_count(void);
struct hak_heap *hak_heap_numbered(uint32_t number);
/* After a fork, in the child: every heap but `mine` and the commons becomes stale. */
void hak_heap_orphan_all(const struct hak_heap *mine);

/* Moves one slab of the class with free blocks from a pooled heap to `heap`, whose lock is held. */
bool hak_pool_adopt_slab(struct hak_heap *heap, unsigned class);
#pragma GCC visibility pop

#endif
