/* SPDX-License-Identifier: MIT */
/*
 * sizeclass.h - which class serves a request, and what a class is.  Layer 0; constant data, no lock.
 *
 * Invariants, checked by tests/check_sizeclass.c: sizes ascend, are multiples of 16 and waste less than 12.5 % of a
 * request above 128 bytes; capacity * size fits in units * 64 KiB; for every block index i < capacity,
 * (i * size * inverse) >> 32 == i.
 */
#ifndef HAK_SIZECLASS_H
#define HAK_SIZECLASS_H

#include "base.h"
#include "sizeclass_table.h"

#define HAK_SMALL_MAX ((size_t)32 << 10)   /* up to here one table load finds the class */
#define HAK_MEDIUM_MAX ((size_t)128 << 10) /* the largest class */
#define HAK_MAG_SIZE 32u                   /* bytes of a thread's magazine of a class: struct hak_mag in cache.h */

struct hak_class {
    uint32_t size;    /* of a block, in bytes */
    uint32_t inverse; /* ceil(2^32 / size): turns an offset into a block index by one multiplication */
    /* For hak_block_begins(), where a slab is one unit: the size is an odd number times a power of two. */
    uint16_t odd_inverse; /* of the odd number, modulo 2^16 */
    int16_t last;         /* the last block's number times the power of two; the greatest number if the odd one is 1 */
    uint16_t never;       /* the power of two less one, and the sign if the odd number is not 1 */
    uint16_t capacity;    /* blocks in a slab */
    uint16_t mag_offset;  /* where the class's magazine begins among a thread's slots; the slot below is NULL */
    uint16_t mag_max;     /* the most blocks that each of its two stacks may hold */
    uint8_t units;        /* 64 KiB units in a slab */
};

extern const struct hak_class hak_classes[HAK_CLASS_COUNT] __attribute__((visibility("hidden")));
extern const uint16_t hak_mag_by_size[HAK_SMALL_MAX / 16 + 1] __attribute__((visibility("hidden")));
extern const uint8_t hak_class_by_size[HAK_SMALL_MAX / 16 + 1] __attribute__((visibility("hidden")));

/* For 1 < size <= HAK_MEDIUM_MAX; the only way for sizes that the table does not hold. */
HAK_INLINE unsigned hak_class_compute(size_t size)
{
    size_t last = size - 1;
    if (size <= 128)
        return (unsigned)(last >> 4);
    unsigned log2 = 63u - (unsigned)__builtin_clzl(last);
    return (log2 - 6) * 8 + ((unsigned)(last >> (log2 - 3)) & 7);
}

HAK_INLINE unsigned hak_class_of(size_t size)
{
    return HAK_LIKELY(size <= HAK_SMALL_MAX) ? hak_class_by_size[(size + 15) / 16] : hak_class_compute(size);
}

#endif
