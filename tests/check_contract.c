/* SPDX-License-Identifier: MIT */
/*
 * check_contract.c - what the C standard, POSIX and glibc promise of each function: alignment, failure, errno,
 * usable size, zeros.  realloc has a suite of its own, check_realloc.c.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "suite.h"

#define ERRNO_MARK 12345

/* Sizes that no allocator can serve; volatile, for the compiler would warn of each otherwise. */
static const volatile size_t impossible_sizes[] = {
    (size_t)PTRDIFF_MAX + 1, (size_t)PTRDIFF_MAX + 4096, SIZE_MAX / 2 + 2, SIZE_MAX - (2 << 20), SIZE_MAX - 65536,
    SIZE_MAX - 4097, SIZE_MAX - 4096, SIZE_MAX - 4095, SIZE_MAX - 64, SIZE_MAX - 32, SIZE_MAX - 31, SIZE_MAX - 16,
    SIZE_MAX - 15, SIZE_MAX - 8, SIZE_MAX - 1, SIZE_MAX, PTRDIFF_MAX, PTRDIFF_MAX - 15,
};

/* Sizes around every border that an allocator of classes, spans and mappings may have. */
static size_t border_sizes[512];
static size_t border_count;

static void find_borders(void)
{
    for (size_t power = 16; power <= 16 * TEST_MIB; power *= 2)
        for (size_t eighth = 8; eighth < 16; eighth += power < 64 * TEST_KIB ? 1 : 4)
            for (int delta = -1; delta <= 1; delta++)
                border_sizes[border_count++] = power / 8 * eighth + (size_t)delta;
}

static void *call_malloc(size_t size) { return hakmem_malloc(size); }
static void *call_calloc(size_t size) { return hakmem_calloc(1, size); }
static void *call_realloc(size_t size) { return hakmem_realloc(NULL, size); }
static void *call_reallocarray(size_t size) { return hakmem_reallocarray(NULL, size, 1); }
static void *call_aligned_alloc(size_t size) { return hakmem_aligned_alloc(64, size); }
static void *call_memalign(size_t size) { return hakmem_memalign(32, size); }
static void *call_valloc(size_t size) { return hakmem_valloc(size); }
static void *call_pvalloc(size_t size) { return hakmem_pvalloc(size); }

static void *call_posix_memalign(size_t size)
{
    void *block = &block;
    int saved = errno, error = hakmem_posix_memalign(&block, 64, size);
    NEED(errno == saved, "posix_memalign of %zu bytes set errno", size);
    if (error) {
        NEED(block == &block, "posix_memalign failed and still wrote its result");
        errno = error;
        return NULL;
    }
    return block;
}

static const struct call {
    const char *name;
    void *(*function)(size_t);
    size_t alignment;
} calls[] = {
    {"malloc", call_malloc, 16},
    {"calloc", call_calloc, 16},
    {"realloc", call_realloc, 16},
    {"reallocarray", call_reallocarray, 16},
    {"aligned_alloc", call_aligned_alloc, 64},
    {"memalign", call_memalign, 32},
    {"posix_memalign", call_posix_memalign, 64},
    {"valloc", call_valloc, 4096},
    {"pvalloc", call_pvalloc, 4096},
};

START_TEST(test_alignment_of_every_size)
{
    const struct call *call = &calls[_i];
    size_t step = TEST_SANITIZER ? 13 : call->alignment > 64 ? 7 : 1;
    for (size_t size = 0; size <= 130 * TEST_KIB; size += step) {
        unsigned char *block = call->function(size);
        NEED(block, "%s(%zu) failed", call->name, size);
        NEED((uintptr_t)block % call->alignment == 0, "%s(%zu) returned %p", call->name, size, (void *)block);
        size_t usable = hakmem_malloc_usable_size(block);
        NEED(usable >= size, "%s(%zu) has only %zu usable bytes", call->name, size, usable);
        if (usable)
            block[0] = block[usable - 1] = 0xa5;
        hakmem_free(block);
    }
    for (size_t i = 0; i < border_count; i++) {
        unsigned char *block = call->function(border_sizes[i]);
        NEED(block, "%s(%zu) failed", call->name, border_sizes[i]);
        NEED((uintptr_t)block % call->alignment == 0, "%s(%zu) = %p", call->name, border_sizes[i], (void *)block);
        size_t usable = hakmem_malloc_usable_size(block);
        NEED(usable >= border_sizes[i], "%s(%zu): usable %zu", call->name, border_sizes[i], usable);
        block[0] = block[usable - 1] = 0xa5;
        hakmem_free(block);
    }
}
END_TEST

