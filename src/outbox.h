/* SPDX-License-Identifier: MIT */
/*
 * outbox.h - blocks on their way back to the heaps that own them.  Layer 5, above heap.h.
 */
#ifndef HAK_OUTBOX_H
#define HAK_OUTBOX_H

#include "heap.h"

#pragma GCC visibility push(hidden)
/* A block of another heap that the calling thread, owner of `heap`, has freed. */
void hak_outbox_put(struct hak_heap *heap, void *block, unsigned class);
/* Delivers all that `heap`'s thread has collected. */
void hak_outbox_flush(struct hak_heap *heap);
/* Delivers one block at once, for a thread without a heap. */
void hak_outbox_bypass(void *block);
#pragma GCC visibility pop

#endif
