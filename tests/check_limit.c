/* SPDX-License-Identifier: MIT */
/* check_limit.c - the soft and the hard limit: they hold, nothing is lost at them, and the account behind them is
 * exact. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pages/large.h"
#include "pages/superslab.h"
#include "pages/limit.h"
#include "pages/meta.h"
#include "os/os.h"
#include "purge/purge.h"
#include "suite.h"
#include "stats/verify.h"

#define BLOCKS 4000000

static unsigned char **blocks;
static size_t count;

static void set(const char *settings)
{
    ck_assert_msg(hakmem_tune_parse(settings, NULL, NULL) == HAKMEM_TUNE_OK, "%s", settings);
}

/* What limit.h says is held, added up where it is; nobody else is at work. */
static size_t held_in_all(void)
{
    hak_lock(&hak_purge_lock);
    struct hak_super_counts supers = hak_super_count();
    struct hak_huge_counts huge = hak_huge_count();
    size_t held = supers.mapped - supers.free + supers.free_dirty + huge.bytes + huge.cached + hak_load(&hak_meta_held);
    hak_unlock(&hak_purge_lock);
    return held;
}

static void check_account(const char *when)
{
    size_t held = held_in_all(), account = atomic_load(&hak_limit_held);
    NEED(held == account, "%zu bytes are held %s, and %zu on the account", held, when, account);
}

static void setup(void)
{
    blocks = calloc(BLOCKS, sizeof *blocks); /* libc's: not of what is limited */
    ck_assert_ptr_nonnull(blocks);
    memset(blocks, 1, BLOCKS * sizeof *blocks);
    set("purge_thread=no");
}

/* Allocates blocks of the size until there is no memory, or so many bytes; each is written. */
static size_t fill(size_t size, size_t most)
{
    unsigned char *block = NULL;
    errno = 0;
    count = 0;
    while (count < BLOCKS && count * size < most && (block = hakmem_malloc(size))) {
        pattern_fill(block, size, count);
        blocks[count++] = block;
    }
    if (!block && count * size < most)
        ck_assert_int_eq(errno, ENOMEM);
    return count * size;
}

static void check_and_empty(size_t size)
{
    for (size_t i = 0; i < count; i++) {
        NEED(pattern_check(blocks[i], size, i) == SIZE_MAX, "block %zu of %zu bytes has changed", i, size);
        hakmem_free(blocks[i]);
    }
    count = 0;
}

static const size_t sizes[] = {16, 100, 1000, 5000, 40000, 150000, 900000, 3000000};

/* One size after the other: what was one size's must be had for the next. */
START_TEST(test_hard_limit)
{
    set("limit_hard=48m");
    for (unsigned i = 0; i < TEST_COUNT(sizes); i++) {
        size_t got = fill(sizes[i], SIZE_MAX);
        NEED(got <= 48 * TEST_MIB && got >= 24 * TEST_MIB, "%zu bytes in blocks of %zu", got, sizes[i]);
        NEED(atomic_load(&hak_limit_held) <= 49 * TEST_MIB, "%zu bytes held", atomic_load(&hak_limit_held));
        errno = 0;
        NEED(!hakmem_realloc(blocks[0], 60 * TEST_MIB) && errno == ENOMEM, "realloc beyond the limit");
        NEED(!hakmem_calloc(6, 10 * TEST_MIB), "calloc beyond the limit");
        check_and_empty(sizes[i]);
        check_account("at the hard limit");
    }
    set("limit_hard=0");
    NEED(fill(1000000, 100 * TEST_MIB) >= 100 * TEST_MIB, "the limit is still there");
    check_and_empty(1000000);
}
END_TEST

/* What is held is what is resident, once all of it has been touched.  Spans are held by whole units, the ends of which
 * are resident only where they are parts of huge pages. */