START_TEST(test_impossible_sizes)
{
    const struct call *call = &calls[_i];
    for (size_t i = 0; i < TEST_COUNT(impossible_sizes); i++) {
        size_t size = impossible_sizes[i];
        errno = 0;
        NEED(!call->function(size), "%s(%zu) succeeded", call->name, size);
        NEED(errno == ENOMEM, "%s(%zu) set errno %d", call->name, size, errno);
    }
    void *block = call->function(100);
    NEED(block, "%s works no more after failures", call->name);
    hakmem_free(block);
}
END_TEST

START_TEST(test_overflow)
{
    static const volatile struct {
        size_t count, size;
    } products[] = {
        {SIZE_MAX, 2}, {2, SIZE_MAX}, {SIZE_MAX / 2 + 1, 2}, {(size_t)1 << 32, (size_t)1 << 32}, {SIZE_MAX, SIZE_MAX},
        {((size_t)1 << 32) + 1, (size_t)1 << 32}, {SIZE_MAX / 16 + 1, 16}, {SIZE_MAX / 48 + 1, 48},
        {(size_t)1 << 62, 4}, {(size_t)1 << 62, 2}, {SIZE_MAX / 4096, 4096},
    };
    unsigned char *block = hakmem_malloc(100);
    pattern_fill(block, 100, 7);
    for (size_t i = 0; i < TEST_COUNT(products); i++) {
        size_t count = products[i].count, size = products[i].size;
        errno = 0;
        NEED(!hakmem_calloc(count, size) && errno == ENOMEM, "calloc(%zu, %zu): errno %d", count, size, errno);
        errno = 0;
        NEED(!hakmem_reallocarray(NULL, count, size) && errno == ENOMEM, "reallocarray(NULL, %zu, %zu): errno %d",
             count, size, errno);
        errno = 0;
        NEED(!hakmem_reallocarray(block, count, size) && errno == ENOMEM, "reallocarray(p, %zu, %zu): errno %d",
             count, size, errno);
        errno = 0;
        NEED(!hakmem_realloc(block, impossible_sizes[i]) && errno == ENOMEM, "realloc: errno %d", errno);
        NEED(pattern_check(block, 100, 7) == SIZE_MAX, "a failed realloc touched the block");
    }
    hakmem_free(block);
}
END_TEST

START_TEST(test_invalid_alignment)
{
    static const volatile size_t no_powers[] = {0,  3,  5,  6,  7,   9,    24,           48,
                                                63, 65, 96, 4095, 4097, 3 << 20, SIZE_MAX, SIZE_MAX / 2 + 2};
    for (size_t i = 0; i < TEST_COUNT(no_powers); i++) {
        void *out = &out;
        errno = ERRNO_MARK;
        NEED(hakmem_posix_memalign(&out, no_powers[i], 100) == EINVAL, "posix_memalign(%zu)", no_powers[i]);
        NEED(out == &out, "posix_memalign(%zu) failed and wrote its result", no_powers[i]);
        NEED(errno == ERRNO_MARK, "posix_memalign set errno");
        if (no_powers[i]) {
            errno = 0;
            NEED(!hakmem_aligned_alloc(no_powers[i], 96) && errno == EINVAL, "aligned_alloc(%zu): errno %d",
                 no_powers[i], errno);
        }
    }
    /* POSIX also wants a multiple of sizeof(void *); aligned_alloc takes every power of two. */
    for (size_t alignment = 1; alignment < sizeof(void *); alignment *= 2) {
        void *out = &out;
        NEED(hakmem_posix_memalign(&out, alignment, 100) == EINVAL && out == &out, "posix_memalign(%zu)", alignment);
        void *block = hakmem_aligned_alloc(alignment, 100);
        NEED(block && (uintptr_t)block % 16 == 0, "aligned_alloc(%zu)", alignment);
        hakmem_free(block);
    }
    /* Powers of two that no address space has room for, and their sums with a size that wrap around. */
    for (size_t alignment = (size_t)1 << 47; alignment; alignment <<= 1)
        for (int i = 0; i < 3; i++) {
            size_t size = (size_t[]){1, 100000, PTRDIFF_MAX}[i];
            void *out = &out;
            NEED(hakmem_posix_memalign(&out, alignment, size) == ENOMEM && out == &out, "posix_memalign(%zu, %zu)",
                 alignment, size);
            errno = 0;
            NEED(!hakmem_aligned_alloc(alignment, size) && errno == ENOMEM, "aligned_alloc(%zu, %zu): errno %d",
                 alignment, size, errno);
        }
    errno = 0;
    NEED(!hakmem_memalign(SIZE_MAX / 2 + 1, 100) && errno == ENOMEM, "memalign of the largest power: errno %d", errno);
    NEED(!hakmem_memalign(SIZE_MAX / 2 - 1, 100) && errno == ENOMEM, "memalign of what becomes it: errno %d", errno);
    NEED(!hakmem_memalign(SIZE_MAX / 2 + 2, 100) && errno == EINVAL, "memalign beyond it: errno %d", errno);
    /* memalign rounds up instead, and fails where nothing is above. */
    for (size_t i = 0; i < TEST_COUNT(no_powers); i++) {
        size_t alignment = no_powers[i];
        errno = 0;
        void *block = hakmem_memalign(alignment, 100);
        if (alignment > SIZE_MAX / 2 + 1)
            NEED(!block && (errno == EINVAL || errno == ENOMEM), "memalign(%zu): errno %d", alignment, errno);
        else
            NEED(block && (uintptr_t)block % (alignment ? alignment & -alignment : 1) == 0, "memalign(%zu)", alignment);
        if (block && alignment > 16) {
            size_t power = 32;
            while (power < alignment)
                power *= 2;
            NEED((uintptr_t)block % power == 0, "memalign(%zu) = %p", alignment, block);
        }
        hakmem_free(block);
    }
}
END_TEST

