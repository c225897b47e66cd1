/* SPDX-License-Identifier: MIT */
/*
 * check_purge.c - what goes back to the kernel with which pass: that which nobody has used for HAK_PURGE_PASSES of
 * them, not earlier and not later.  The passes are made here, one by one; nothing waits for time to pass.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heap/registry.h"
#include "os/os.h"
#include "pages/large.h"
#include "pages/limit.h"
#include "pages/superslab.h"
#include "pages/stock.h"
#include "purge/purge.h"
#include "suite.h"
#include "stats/verify.h"

#define HELD (60 * TEST_MIB)

/* Large blocks that stocks keep, others, and slabs of one block each. */
static const size_t sizes[] = {TEST_MIB, 2 * TEST_MIB, 100 * TEST_KIB};
static unsigned char *blocks[1000];

static void fill(size_t size)
{
    for (unsigned i = 0; i < HELD / size; i++) {
        blocks[i] = hakmem_malloc(size);
        ck_assert_ptr_nonnull(blocks[i]);
        pattern_fill(blocks[i], size, i);
    }
}

static void empty(size_t size)
{
    for (unsigned i = 0; i < HELD / size; i++) {
        NEED(pattern_check(blocks[i], size, i) == SIZE_MAX, "block %u of %zu bytes has changed", i, size);
        hakmem_free(blocks[i]);
    }
}

/* The bytes given back by so many passes. */
static size_t pass(unsigned times)
{
    size_t given = 0;
    bool round;
    while (times--)
        given += hak_purge_pass(&round);
    hak_verify();
    return given;
}

/* The first call that finds much free makes a pass at once; the next would come in an hour. */
static void setup(void)
{
    const char *settings = "purge_thread=no,purge_delay=3600s,keep_free=64t,huge_cache=1t";
    ck_assert(hakmem_tune_parse(settings, NULL, NULL) == HAKMEM_TUNE_OK);
    for (unsigned i = 0; i < 10; i++) {
        fill(sizes[i % 2]);
        empty(sizes[i % 2]);
    }
    pass(HAK_PURGE_PASSES + 1);
}

START_TEST(test_rest)
{
    fill(sizes[_i]);
    NEED(pass(2 * HAK_PURGE_PASSES) < HELD / 8, "memory in use is given back");
    empty(sizes[_i]);
    size_t given = pass(HAK_PURGE_PASSES);
    NEED(given < HELD / 8, "%zu bytes of %zu given back too early", given, HELD);
    given = pass(1);
    NEED(given > HELD - HELD / 8, "%zu bytes of %zu given back when it was time", given, HELD);
}
END_TEST

START_TEST(test_use_in_between)
{
    fill(sizes[_i]);
    for (unsigned i = 0; i < 5; i++) {
        empty(sizes[_i]);
        size_t given = pass(HAK_PURGE_PASSES);
        NEED(given < HELD / 8, "%zu bytes of %zu given back that were used a moment ago", given, HELD);
        fill(sizes[_i]);
    }
    empty(sizes[_i]);
    pass(HAK_PURGE_PASSES + 1);
}
END_TEST

/* The block that was freed last, which huge.c hands out by a way of its own. */
START_TEST(test_front)
{
    size_t size = HAK_RUN_MAX + TEST_MIB;
    for (unsigned i = 0; i < 10; i++) { /* more is kept when that is seen to be of use */
        void *one = hakmem_malloc(size), *two = hakmem_malloc(2 * size);
        hakmem_free(one);
        hakmem_free(two);
    }
    pass(HAK_PURGE_PASSES + 1);
    unsigned char *block = memset(hakmem_malloc(size), 1, TEST_MIB);
    for (unsigned i = 0; i < 5; i++) {
        hakmem_free(block);
        size_t given = pass(HAK_PURGE_PASSES);
        NEED(given < size, "%zu bytes given back that were used a moment ago", given);
        block = memset(hakmem_malloc(size), 1, TEST_MIB);
    }
    void *next = memset(hakmem_malloc(2 * size), 1, TEST_MIB);
    hakmem_free(block);
    NEED(pass(HAK_PURGE_PASSES - 1) < size, "given back too early");
    hakmem_free(next); /* now this is in front, and the other behind it is as old as it was */
    NEED(pass(1) < size, "given back too early");
    size_t given = pass(1);
    NEED(given >= size && given < 2 * size, "%zu bytes given back when it was time for one of two", given);
    NEED(pass(HAK_PURGE_PASSES - 1) >= 2 * size, "not given back when it was time");
}
END_TEST

/* What is kept of huge blocks, the front included, while sizes rise, so that no block serves twice, and less is held
 * than once before. */
