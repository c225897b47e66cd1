/* SPDX-License-Identifier: MIT */
/*
 * adopt.h - slabs of heaps without threads, for heaps that run out of blocks.
 *
 * A heap whose last thread has left is abandoned.  It keeps its slabs and offers each class of which it has free
 * blocks.  Another heap that needs a slab of such a class takes one over instead of making one.  The blocks in an
 * abandoned heap's depot go into slabs when another heap wants the class; blocks freed later go into slabs at once.
 */
#ifndef HAK_ADOPT_H
#define HAK_ADOPT_H

#include "heap/heap.h"

#pragma GCC visibility push(hidden)
/* An abandoned heap offers the class, of which it has free blocks. */
void hak_adopt_offer(struct hak_heap *heap, unsigned class) HAK_REQUIRES(heap->lock);
/* The heap offers no class any more, as a thread takes it. */
void hak_adopt_withdraw(struct hak_heap *heap) HAK_REQUIRES(heap->lock);
/* Moves a slab of the class with free blocks from an abandoned heap to this one.  False if none was found.  Waits for
 * no lock.  The cost does not depend on how many slabs abandoned heaps have; one word is read if none of them offers
 * the class. */
bool hak_adopt_slab(struct hak_heap *heap, unsigned class) HAK_REQUIRES(heap->lock);
#pragma GCC visibility pop

#endif