START_TEST(test_errno_untouched)
{
    for (size_t i = 0; i < border_count; i++) {
        size_t size = border_sizes[i];
        for (size_t c = 0; c < TEST_COUNT(calls); c++) {
            errno = ERRNO_MARK;
            void *block = calls[c].function(size);
            NEED(block && errno == ERRNO_MARK, "%s(%zu) set errno to %d", calls[c].name, size, errno);
            size_t usable = hakmem_malloc_usable_size(block);
            NEED(errno == ERRNO_MARK && usable, "malloc_usable_size set errno");
            block = hakmem_realloc(block, size + size / 2 + 1);
            NEED(block && errno == ERRNO_MARK, "realloc of %zu set errno to %d", size, errno);
            hakmem_free(block);
            NEED(errno == ERRNO_MARK, "free of %zu bytes set errno to %d", size, errno);
        }
    }
    errno = ERRNO_MARK;
    hakmem_free(NULL);
    hakmem_cfree(NULL);
    hakmem_free_sized(NULL, 100);
    hakmem_free_aligned_sized(NULL, 64, 100);
    NEED(hakmem_malloc_usable_size(NULL) == 0, "usable size of NULL");
    hakmem_malloc_trim(0);
    (void)hakmem_mallinfo2();
    NEED(errno == ERRNO_MARK, "a call that cannot fail set errno to %d", errno);
}
END_TEST

/* free must not touch errno even where the kernel refuses what it asks for: munmap may, at the mapping limit. */
START_TEST(test_errno_untouched_by_free_after_failure)
{
    void *blocks[200];
    for (size_t i = 0; i < TEST_COUNT(blocks); i++)
        NEED(blocks[i] = hakmem_malloc((i % 5 + 1) * 700 * TEST_KIB), "malloc");
    errno = 0;
    NEED(!hakmem_malloc(impossible_sizes[0]) && errno == ENOMEM, "malloc(PTRDIFF_MAX + 1)");
    for (size_t i = 0; i < TEST_COUNT(blocks); i++) {
        hakmem_free(blocks[i]);
        NEED(errno == ENOMEM, "free changed errno to %d", errno);
    }
}
END_TEST

START_TEST(test_zero_is_unique)
{
    enum { EACH = 500 };
    static void *blocks[EACH * TEST_COUNT(calls)];
    for (size_t i = 0; i < TEST_COUNT(blocks); i++) {
        blocks[i] = calls[i % TEST_COUNT(calls)].function(0);
        NEED(blocks[i], "%s(0) returned NULL", calls[i % TEST_COUNT(calls)].name);
        NEED((uintptr_t)blocks[i] % 16 == 0, "%s(0) = %p", calls[i % TEST_COUNT(calls)].name, blocks[i]);
        for (size_t k = 0; k < i; k++)
            NEED(blocks[i] != blocks[k], "%s(0) twice the same", calls[i % TEST_COUNT(calls)].name);
    }
    void *nothing = hakmem_calloc(0, 8), *neither = hakmem_calloc(8, 0);
    NEED(nothing && neither && nothing != neither, "calloc(0, 8)");
    hakmem_free(nothing);
    hakmem_free(neither);
    for (size_t i = 0; i < TEST_COUNT(blocks); i++)
        hakmem_free(blocks[i]);
}
END_TEST

