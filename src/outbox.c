/* SPDX-License-Identifier: MIT */
/*
 * outbox.c - sorts a thread's outbox by owner and hands each heap its blocks under one taking of its lock.  Works on
 * the calling thread's outbox, which needs no lock.  Calls heap.h.
 */
#include "outbox.h"

#include <string.h>

#include "pool.h"

/* It is delivered when it holds this many bytes, however few blocks. */
#define BYTES_MAX ((size_t)256 << 10)
#define BUCKETS 64u

static uint32_t owner_of(const void *block)
{
    return HAK_ENTRY_OWNER(hak_entry_of(block));
}

/* Hands each run of blocks with one owner to that heap, and what came back since its slab had just changed hands to
 * the new owner. */
static void deliver(void **blocks, unsigned count)
{
    while (count) {
        unsigned returned = 0;
        for (unsigned i = 0, same; i < count; i += same) {
            uint32_t owner = owner_of(blocks[i]);
            for (same = 1; i + same < count && owner_of(blocks[i + same]) == owner; same++)
                ;
            unsigned back = hak_heap_deliver(hak_heap_numbered(owner), blocks + i, same);
            memmove(blocks + returned, blocks + i, back * sizeof *blocks);
            returned += back;
        }
        count = returned;
    }
}

/* Copies blocks grouped by owner, as far as BUCKETS tell owners apart; within a group the order stays. */
static void group(void **grouped, void *const *blocks, unsigned count)
{
    uint8_t bucket[HAK_OUTBOX_MAX];
    unsigned start[BUCKETS + 1] = {0};
    for (unsigned i = 0; i < count; i++) {
        bucket[i] = (uint8_t)(owner_of(blocks[i]) % BUCKETS);
        start[bucket[i] + 1]++;
    }
    for (unsigned i = 0; i < BUCKETS; i++)
        start[i + 1] += start[i];
    for (unsigned i = 0; i < count; i++)
        grouped[start[bucket[i]]++] = blocks[i];
}

void hak_outbox_flush(struct hak_heap *heap)
{
    struct hak_outbox *outbox = &heap->outbox;
    void *grouped[HAK_OUTBOX_MAX];
    unsigned count = hak_load(&outbox->count);
    if (count == 0)
        return;
    group(grouped, outbox->blocks, count);
    /* Empty before the first is delivered: another thread's fork may freeze this thread in between, and the child
     * delivers what the outbox seems to hold. */
    hak_store(&outbox->count, 0);
    hak_store(&outbox->bytes, 0);
    atomic_thread_fence(memory_order_release);
    deliver(grouped, count);
}

void hak_outbox_put(struct hak_heap *heap, void *block, unsigned class)
{
    struct hak_outbox *outbox = &heap->outbox;
    unsigned count = hak_load(&outbox->count);
    size_t bytes = hak_load(&outbox->bytes) + hak_classes[class].size;
    outbox->blocks[count] = block;
    hak_store_release(&outbox->count, count + 1);
    hak_store(&outbox->bytes, bytes);
    if (count + 1 == HAK_OUTBOX_MAX || bytes >= BYTES_MAX)
        hak_outbox_flush(heap);
}

void hak_outbox_bypass(void *block)
{
    deliver(&block, 1);
}