START_TEST(test_against_resident)
{
    size_t resident = resident_bytes(), held = atomic_load(&hak_limit_held);
    fill(sizes[_i], 100 * TEST_MIB);
    size_t more_resident = resident_bytes() - resident, more_held = atomic_load(&hak_limit_held) - held;
    size_t in_units = sizes[_i] > HAK_MEDIUM_MAX && sizes[_i] <= HAK_RUN_MAX
                          ? 100 * TEST_MIB / sizes[_i] * hak_round_up(sizes[_i], HAK_UNIT)
                          : 0;
    size_t most = HAK_MAX(more_resident, in_units);
    NEED(test_emulated() ||
             (more_held + 2 * TEST_MIB > more_resident && more_held < most + most / 8 + 4 * TEST_MIB),
         "blocks of %zu bytes: %zu held, %zu resident", sizes[_i], more_held, more_resident);
    check_and_empty(sizes[_i]);
    hakmem_purge();
    more_held = atomic_load(&hak_limit_held) - held;
    NEED(more_held < 2 * TEST_MIB, "%zu bytes still held", more_held);
    check_account("after a purge");
}
END_TEST

static atomic_ulong calls, wrong_calls;
static size_t limit_told;

static void note(size_t held, size_t limit, void *data)
{
    atomic_fetch_add(&calls, 1);
    limit_told = limit;
    if (held <= limit || data != &calls)
        atomic_fetch_add(&wrong_calls, 1);
    hakmem_free(hakmem_malloc(100000)); /* it may */
}

START_TEST(test_soft_limit)
{
    hakmem_on_pressure(note, &calls);
    set("limit_soft=32m");
    fill(1000, 24 * TEST_MIB);
    NEED(atomic_load(&calls) == 0, "called below the limit");
    check_and_empty(1000);
    fill(2000, 28 * TEST_MIB); /* 52 MiB, had the first ones not been given back */
    NEED(atomic_load(&calls) == 0, "called although all could be given back");
    check_and_empty(2000);
    fill(1000, 64 * TEST_MIB);
    unsigned long passed = atomic_load(&calls);
    NEED(passed >= 1 && passed <= 40, "called %lu times", passed);
    NEED(atomic_load(&wrong_calls) == 0 && limit_told == 32 * TEST_MIB, "told of %zu bytes", limit_told);
    check_and_empty(1000);
    hakmem_on_pressure(NULL, NULL);
    fill(1000, 64 * TEST_MIB);
    NEED(atomic_load(&calls) == passed, "called when it was taken back");
    check_and_empty(1000);
}
END_TEST

/* ---- threads ---- */

enum { THREADS = 6, SLOTS = 300 };
static atomic_ulong most_held, damaged;

static void *churn(void *argument)
{
    uint64_t random = test_state((uint64_t)(uintptr_t)argument);
    unsigned char *slots[SLOTS] = {0};
    size_t slot_sizes[SLOTS];
    for (unsigned long n = test_scale(20000); n--;) {
        unsigned slot = (unsigned)(test_random(&random) % SLOTS);
        if (slots[slot]) {
            atomic_fetch_add(&damaged, pattern_check(slots[slot], slot_sizes[slot], slot) != SIZE_MAX);
            hakmem_free(slots[slot]);
            slots[slot] = NULL;
            continue;
        }
        size_t size = 1 + (test_random(&random) % 4000000 >> test_random(&random) % 20);
        slots[slot] = hakmem_malloc(size);
        slot_sizes[slot] = size;
        if (slots[slot])
            pattern_fill(slots[slot], size, slot);
        unsigned long held = atomic_load(&hak_limit_held), most = atomic_load(&most_held);
        while (held > most && !atomic_compare_exchange_weak(&most_held, &most, held))
            ;
    }
    for (unsigned slot = 0; slot < SLOTS; slot++)
        hakmem_free(slots[slot]);
    return NULL;
}