START_TEST(test_bound_of_huge)
{
    ck_assert(hakmem_tune_parse("keep_free=1g,huge_cache=160m", NULL, NULL) == HAKMEM_TUNE_OK);
    hakmem_free(memset(hakmem_malloc(800 * TEST_MIB), 1, TEST_MIB));
    for (size_t size = 65 * TEST_MIB; size < 150 * TEST_MIB; size += 2 * TEST_MIB) {
        hakmem_free(memset(hakmem_malloc(size), 1, TEST_MIB));
        struct hak_huge_counts counts = hak_huge_count();
        NEED(counts.cached + counts.last_freed <= 160 * TEST_MIB, "%zu bytes are kept, and %zu in front", counts.cached,
             counts.last_freed);
    }
}
END_TEST

/* A knob that changes counts for the next block. */
START_TEST(test_stock)
{
    hakmem_free(hakmem_malloc(TEST_MIB / 2));
    hakmem_free(hakmem_malloc(TEST_MIB / 2));
    size_t kept = hak_stock_count(hak_stocks).bytes;
    NEED(kept == TEST_MIB / 2, "%zu bytes in stocks", kept);
    ck_assert(hakmem_tune_parse("keep_free=0", NULL, NULL) == HAKMEM_TUNE_OK);
    hakmem_free(hakmem_malloc(TEST_MIB / 2));
    kept = hak_stock_count(hak_stocks).bytes;
    NEED(kept == 0, "%zu bytes in stocks", kept);
}
END_TEST

/* Pages in slabs of which an eighth is in use. */
START_TEST(test_pages_rest)
{
    enum { SMALL = 4000 };
    static unsigned char *small[SMALL];
    for (unsigned i = 0; i < SMALL; i++)
        memset(small[i] = hakmem_malloc(4096), 1, 4096);
    pass(HAK_PURGE_PASSES + 1);
    for (unsigned i = 0; i < SMALL; i++)
        if (i % 8)
            hakmem_free(small[i]);
    /* Depots are emptied by the first of these or the second, and then the slabs rest. */
    size_t given = pass(HAK_PURGE_PASSES);
    NEED(given < SMALL * 4096 / 8, "%zu bytes given back too early", given);
    given = pass(2);
    NEED(given > SMALL * 4096 / 2, "%zu bytes given back when it was time", given);
    for (unsigned i = 0; i < SMALL; i += 8)
        hakmem_free(small[i]);
}
END_TEST

/* Superslabs of a heap of this size are huge pages.  Of blocks of three units one in eleven is in each of them; that one
 * alone is not worth the huge page. */
START_TEST(test_huge_page_stays_whole)
{
    enum { SPANS = 480 };
    static void *spans[SPANS];
    size_t size = 3 * 64 * TEST_KIB;
    for (unsigned i = 0; i < SPANS; i++)
        memset(spans[i] = hakmem_malloc(size), 1, size);
    NEED(pass(2 * HAK_PURGE_PASSES) < TEST_MIB * 4, "more than the end of the last superslab given back");
    for (unsigned i = SPANS / 2; i < SPANS; i += 11)
        hakmem_free(spans[i]);
    size_t given = pass(3 * HAK_PURGE_PASSES);
    NEED(given < TEST_MIB, "%zu bytes given back, three units of a superslab each", given);
    for (unsigned i = SPANS / 2; i < SPANS; i++)
        if ((i - SPANS / 2) % 11)
            hakmem_free(spans[i]);
    given = pass(2 * HAK_PURGE_PASSES);
    NEED(given > SPANS / 3 * size, "%zu bytes given back of superslabs that are free", given);
    for (unsigned i = 0; i < SPANS / 2; i++)
        hakmem_free(spans[i]);
}
END_TEST

/* ---- the program's own calls, by a clock of the test ---- */

static void wave(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        memset(blocks[i] = hakmem_malloc(TEST_MIB), 1, TEST_MIB);
    for (unsigned i = 0; i < count; i++)
        hakmem_free(blocks[i]);
}

/* The bytes that waves give back, each a millisecond after the other. */
static size_t waves(unsigned times, unsigned count)
{
    size_t before = hak_super_count().purged;
    while (times--) {
        atomic_fetch_add(&hak_os_time_is, 1);
        wave(count);
    }
    return hak_super_count().purged - before;
}

/* The last free of the first gives back.  That was a loss, so those that follow keep what they have, however much above
 * keep_free that is, for as long as it takes to be worth it, and twice as long after the second loss. */
START_TEST(test_waves_keep)
{
    enum { COUNT = 120 }; /* MiB, of which the first wave bars the second for 0.6 s */
    size_t given;
    ck_assert(hakmem_tune_parse("purge_delay=750ms,keep_free=64m", NULL, NULL) == HAKMEM_TUNE_OK);
    atomic_store(&hak_os_time_is, 1000000);
    given = waves(1, COUNT);
    struct hak_super_counts counts = hak_super_count();
    NEED(hak_super_idle(&counts) < 6 * TEST_MIB, "%zu bytes free and held after the first, which gave back %zu",
         hak_super_idle(&counts), given);
    for (unsigned losses = 1; losses <= 2; losses++) {
        given = waves(20, COUNT);
        NEED(given == 0, "%zu bytes given back after %u losses", given, losses);
        atomic_fetch_add(&hak_os_time_is, 500 * losses);
        given = waves(1, COUNT);
        NEED(given == 0, "%zu bytes given back too early after %u losses", given, losses);
        atomic_fetch_add(&hak_os_time_is, 200 * losses);
        given = waves(1, COUNT);
        NEED(given > COUNT * TEST_MIB / 2, "%zu bytes given back when it was time after %u losses", given, losses);
    }
    hak_verify();
}
END_TEST

