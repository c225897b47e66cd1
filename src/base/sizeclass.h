/* SPDX-License-Identifier: MIT */
/*
 * sizeclass.h - which class serves a request, and what a class is.  Constant data, no lock.
 *
 * Invariants, checked by tests/check_sizeclass.c: sizes ascend, are multiples of 16 and waste less than 12.5 % of a
 * request above 128 bytes; capacity * size fits in units * 64 KiB; for every block index i < capacity,
 * (i * size * inverse) >> 32 == i; and hak_is_block_start() is true of an offset
 * below 64 KiB exactly if it begins a block.
 */
#ifndef HAK_SIZECLASS_H
#define HAK_SIZECLASS_H

#include "base/base.h"
#include "base/sizeclass_table.h"

#define HAK_SMALL_MAX ((size_t)32 << 10)   /* up to here one table load finds the class */
#define HAK_MEDIUM_MAX ((size_t)128 << 10) /* the largest class */
#define HAK_MAG_SIZE 32u                   /* bytes of a thread's magazine of a class: struct hak_mag in tcache.h */

struct hak_class {
    uint32_t size;    /* of a block, in bytes */
    uint32_t inverse; /* ceil(2^32 / size): turns an offset into a block index by one multiplication */
    uint32_t last;    /* hak_is_block_start()'s product for the last block that begins in the first unit */
    uint16_t capacity;   /* blocks in a slab */
    uint16_t mag_offset; /* where the class's magazine begins among a thread's slots */
    uint16_t mag_max;    /* the most blocks that it may hold */
    uint8_t units;       /* 64 KiB units in a slab */
    bool uneven;         /* blocks begin at other offsets in the slab's other units than in its first */
};

/*
 * Whether an address begins a block, by the class's inverse and last: for addresses in the first unit of a slab, or in
 * any unit if the class is not uneven.  For a multiple of the size, offset * inverse is a small number modulo 2^32: the
 * block's index times (size * inverse - 2^32).  For any other offset the product is greater than that of any block
 * (D. Lemire, O. Kaser and N. Kurz, "Faster Remainder by Direct Computation", 2019).
 */
HAK_INLINE bool hak_is_block_start(const void *p, uint32_t inverse, uint32_t last)
{
    return (uint32_t)(uint16_t)(uintptr_t)p * inverse <= last;
}

extern const struct hak_class hak_classes[HAK_CLASS_COUNT] __attribute__((visibility("hidden")));
extern const uint16_t hak_mag_by_size[HAK_SMALL_MAX / 16 + 1] __attribute__((visibility("hidden")));
extern const uint8_t hak_class_by_size[HAK_SMALL_MAX / 16 + 1] __attribute__((visibility("hidden")));

/* The class of a size that the table may not hold; 1 < size <= HAK_MEDIUM_MAX. */
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
