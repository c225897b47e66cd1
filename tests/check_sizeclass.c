/* SPDX-License-Identifier: MIT */
/*
 * check_sizeclass.c - the size classes: what the table says, what the arithmetic says and what the allocator does
 * must be the same thing.
 */
#include <stdio.h>
#include <stdlib.h>

#include "suite.h"

#include "base/sizeclass.h"
#include "stats/verify.h"

#define UNIT ((size_t)64 << 10)

/* The rule, told independently: 16..128 by 16, then eight classes for each doubling. */
static size_t rule(unsigned class)
{
    if (class < 8)
        return 16 * ((size_t)class + 1);
    return ((size_t)128 << (class - 8) / 8) / 8 * (9 + (class - 8) % 8);
}

START_TEST(test_table_follows_the_rule)
{
    NEED(HAK_CLASS_COUNT >= 2, "%d classes", (int)HAK_CLASS_COUNT);
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        NEED(hak_classes[class].size == rule(class), "class %u has %u bytes, not %zu", class, hak_classes[class].size,
             rule(class));
        NEED(hak_classes[class].size % 16 == 0, "class %u: %u bytes", class, hak_classes[class].size);
    }
    NEED(hak_classes[HAK_CLASS_COUNT - 1].size == HAK_MEDIUM_MAX, "the last class has not HAK_MEDIUM_MAX bytes");
    NEED(HAK_SMALL_MAX <= HAK_MEDIUM_MAX, "HAK_SMALL_MAX");
}
END_TEST

/* The class of each size is the smallest that fits: found by a search that shares nothing with the code. */
START_TEST(test_every_size_has_the_smallest_class_that_fits)
{
    unsigned expected = 0;
    for (size_t size = 0; size <= HAK_MEDIUM_MAX; size++) {
        while (hak_classes[expected].size < size)
            expected++;
        unsigned class = hak_class_of(size);
        NEED(class == expected, "size %zu has class %u, not %u", size, class, expected);
        /* At most 12.5 % more than was asked for. */
        if (size > 128)
            NEED((hak_classes[class].size - size) * 8 <= size, "size %zu rounds up to %u", size,
                 hak_classes[class].size);
    }
}
END_TEST

/* The fast path's table and the arithmetic of the slow path are two ways to the same answer. */
START_TEST(test_table_and_arithmetic_agree)
{
    NEED(hak_class_by_size[0] == 0, "size 0 has class %d", hak_class_by_size[0]);
    for (size_t size = 2; size <= HAK_SMALL_MAX; size++)
        NEED(hak_class_by_size[(size + 15) / 16] == hak_class_compute(size), "size %zu: %d in the table, %u computed",
             size, hak_class_by_size[(size + 15) / 16], hak_class_compute(size));
}
END_TEST

/* The allocator agrees with the table on what each size gets. */
START_TEST(test_every_size_gets_its_class)
{
    for (size_t size = 0; size <= HAK_MEDIUM_MAX; size++) {
        void *block = hakmem_malloc(size);
        NEED(block, "malloc(%zu)", size);
        NEED(hakmem_malloc_usable_size(block) == hak_classes[hak_class_of(size)].size, "malloc(%zu) has %zu bytes",
             size, hakmem_malloc_usable_size(block));
        hakmem_free(block);
    }
}
END_TEST

/* Division by multiplication is exact where it must be, at the start of each block, up to the last of the slab. */
START_TEST(test_inverse_finds_every_block)
{
    const struct hak_class *class = &hak_classes[_i];
    for (uint32_t index = 0; index < class->capacity; index++)
        NEED((uint64_t)index * class->size * class->inverse >> 32 == index, "class %d: block %u", _i, index);
}
END_TEST

/* Of all addresses in a unit the hot paths accept those where a block begins, and no other: in the first unit, and if
 * the class is not uneven in each. */
START_TEST(test_only_blocks_begin)
{
    const struct hak_class *class = &hak_classes[_i];
    for (size_t unit = 0; unit < (class->uneven ? 1 : class->units); unit++)
        for (size_t at = unit * UNIT; at < (unit + 1) * UNIT; at++) {
            bool begins = at % class->size == 0 && at / class->size < class->capacity;
            NEED(hak_is_block_start((const void *)(0x7f0000000000 + at), class->inverse, class->last) == begins,
                 "class %d: offset %zu", _i, at);
        }
}
END_TEST

