/* SPDX-License-Identifier: MIT */
/*
 * check_realloc.c - realloc: contents over every border between kinds of blocks, in place, by moving, on failure.
 */
#include <errno.h>
#include <stdio.h>

#include "suite.h"

#include "stats/verify.h"

/* Both sides of each border between classes, spans and mappings, and a few sizes that are nothing special. */
static const size_t sizes[] = {
    1,       15,      16,      17,      24,      48,      100,     128,     129,     144,     200,     256,
    257,     500,     1000,    1024,    1025,    2000,    4095,    4096,    4097,    8192,    10000,   20000,
    32767,   32768,   32769,   36864,   40000,   65535,   65536,   65537,   100000,  131071,  131072,  131073,
    140000,  196608,  196609,  262144,  262145,  500000,  524288,  917504,  1048575, 1048576, 1048577, 1100000,
    1500000, 2000000, 2097151, 2097152, 2097153, 3000000, 4194304, 4194305, 6000000, 9000000,
};

static void check(const void *block, size_t size, size_t filled, uint64_t seed, const char *what)
{
    size_t bad = pattern_check_part(block, size, filled, seed);
    NEED(bad == SIZE_MAX, "%s: byte %zu of %zu (%zu filled) is lost", what, bad, size, filled);
}

START_TEST(test_every_pair_of_sizes)
{
    size_t from = sizes[_i];
    for (size_t i = 0; i < TEST_COUNT(sizes); i++) {
        size_t to = sizes[i], least = from < to ? from : to;
        char what[64];
        snprintf(what, sizeof(what), "realloc from %zu to %zu", from, to);
        void *block = i % 2 ? hakmem_malloc(from) : hakmem_calloc(from, 1);
        void *neighbour = hakmem_malloc(from);
        NEED(block && neighbour, "malloc(%zu)", from);
        pattern_fill(block, from, from ^ to);
        pattern_fill(neighbour, from, ~from);
        block = i % 3 ? hakmem_realloc(block, to) : hakmem_reallocarray(block, to, 1);
        NEED(block && (uintptr_t)block % 16 == 0, "%s", what);
        NEED(hakmem_malloc_usable_size(block) >= to, "%s: usable size", what);
        check(block, least, from, from ^ to, what);
        pattern_fill(block, to, to + 1);
        check(neighbour, from, from, ~from, "the neighbour");
        /* And back. */
        block = hakmem_realloc(block, from);
        NEED(block, "%s and back", what);
        check(block, least, to, to + 1, what);
        hakmem_free(block);
        hakmem_free(neighbour);
    }
}
END_TEST

/* Alignment is kept at least to 16; the contents are kept whatever the alignment was. */
START_TEST(test_aligned_blocks)
{
    for (size_t alignment = 16; alignment <= 16 * TEST_MIB; alignment *= 4)
        for (size_t f = 0; f < TEST_COUNT(sizes); f += 3)
            for (size_t t = 0; t < TEST_COUNT(sizes); t += 5) {
                size_t from = sizes[f], to = sizes[t];
                void *block = hakmem_aligned_alloc(alignment, from);
                NEED(block && (uintptr_t)block % alignment == 0, "aligned_alloc(%zu, %zu)", alignment, from);
                pattern_fill(block, from, alignment);
                block = hakmem_realloc(block, to);
                NEED(block && (uintptr_t)block % 16 == 0, "realloc of aligned_alloc(%zu, %zu)", alignment, from);
                NEED(hakmem_malloc_usable_size(block) >= to, "usable size");
                check(block, from < to ? from : to, from, alignment, "realloc of an aligned block");
                pattern_fill(block, to, 3);
                hakmem_free(block);
            }
}
END_TEST

START_TEST(test_growing_by_steps)
{
    static const size_t steps[] = {1, 16, 100, 4096, 70000, 1048576, 5000000};
    size_t step = steps[_i], limit = test_scale(step < 4096 ? 2000 : 60) * step;
    unsigned char *block = NULL;
    limit = limit > 128 * TEST_MIB ? 128 * TEST_MIB : limit;
    for (size_t size = step; size <= limit; size += step) {
        NEED(block = hakmem_realloc(block, size), "realloc to %zu", size);
        if (size > step)
            check(block, size - step, size - step, 11, "growing");
        pattern_fill(block, size, 11);
    }
    for (size_t size = limit; size > step; size -= step) {
        NEED(block = hakmem_realloc(block, size - step), "realloc to %zu", size - step);
        check(block, size - step, size, 11, "shrinking");
        pattern_fill(block, size - step, 11);
    }
    hakmem_free(block);
}
END_TEST