/* Every usable byte is written while neighbours live; none of theirs may change. */
START_TEST(test_usable_to_the_last_byte)
{
    enum { BLOCKS = 24 };
    unsigned char *blocks[BLOCKS];
    for (size_t i = 0; i < border_count; i++) {
        size_t size = border_sizes[i];
        if (TEST_SANITIZER && size > TEST_MIB)
            break;
        size_t count = size > TEST_MIB ? 3 : BLOCKS, usable[BLOCKS];
        for (size_t k = 0; k < count; k++) {
            NEED(blocks[k] = hakmem_malloc(size), "malloc(%zu)", size);
            usable[k] = hakmem_malloc_usable_size(blocks[k]);
            memset(blocks[k], (int)k + 1, usable[k]);
        }
        for (size_t k = 0; k < count; k++) {
            for (size_t at = 0; at < usable[k]; at += at + 4096 < usable[k] && at > 8192 ? 61 : 1)
                NEED(blocks[k][at] == k + 1, "block %zu of %zu bytes: byte %zu of %zu changed", k, size, at, usable[k]);
            hakmem_free(blocks[k]);
        }
    }
}
END_TEST

/* Blocks of one size are dirtied, freed and asked for by calloc: through the magazine, the slab, the span cache. */
static void calloc_after_dirt(size_t size, size_t count)
{
    static unsigned char *blocks[4096];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < count; i++) {
            NEED(blocks[i] = hakmem_malloc(size), "malloc(%zu)", size);
            memset(blocks[i], 0xff, hakmem_malloc_usable_size(blocks[i]));
        }
        for (size_t i = 0; i < count; i++)
            hakmem_free(blocks[round == 1 ? count - 1 - i : i]);
        if (round == 2)
            hakmem_malloc_trim(0);
        for (size_t i = 0; i < count; i++) {
            /* Every second one as a product, and all sizes below the dirty one's class as well. */
            NEED(blocks[i] = i % 2 ? hakmem_calloc(size, 1) : hakmem_calloc((size + 6) / 7, 7), "calloc");
            size_t bad = first_nonzero(blocks[i], size);
            NEED(bad == SIZE_MAX, "round %d: calloc of %zu bytes: byte %zu is not zero", round, size, bad);
            memset(blocks[i], 0xff, hakmem_malloc_usable_size(blocks[i]));
        }
        for (size_t i = 0; i < count; i++)
            hakmem_free(blocks[i]);
    }
}

START_TEST(test_calloc_is_zero_after_dirt)
{
    for (size_t i = 0; i < border_count; i++) {
        size_t size = border_sizes[i], count = 3 * TEST_MIB / (size + 256);
        if (TEST_SANITIZER && i % 5)
            continue;
        calloc_after_dirt(size, count < 3 ? 3 : count > 4096 ? 4096 : count);
    }
}
END_TEST

/* Memory that was dirtied as one kind of block and comes back as another kind. */
START_TEST(test_calloc_is_zero_across_sizes)
{
    static const size_t sizes[] = {16, 100, 1024, 5000, 32768, 40000, 131072, 131073, 200000, 500000, 1048576,
                                   1048577, 1500000, 3000000, 10000000};
    static void *blocks[2048];
    for (size_t dirty = 0; dirty < TEST_COUNT(sizes); dirty++)
        for (size_t clean = 0; clean < TEST_COUNT(sizes); clean++) {
            size_t count = 12 * TEST_MIB / sizes[dirty];
            count = count < 1 ? 1 : count > TEST_COUNT(blocks) ? TEST_COUNT(blocks) : count;
            for (size_t i = 0; i < count; i++) {
                NEED(blocks[i] = hakmem_malloc(sizes[dirty]), "malloc(%zu)", sizes[dirty]);
                memset(blocks[i], 0xee, sizes[dirty]);
            }
            for (size_t i = 0; i < count; i++)
                hakmem_free(blocks[i]);
            if ((dirty + clean) % 3 == 0)
                hakmem_malloc_trim(0);
            count = 6 * TEST_MIB / sizes[clean];
            count = count < 1 ? 1 : count > TEST_COUNT(blocks) ? TEST_COUNT(blocks) : count;
            for (size_t i = 0; i < count; i++) {
                NEED(blocks[i] = hakmem_calloc(1, sizes[clean]), "calloc(%zu)", sizes[clean]);
                size_t bad = first_nonzero(blocks[i], sizes[clean]);
                NEED(bad == SIZE_MAX, "calloc(%zu) after blocks of %zu: byte %zu", sizes[clean], sizes[dirty], bad);
            }
            for (size_t i = 0; i < count; i++)
                hakmem_free(blocks[i]);
        }
}
END_TEST