START_TEST(test_capacity_is_what_fits)
{
    const struct hak_class *class = &hak_classes[_i];
    size_t slab = class->units * UNIT;
    NEED(class->units >= 1, "class %d has no units", _i);
    NEED((size_t)class->capacity == slab / class->size, "class %d: %u blocks of %u bytes in %zu", _i, class->capacity,
         class->size, slab);
    /* What is left over at the end of the slab is waste as well. */
    NEED((slab - (size_t)class->capacity * class->size) * 8 <= slab, "class %d: %zu bytes left over", _i,
         slab - (size_t)class->capacity * class->size);
}
END_TEST

static int by_address(const void *left, const void *right)
{
    const char *a = *(char *const *)left, *b = *(char *const *)right;
    return (a > b) - (a < b);
}

/*
 * Enough blocks of one class to fill some slabs to the brim: none overlaps another, all lie at multiples of the
 * class's size within their slab, and exactly `capacity` of them lie in each full slab.
 */
START_TEST(test_slabs_fill_exactly)
{
    const struct hak_class *class = &hak_classes[_i];
    size_t count = (size_t)class->capacity * 5;
    unsigned char **blocks = malloc(count * sizeof(*blocks));
    NEED(blocks, "the test's own memory");
    for (size_t i = 0; i < count; i++) {
        NEED(blocks[i] = hakmem_malloc(class->size), "malloc(%u)", class->size);
        NEED(hakmem_malloc_usable_size(blocks[i]) == class->size, "class %d", _i);
        pattern_fill(blocks[i], class->size, (uintptr_t)blocks[i]);
    }
    qsort(blocks, count, sizeof(*blocks), by_address);
    for (size_t i = 0; i < count; i++) {
        NEED(pattern_check(blocks[i], class->size, (uintptr_t)blocks[i]) == SIZE_MAX, "class %d: block %p changed", _i,
             (void *)blocks[i]);
        if (i)
            NEED(blocks[i - 1] + class->size <= blocks[i], "class %d: %p and %p overlap", _i, (void *)blocks[i - 1],
                 (void *)blocks[i]);
    }
    /* The heap was empty: five slabs' worth of blocks fills five slabs, each from its start to its last block. */
    size_t slabs = 0;
    for (size_t i = 0; i < count;) {
        unsigned char *start = blocks[i];
        NEED((uintptr_t)start % UNIT == 0, "class %d: the first block of a slab lies at %p", _i, (void *)start);
        for (size_t k = 0; k < class->capacity; k++, i++)
            NEED(i < count && blocks[i] == start + k * class->size, "class %d: block %zu of the slab at %p", _i, k,
                 (void *)start);
        slabs++;
    }
    NEED(slabs == 5, "class %d: %zu slabs", _i, slabs);
    hak_verify();
    for (size_t i = 0; i < count; i++)
        hakmem_free(blocks[i]);
    hakmem_malloc_trim(0);
    hak_verify();
    free(blocks);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sizeclass");
    TCase *tcase = suite_case(suite, "table", 60);
    tcase_add_test(tcase, test_table_follows_the_rule);
    tcase_add_test(tcase, test_every_size_has_the_smallest_class_that_fits);
    tcase_add_test(tcase, test_table_and_arithmetic_agree);
    tcase_add_test(tcase, test_every_size_gets_its_class);
    tcase_add_loop_test(tcase, test_inverse_finds_every_block, 0, HAK_CLASS_COUNT);
    tcase_add_loop_test(tcase, test_only_blocks_begin, 0, HAK_CLASS_COUNT);
    tcase_add_loop_test(tcase, test_capacity_is_what_fits, 0, HAK_CLASS_COUNT);
    tcase = suite_case(suite, "slabs", 60);
    tcase_add_loop_test(tcase, test_slabs_fill_exactly, 0, HAK_CLASS_COUNT);
    return suite_run(suite);
}
