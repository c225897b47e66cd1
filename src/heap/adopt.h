/* SPDX-License-Identifier: MIT */
/*
 * adopt.h - slabs of heaps without threads, for heaps that run out of blocks.
 *
 * A heap whose last thread has left is abandoned.  It keeps its slabs, and offers each class of which it has free
 * blocks; heaps that would make a slab of such a class take one of these over instead.  What an abandoned heap holds in
 * depots goes into slabs when somebody asks for the class, and what is freed meanwhile at once.
 */
#ifndef HAK_ADOPT_H
#define HAK_ADOPT_H

#include "heap/heap.h"

#pragma GCC visibility push(hidden)
/* An abandoned heap has free blocks of the class.  Under its lock. */
void hak_adopt_offer(struct hak_heap *heap, unsigned class);
/* A thread takes the heap.  Under its lock. */
void hak_adopt_withdraw(struct hak_heap *heap);
/* Moves a slab of the class with free blocks to the heap, whose lock is held.  Waits for no lock; the cost does not
 * depend on how many slabs were left, and if no abandoned heap offers the class one word is read. */
bool hak_adopt_slab(struct hak_heap *heap, unsigned class);
#pragma GCC visibility pop

#endif