/* A block that shrinks leaves dirt behind its new end, which may become part of the next block. */
START_TEST(test_calloc_is_zero_after_shrinking)
{
    static const size_t sizes[] = {300000, 1000000, 1200000, 5000000, 40000000};
    for (size_t i = 0; i < TEST_COUNT(sizes); i++)
        for (size_t part = 2; part <= 64; part *= 2) {
            unsigned char *block = hakmem_malloc(sizes[i]);
            NEED(block, "malloc");
            memset(block, 0xdd, hakmem_malloc_usable_size(block));
            NEED(block = hakmem_realloc(block, sizes[i] / part), "realloc");
            unsigned char *zero = hakmem_calloc(1, sizes[i]), *next = hakmem_calloc(1, sizes[i] / 2);
            NEED(zero && next, "calloc");
            NEED(first_nonzero(zero, sizes[i]) == SIZE_MAX, "calloc after shrinking to 1/%zu", part);
            NEED(first_nonzero(next, sizes[i] / 2) == SIZE_MAX, "second calloc after shrinking to 1/%zu", part);
            hakmem_free(block);
            block = hakmem_calloc(1, sizes[i]);
            NEED(block && first_nonzero(block, sizes[i]) == SIZE_MAX, "calloc after the shrunken block's free");
            hakmem_free(block);
            hakmem_free(zero);
            hakmem_free(next);
        }
}
END_TEST

START_TEST(test_alignments)
{
    static const size_t sizes[] = {0, 1, 16, 100, 1000, 4096, 5000, 40000, 131072, 200000, 1048576, 1048577, 3000000};
    void *blocks[2 * TEST_COUNT(sizes)];
    for (size_t alignment = 1; alignment <= 1024 * TEST_MIB; alignment *= 2) {
        size_t count = 0;
        for (size_t i = 0; i < TEST_COUNT(sizes); i++)
            for (int twice = 0; twice < 2; twice++) {
                void *block = NULL;
                if (alignment >= sizeof(void *) && twice)
                    NEED(hakmem_posix_memalign(&block, alignment, sizes[i]) == 0, "posix_memalign(%zu, %zu)",
                         alignment, sizes[i]);
                else
                    block = hakmem_aligned_alloc(alignment, sizes[i]);
                NEED(block, "aligned_alloc(%zu, %zu)", alignment, sizes[i]);
                NEED((uintptr_t)block % alignment == 0, "alignment %zu: %p", alignment, block);
                size_t usable = hakmem_malloc_usable_size(block);
                NEED(usable >= sizes[i], "alignment %zu, size %zu: usable %zu", alignment, sizes[i], usable);
                pattern_fill(block, sizes[i], alignment + sizes[i]);
                if (usable)
                    ((unsigned char *)block)[usable - 1] = pattern_byte(alignment + sizes[i], usable - 1);
                blocks[count++] = block;
                if (alignment > 64 * TEST_MIB)
                    break;
            }
        count = 0;
        for (size_t i = 0; i < TEST_COUNT(sizes); i++)
            for (int twice = 0; twice < 2; twice++) {
                NEED(pattern_check(blocks[count], sizes[i], alignment + sizes[i]) == SIZE_MAX,
                     "alignment %zu: a block of %zu bytes changed", alignment, sizes[i]);
                if (twice)
                    hakmem_free(blocks[count++]);
                else
                    hakmem_free_aligned_sized(blocks[count++], alignment, sizes[i]);
                if (alignment > 64 * TEST_MIB)
                    break;
            }
    }
}
END_TEST