/* Vectors that double side by side: each move or growth in place meets its neighbours. */
START_TEST(test_vectors_side_by_side)
{
    enum { VECTORS = 40 };
    unsigned char *blocks[VECTORS];
    size_t length[VECTORS];
    uint64_t state = test_state(99);
    for (size_t i = 0; i < VECTORS; i++) {
        length[i] = 8;
        NEED(blocks[i] = hakmem_malloc(8), "malloc");
        pattern_fill(blocks[i], 8, i);
    }
    for (unsigned long round = test_scale(4000); round; round--) {
        size_t i = test_random(&state) % VECTORS, old = length[i];
        size_t next = old > 4 * TEST_MIB ? 8 : old + old / 2 + test_random(&state) % 64;
        NEED(blocks[i] = hakmem_realloc(blocks[i], next), "realloc from %zu to %zu", old, next);
        check(blocks[i], old < next ? old : next, old, i, "a vector");
        pattern_fill(blocks[i], next, i);
        length[i] = next;
    }
    for (size_t i = 0; i < VECTORS; i++) {
        check(blocks[i], length[i], length[i], i, "a vector");
        hakmem_free(blocks[i]);
    }
    hak_verify();
}
END_TEST

START_TEST(test_null_and_zero)
{
    for (size_t i = 0; i < TEST_COUNT(sizes); i++) {
        void *block = hakmem_realloc(NULL, sizes[i]);
        NEED(block, "realloc(NULL, %zu)", sizes[i]);
        errno = 12345;
        NEED(!hakmem_realloc(block, 0), "realloc(p, 0) returned a block");
        NEED(errno == 12345, "realloc(p, 0) set errno to %d", errno);
        NEED(block = hakmem_malloc(sizes[i]), "malloc");
        NEED(!hakmem_reallocarray(block, i % 2 ? 8 : 0, i % 2 ? 0 : 8), "reallocarray(p, 0, 8) returned a block");
        NEED(errno == 12345, "reallocarray(p, 0, 8) set errno to %d", errno);
    }
    void *empty = hakmem_realloc(NULL, 0);
    NEED(empty, "realloc(NULL, 0)");
    hakmem_free(empty);
    hak_verify();
}
END_TEST

/* realloc(p, 0) must really free: a million blocks of 64 KiB would not fit otherwise. */
START_TEST(test_zero_frees)
{
    for (unsigned long i = test_scale(300000); i; i--) {
        unsigned char *block = hakmem_malloc(100000);
        NEED(block, "malloc");
        block[0] = block[99999] = 1;
        NEED(!hakmem_realloc(block, 0), "realloc(p, 0)");
    }
    size_t held = hakmem_mallinfo2().arena + hakmem_mallinfo2().hblkhd;
    NEED(held < 64 * TEST_MIB, "%zu bytes held", held);
}
END_TEST

START_TEST(test_failure_keeps_the_block)
{
    static const volatile size_t impossible[] = {(size_t)PTRDIFF_MAX + 1, SIZE_MAX, SIZE_MAX - 4096, PTRDIFF_MAX};
    for (size_t i = 0; i < TEST_COUNT(sizes); i++) {
        void *block = hakmem_malloc(sizes[i]);
        NEED(block, "malloc");
        pattern_fill(block, sizes[i], i);
        for (size_t k = 0; k < TEST_COUNT(impossible); k++) {
            errno = 0;
            NEED(!hakmem_realloc(block, impossible[k]) && errno == ENOMEM, "realloc(p, %zu): errno %d", impossible[k],
                 errno);
            check(block, sizes[i], sizes[i], i, "a failed realloc");
        }
        hakmem_free(block);
    }
    hak_verify();
}
END_TEST

/* Shrinking a block by much gives the rest back, or a cache of big buffers would never become small. */
START_TEST(test_shrinking_gives_back)
{
    enum { BLOCKS = 64 };
    static const size_t from[] = {900000, 8000000};
    for (size_t f = 0; f < TEST_COUNT(from); f++) {
        unsigned char *blocks[BLOCKS];
        struct mallinfo2 info = hakmem_mallinfo2();
        size_t before = info.uordblks + info.hblkhd;
        for (size_t i = 0; i < BLOCKS; i++) {
            NEED(blocks[i] = hakmem_malloc(from[f]), "malloc");
            memset(blocks[i], 1, from[f]);
            NEED(blocks[i] = hakmem_realloc(blocks[i], 1000), "realloc");
        }
        info = hakmem_mallinfo2();
        NEED(info.uordblks + info.hblkhd < before + BLOCKS * from[f] / 10, "shrunken blocks hold %zu bytes",
             info.uordblks + info.hblkhd - before);
        for (size_t i = 0; i < BLOCKS; i++)
            hakmem_free(blocks[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("realloc");
    TCase *tcase = suite_case(suite, "contents", 60);
    tcase_add_loop_test(tcase, test_every_pair_of_sizes, 0, (int)TEST_COUNT(sizes));
    tcase_add_test(tcase, test_aligned_blocks);
    tcase_add_loop_test(tcase, test_growing_by_steps, 0, 7);
    tcase_add_test(tcase, test_vectors_side_by_side);
    tcase = suite_case(suite, "edges", 60);
    tcase_add_test(tcase, test_null_and_zero);
    tcase_add_test(tcase, test_zero_frees);
    tcase_add_test(tcase, test_failure_keeps_the_block);
#if HAK_STATS
    tcase_add_test(tcase, test_shrinking_gives_back);
#else
    (void)test_shrinking_gives_back;
#endif
    return suite_run(suite);
}