START_TEST(test_threads)
{
    pthread_t threads[THREADS];
    set(_i ? "limit_hard=48m,limit_soft=24m" : "limit_hard=48m");
    for (uintptr_t i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)) == 0, "pthread_create");
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    NEED(atomic_load(&damaged) == 0, "%lu blocks damaged", atomic_load(&damaged));
    NEED(atomic_load(&most_held) <= 49 * TEST_MIB, "%lu bytes held", atomic_load(&most_held));
    check_account("after threads");
    hakmem_purge();
    check_account("after threads and a purge");
    NEED(atomic_load(&hak_limit_held) < 8 * TEST_MIB, "%zu bytes still held", atomic_load(&hak_limit_held));
    hak_verify();
}
END_TEST

static atomic_bool forked_all;

static void *churn_mappings(void *unused)
{
    (void)unused;
    while (!atomic_load(&forked_all))
        hakmem_free(hakmem_malloc(3 * TEST_MIB));
    return NULL;
}

/* Whatever the other threads were about, the child's account and statistics are of what it has. */
START_TEST(test_fork)
{
    pthread_t threads[2];
    unsigned forks = test_emulated() ? 0 : 200;
    set("huge_cache=0");
    for (unsigned i = 0; i < TEST_COUNT(threads); i++)
        NEED(pthread_create(&threads[i], NULL, churn_mappings, NULL) == 0, "pthread_create");
    for (unsigned i = 0; i < forks; i++) {
        pid_t child = fork();
        int status = -1;
        if (child == 0) {
            struct hakmem_stats stats;
            hakmem_stats_get(&stats, sizeof stats);
            bool adds_up =
                stats.mapped_bytes == stats.superslab_bytes + stats.huge_bytes + stats.cached_bytes + stats.own_bytes;
            _exit((held_in_all() != atomic_load(&hak_limit_held)) | !adds_up << 1);
        }
        NEED(child > 0 && waitpid(child, &status, 0) == child, "fork");
        NEED(status == 0, "fork %u: account or statistics are wrong: %x", i, (unsigned)status);
    }
    atomic_store(&forked_all, true);
    for (unsigned i = 0; i < TEST_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    check_account("after forks");
}
END_TEST

/* ---- at the hard limit ---- */

enum { AT_ONCE = 2, KEPT = 1000, KEPT_SIZE = 60000 };
static pthread_barrier_t step;
static atomic_ulong refused;

static void keep_free(void)
{
    static unsigned char *kept[KEPT];
    for (size_t i = 0; i < KEPT; i++) {
        kept[i] = hakmem_malloc(KEPT_SIZE);
        NEED(kept[i], "block %zu of what is to be kept free", i);
        pattern_fill(kept[i], KEPT_SIZE, i);
    }
    for (size_t i = 0; i < KEPT; i++)
        hakmem_free(kept[i]);
}

static void *asks_for_half(void *first)
{
    for (unsigned long n = test_scale(100); n--;) {
        if (first)
            keep_free();
        pthread_barrier_wait(&step);
        void *block = hakmem_malloc(20 * TEST_MIB);
        atomic_fetch_add(&refused, !block);
        pthread_barrier_wait(&step);
        hakmem_free(block);
        pthread_barrier_wait(&step);
    }
    return NULL;
}

/* What is kept free has to go back for both, and either may find that the other has done it. */
START_TEST(test_two_at_once)
{
    pthread_t threads[AT_ONCE];
    set("limit_hard=80m");
    pthread_barrier_init(&step, NULL, AT_ONCE);
    for (uintptr_t i = 0; i < AT_ONCE; i++)
        NEED(pthread_create(&threads[i], NULL, asks_for_half, (void *)i) == 0, "pthread_create");
    for (unsigned i = 0; i < AT_ONCE; i++)
        pthread_join(threads[i], NULL);
    NEED(atomic_load(&refused) == 0, "%lu of %lu calls failed, and all would have fitted", atomic_load(&refused),
         AT_ONCE * test_scale(100));
}
END_TEST

/* A call that cannot succeed leaves alone what is kept. */
START_TEST(test_in_vain)
{
    set(_i ? "limit_hard=100m" : "limit_hard=0");
    keep_free();
    size_t held = atomic_load(&hak_limit_held);
    for (unsigned i = 0; i < 10; i++) {
        errno = 0;
        NEED(!hakmem_malloc(_i ? 200 * TEST_MIB : (size_t)1 << 45) && errno == ENOMEM, "malloc");
        NEED(!hakmem_aligned_alloc(1 << 21, _i ? 200 * TEST_MIB : (size_t)1 << 45) && errno == ENOMEM, "aligned_alloc");
    }
    NEED(atomic_load(&hak_limit_held) + TEST_MIB >= held, "%zu bytes held, %zu before", atomic_load(&hak_limit_held),
         held);
}
END_TEST

/* It fits where it is. */
START_TEST(test_shrink)
{
    static const size_t from[] = {1000, 20000, 100000, 900000, 3000000};
    unsigned char *mine[TEST_COUNT(from)];
    set("limit_hard=48m");
    for (size_t i = 0; i < TEST_COUNT(from); i++) {
        mine[i] = hakmem_malloc(from[i]);
        NEED(mine[i], "malloc");
        pattern_fill(mine[i], from[i], i);
    }
    while (hakmem_malloc(900000))
        ;
    for (size_t size = 900000; size >= 16; size /= 2)
        while (hakmem_malloc(size))
            ;
    for (size_t i = 0; i < TEST_COUNT(from); i++)
        for (size_t part = 2; part < 20; part += 3) {
            size_t size = from[i] / part;
            errno = 0;
            unsigned char *block = hakmem_realloc(mine[i], size);
            NEED(block && errno == 0, "from %zu to %zu bytes: errno %d", from[i], size, errno);
            NEED(pattern_check_part(block, size, from[i], i) == SIZE_MAX, "from %zu to %zu bytes", from[i], size);
            mine[i] = block;
            if (part == 17)
                hakmem_free_sized(block, size); /* by its size, however large the block is */
        }
    hak_verify();
}
END_TEST

START_TEST(test_pressure_by_realloc)
{
    char *block = hakmem_malloc(_i ? 30 * TEST_MIB : 200000);
    hakmem_on_pressure(note, &calls);
    set(_i ? "limit_soft=50m" : "limit_soft=4m");
    for (size_t i = 1; _i && i <= 10; i++)
        block = hakmem_realloc(block, 40 * i * TEST_MIB);
    enum { MANY = 40 };
    char *many[MANY];
    for (size_t i = 0; !_i && i < MANY; i++)
        many[i] = hakmem_realloc(hakmem_malloc(10), 140000);
    for (size_t i = 0; !_i && i < MANY; i++)
        many[i] = hakmem_realloc(many[i], 1000000);
    NEED(block && atomic_load(&calls) >= 1, "called %lu times", atomic_load(&calls));
}
END_TEST

START_TEST(test_share)
{
    size_t memory = hak_os_memory_limit();
    NEED(memory >= 16 * TEST_MIB && memory < (size_t)1 << 50, "%zu bytes of memory", memory);
    set("limit_soft=25%");
    ck_assert_uint_eq(hak_limit_soft(), memory / 100 * 25);
    set("limit_soft=0");
    ck_assert_uint_eq(hak_limit_soft(), SIZE_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("limit");
    TCase *tcase = suite_case(suite, "limit", 120);
    tcase_add_checked_fixture(tcase, setup, NULL);
    if (!HAK_MINIMAL) {
        tcase_add_test(tcase, test_hard_limit);
        tcase_add_test(tcase, test_soft_limit);
        tcase_add_loop_test(tcase, test_threads, 0, 2);
        tcase_add_test(tcase, test_two_at_once);
        tcase_add_loop_test(tcase, test_in_vain, 0, 2);
        tcase_add_test(tcase, test_shrink);
        tcase_add_loop_test(tcase, test_pressure_by_realloc, 0, 2);
        tcase_add_test(tcase, test_share);
    }
    if (!HAK_MINIMAL && !TEST_SANITIZER) {
        tcase_add_test(tcase, test_fork);
        tcase_add_loop_test(tcase, test_against_resident, 0, (int)TEST_COUNT(sizes));
    }
    return suite_run(suite);
}