START_TEST(test_page_functions)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t size = 0; size < 5 * page; size += 100) {
        void *block = hakmem_valloc(size), *pages = hakmem_pvalloc(size);
        NEED(block && (uintptr_t)block % page == 0, "valloc(%zu) = %p", size, block);
        NEED(pages && (uintptr_t)pages % page == 0, "pvalloc(%zu) = %p", size, pages);
        NEED(hakmem_malloc_usable_size(pages) >= (size + page - 1) / page * page, "pvalloc(%zu)", size);
        hakmem_free(block);
        hakmem_free(pages);
    }
}
END_TEST

/* A size that fits must be accepted by the sized frees for every block they are meant for. */
START_TEST(test_sized_frees)
{
    for (size_t size = 0; size < 5000; size++) {
        hakmem_free_sized(hakmem_malloc(size), size);
        hakmem_free_sized(hakmem_calloc(1, size), size);
        hakmem_free_sized(hakmem_realloc(hakmem_malloc(size / 3 + 1), size + 1), size + 1);
        hakmem_free_aligned_sized(hakmem_aligned_alloc(64, size), 64, size);
        hakmem_free_aligned_sized(hakmem_aligned_alloc(4096, size), 4096, size);
    }
    for (size_t i = 0; i < border_count; i++) {
        hakmem_free_sized(hakmem_malloc(border_sizes[i]), border_sizes[i]);
        hakmem_free_sized(hakmem_calloc(1, border_sizes[i]), border_sizes[i]);
        /* What shrank or grew in place counts by its present size. */
        hakmem_free_sized(hakmem_realloc(hakmem_malloc(border_sizes[i] * 2), border_sizes[i]), border_sizes[i]);
        hakmem_free_sized(hakmem_realloc(hakmem_malloc(border_sizes[i] / 2), border_sizes[i]), border_sizes[i]);
        for (size_t alignment = 16; alignment <= 4 * TEST_MIB; alignment *= 8)
            hakmem_free_aligned_sized(hakmem_aligned_alloc(alignment, border_sizes[i]), alignment, border_sizes[i]);
    }
}
END_TEST

/* No table that fills: far more live blocks of each kind than any fixed array would be given. */
START_TEST(test_nothing_limits_how_many)
{
    static const struct {
        size_t size, count;
    } kinds[] = {{16, 3000000}, {1000, 300000}, {70000, 20000}, {300000, 6000}, {1100000, 12000}};
    size_t count = test_scale(kinds[_i].count);
    /* Only the first bytes are touched: 12 thousand huge blocks cost 12 thousand pages. */
    unsigned char **blocks = malloc(count * sizeof(*blocks));
    NEED(blocks, "the test's own memory");
    for (size_t i = 0; i < count; i++) {
        NEED(blocks[i] = hakmem_malloc(kinds[_i].size), "block %zu of %zu bytes", i, kinds[_i].size);
        pattern_fill_range(blocks[i], 0, 16, i);
    }
    for (size_t i = 0; i < count; i++) {
        NEED(pattern_check_range(blocks[i], 0, 16, i) == SIZE_MAX, "block %zu of %zu bytes", i, kinds[_i].size);
        hakmem_free(blocks[i]);
    }
    free(blocks);
}
END_TEST

int main(void)
{
    int number_of_calls = (int)TEST_COUNT(calls);
    Suite *suite = suite_create("contract");
    TCase *tcase = suite_case(suite, "sizes", 60);
    find_borders();
    tcase_add_loop_test(tcase, test_alignment_of_every_size, 0, number_of_calls);
    tcase_add_loop_test(tcase, test_impossible_sizes, 0, number_of_calls);
    tcase_add_test(tcase, test_overflow);
    tcase_add_test(tcase, test_invalid_alignment);
    tcase_add_test(tcase, test_zero_is_unique);
    tcase_add_test(tcase, test_usable_to_the_last_byte);
    tcase_add_test(tcase, test_alignments);
    tcase_add_test(tcase, test_page_functions);
    tcase_add_test(tcase, test_sized_frees);
    tcase = suite_case(suite, "errno", 60);
    tcase_add_test(tcase, test_errno_untouched);
    tcase_add_test(tcase, test_errno_untouched_by_free_after_failure);
    tcase = suite_case(suite, "zeros", 90);
    tcase_add_test(tcase, test_calloc_is_zero_after_dirt);
    tcase_add_test(tcase, test_calloc_is_zero_across_sizes);
    tcase_add_test(tcase, test_calloc_is_zero_after_shrinking);
    tcase = suite_case(suite, "limits", 90);
    tcase_add_loop_test(tcase, test_nothing_limits_how_many, 0, 5);
    return suite_run(suite);
}