/* Who comes back after a while has lost nothing. */
START_TEST(test_slow_waves)
{
    enum { COUNT = 120 };
    ck_assert(hakmem_tune_parse("purge_delay=750ms,keep_free=64m", NULL, NULL) == HAKMEM_TUNE_OK);
    atomic_store(&hak_os_time_is, 1000000);
    for (unsigned i = 0; i < 5; i++) {
        size_t given = waves(1, COUNT);
        NEED(given > (COUNT - 12) * TEST_MIB, "%zu bytes given back by wave %u", given, i);
        atomic_fetch_add(&hak_os_time_is, 1000);
    }
}
END_TEST

static atomic_int passed, passed_first;

static void *make_pass(void *argument)
{
    pass(1);
    atomic_store(&passed, 1);
    return argument;
}

static void *want_lock(void *argument)
{
    hak_lock(&hak_purge_lock);
    usleep(50000); /* a pass that was over has told so by now */
    atomic_store(&passed_first, atomic_load(&passed));
    hak_unlock(&hak_purge_lock);
    return argument;
}

/* A pass that is held up at its first heap is waited for by another thread, which has the lock before the pass is
 * over. */
START_TEST(test_others_have_the_lock)
{
    enum { COUNT = 400 };
    pthread_t threads[2];
    for (unsigned i = 0; i < COUNT; i++)
        ck_assert_ptr_nonnull(blocks[i] = hakmem_malloc(TEST_MIB));
    struct hak_lock *first = &hak_heap_numbered(1)->lock;
    hak_lock(first);
    ck_assert(pthread_create(&threads[0], NULL, make_pass, NULL) == 0);
    while (atomic_load(&hak_purge_lock.state) == 0)
        usleep(1000);
    ck_assert(pthread_create(&threads[1], NULL, want_lock, NULL) == 0);
    while (atomic_load(&hak_purge_lock.state) != 2)
        usleep(1000);
    hak_unlock(first);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    NEED(!atomic_load(&passed_first), "who waits for the lock waits for the pass");
    for (unsigned i = 0; i < COUNT; i++)
        hakmem_free(blocks[i]);
}
END_TEST

/* MADV_DONTNEED fails where memory is locked: whole superslabs are unmapped, and what is around them stays counted. */
START_TEST(test_locked_memory)
{
    if (mlockall(MCL_CURRENT | MCL_FUTURE))
        return; /* no right to lock so much */
    fill(sizes[2]);
    for (unsigned i = 0; i < HELD / sizes[2]; i++)
        if (i % 128) {
            hakmem_free(blocks[i]);
            blocks[i] = NULL;
        }
    size_t held = hak_load(&hak_limit_held), purged = hak_super_count().purged;
    hakmem_purge();
    hak_verify();
    size_t given = hak_super_count().purged - purged;
    NEED(given > HELD / 4, "%zu bytes went back of %zu", given, HELD);
    NEED(held - hak_load(&hak_limit_held) >= given, "%zu bytes less are held", held - hak_load(&hak_limit_held));
    munlockall();
    for (unsigned i = 0; i < HELD / sizes[2]; i++) {
        hakmem_free(blocks[i]);
        blocks[i] = NULL;
    }
    fill(sizes[2]);
    empty(sizes[2]);
    hak_verify();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("purge");
    TCase *tcase = suite_case(suite, "passes", 120);
    if (HAK_MINIMAL) /* its knobs do not change, and a pass that comes by itself would be in the way */
        return suite_run(suite);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_loop_test(tcase, test_rest, 0, TEST_COUNT(sizes));
    tcase_add_loop_test(tcase, test_use_in_between, 0, TEST_COUNT(sizes));
    tcase_add_test(tcase, test_front);
    tcase_add_test(tcase, test_bound_of_huge);
    tcase_add_test(tcase, test_stock);
    if (sysconf(_SC_PAGESIZE) <= (long)(4 * TEST_KIB)) /* no larger page is free among blocks in use */
        tcase_add_test(tcase, test_pages_rest);
    tcase_add_test(tcase, test_huge_page_stays_whole);
    tcase_add_test(tcase, test_others_have_the_lock);
    tcase_add_test(tcase, test_locked_memory);
    tcase = suite_case(suite, "calls", 120);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, test_waves_keep);
    tcase_add_test(tcase, test_slow_waves);
    return suite_run(suite);
}
