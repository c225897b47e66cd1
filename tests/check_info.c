/* SPDX-License-Identifier: MIT */
/*
 * check_info.c - mallinfo2, mallinfo, malloc_info, malloc_stats, malloc_trim and mallopt tell the truth and do what
 * they say.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "pages/large.h"
#include "pages/meta.h"
#include "pages/superslab.h"
#include "pages/window.h"
#include "stats/verify.h"
#include "suite.h"

/* Whether two figures differ by no more than 3 % and a little. */
static int about(size_t a, size_t b)
{
    size_t difference = a > b ? a - b : b - a;
    return difference <= b / 33 + 64 * TEST_KIB;
}

enum { MOST = 400000 };
static void *blocks[MOST];

static size_t fill(size_t size, size_t count)
{
    size_t usable = 0;
    for (size_t i = 0; i < count; i++) {
        NEED(blocks[i] = hakmem_malloc(size), "malloc(%zu)", size);
        memset(blocks[i], 1, size);
        usable += hakmem_malloc_usable_size(blocks[i]);
    }
    return usable;
}

static void empty(size_t count)
{
    for (size_t i = 0; i < count; i++)
        hakmem_free(blocks[i]);
}

static const struct kind {
    size_t size, count;
} kinds[] = {{16, 300000}, {48, 200000}, {100, 200000}, {1000, 40000}, {5000, 8000}, {32768, 1000},
             {100000, 400}, {200000, 200}, {1000000, 50}, {1200000, 40}, {9000000, 10}, {80000000, 2}};

/* What is live is counted as live, what is free as free, and all of it adds up. */
START_TEST(test_mallinfo2)
{
    size_t size = kinds[_i].size, count = kinds[_i].count;
    hakmem_free(hakmem_malloc(size));
    struct mallinfo2 before = hakmem_mallinfo2();
    size_t usable = fill(size, count);
    struct mallinfo2 full = hakmem_mallinfo2();
    size_t live = full.uordblks - before.uordblks + full.hblkhd - before.hblkhd;
    NEED(about(live, usable), "%zu bytes live, mallinfo2 says %zu", usable, live);
    if (size > HAK_RUN_MAX)
        NEED(full.hblks - before.hblks == count && about(full.hblkhd - before.hblkhd, usable),
             "%zu huge blocks of %zu bytes", full.hblks - before.hblks, full.hblkhd - before.hblkhd);
    else
        NEED(full.hblks == before.hblks, "%zu huge blocks", full.hblks);
    NEED(about(full.arena, full.uordblks + full.fordblks), "arena %zu, live %zu, free %zu", full.arena, full.uordblks,
         full.fordblks);
    NEED(full.fsmblks <= full.fordblks, "fsmblks %zu, fordblks %zu", full.fsmblks, full.fordblks);
    NEED(full.ordblks == 0 && full.smblks == 0 && full.usmblks == 0, "the fields without a meaning");
    struct mallinfo ints = hakmem_mallinfo();
    NEED((size_t)ints.uordblks == full.uordblks && (size_t)ints.arena == full.arena &&
             (size_t)ints.hblkhd == full.hblkhd && (size_t)ints.hblks == full.hblks,
         "mallinfo differs from mallinfo2");

    /* Every second one: freed blocks count as free wherever they wait, in a magazine or in their slab. */
    for (size_t i = 0; i < count; i += 2)
        hakmem_free(blocks[i]);
    struct mallinfo2 half = hakmem_mallinfo2();
    live = half.uordblks - before.uordblks + half.hblkhd - before.hblkhd;
    NEED(about(live, usable / 2), "half of %zu bytes live, mallinfo2 says %zu", usable, live);
    for (size_t i = 1; i < count; i += 2)
        hakmem_free(blocks[i]);
    struct mallinfo2 after = hakmem_mallinfo2();
    NEED(about(after.uordblks, before.uordblks) && after.hblkhd == before.hblkhd, "%zu bytes live of none",
         after.uordblks + after.hblkhd - before.uordblks - before.hblkhd);
    hakmem_malloc_trim(0);
    after = hakmem_mallinfo2();
    NEED(about(after.uordblks, before.uordblks) && after.keepcost < 4 * TEST_MIB, "keepcost %zu after malloc_trim",
         after.keepcost);
    hak_verify();
}
END_TEST

static void *free_all(void *count)
{
    empty((size_t)(uintptr_t)count);
    return NULL;
}

/* Frees by another thread are counted once: neither lost nor, by an underflow, turned into 2^64 bytes. */
START_TEST(test_mallinfo2_across_threads)
{
    pthread_t thread;
    struct mallinfo2 before = hakmem_mallinfo2();
    for (int round = 0; round < 5; round++) {
        fill(kinds[_i].size, kinds[_i].count / 4);
        NEED(pthread_create(&thread, NULL, free_all, (void *)(uintptr_t)(kinds[_i].count / 4)) == 0, "pthread_create");
        pthread_join(thread, NULL);
        struct mallinfo2 after = hakmem_mallinfo2();
        NEED(about(after.uordblks, before.uordblks) && about(after.hblkhd, before.hblkhd), "%zu and %zu bytes live",
             after.uordblks, after.hblkhd);
        NEED(after.fordblks <= after.arena && after.fsmblks <= after.arena, "free %zu, cached %zu, arena %zu",
             after.fordblks, after.fsmblks, after.arena);
    }
}
END_TEST

/* ---- malloc_info -------------------------------------------------------------------------------------------- */

static char text[1 << 20];

static void get_malloc_info(void)
{
    FILE *stream = fmemopen(text, sizeof(text), "w");
    NEED(stream, "fmemopen");
    NEED(hakmem_malloc_info(0, stream) == 0, "malloc_info");
    fclose(stream);
}

/* The attribute `size` of the last element that begins with `start`: the totals follow the heaps. */
static size_t last_size(const char *start)
{
    const char *found = NULL;
    for (const char *at = text; (at = strstr(at, start)); at++)
        found = at;
    NEED(found, "malloc_info has no %s", start);
    const char *size = strstr(found, "size=\"");
    NEED(size, "%s has no size", start);
    return strtoull(size + 6, NULL, 10);
}

/* Tags open and close in order; there is one root. */
static void check_well_formed(void)
{
    const char *open[32];
    size_t lengths[32], depth = 0, roots = 0;
    for (const char *at = text; (at = strchr(at, '<'));) {
        const char *end = strchr(at, '>');
        NEED(end, "a tag does not end");
        if (at[1] == '/') {
            NEED(depth > 0, "one closing tag too many");
            depth--;
            NEED(!strncmp(at + 2, open[depth], lengths[depth]) && at + 2 + lengths[depth] == end, "%.20s closes %.20s",
                 at, open[depth]);
        } else if (end[-1] != '/') {
            NEED(depth < 32, "too deep");
            roots += depth == 0;
            open[depth] = at + 1;
            lengths[depth++] = strcspn(at + 1, " >");
        }
        at = end;
    }
    NEED(depth == 0 && roots == 1, "%zu tags stay open, %zu roots", depth, roots);
}

START_TEST(test_malloc_info)
{
    get_malloc_info();
    check_well_formed();
    NEED(!strncmp(text, "<malloc version=\"", 17), "malloc_info begins with %.30s", text);
    size_t usable = fill(kinds[_i].size, kinds[_i].count);
    for (size_t i = 0; i < kinds[_i].count; i += 2)
        hakmem_free(blocks[i]);
    get_malloc_info();
    check_well_formed();
    struct mallinfo2 info = hakmem_mallinfo2();
    NEED(about(last_size("<total type=\"mmap\""), info.hblkhd), "mmap: %zu, not %zu", last_size("<total type=\"mmap\""),
         info.hblkhd);
    NEED(about(last_size("<aspace type=\"total\""), info.arena), "aspace: %zu, not %zu",
         last_size("<aspace type=\"total\""), info.arena);
    NEED(last_size("<system type=\"current\"") + TEST_MIB >= usable / 2, "system: %zu",
         last_size("<system type=\"current\""));
    NEED(last_size("<total type=\"fast\"") + last_size("<total type=\"rest\"") <= info.fordblks + TEST_MIB,
         "fast %zu and rest %zu of %zu", last_size("<total type=\"fast\""), last_size("<total type=\"rest\""),
         info.fordblks);
    for (size_t i = 1; i < kinds[_i].count; i += 2)
        hakmem_free(blocks[i]);
}
END_TEST

START_TEST(test_malloc_info_fails)
{
    FILE *stream = fmemopen(text, sizeof(text), "w");
    errno = 0;
    NEED(hakmem_malloc_info(1, stream) == -1 && errno == EINVAL, "options 1: errno %d", errno);
    NEED(ftell(stream) == 0, "options 1 and output");
    fclose(stream);
    stream = fopen("/dev/full", "w");
    if (stream) {
        setvbuf(stream, NULL, _IONBF, 0);
        errno = 0;
        NEED(hakmem_malloc_info(0, stream) == -1, "no error from a full device");
        NEED(errno == ENOSPC, "errno %d", errno);
        fclose(stream);
    }
}
END_TEST

START_TEST(test_malloc_stats)
{
    int ends[2], saved = dup(STDERR_FILENO);
    hakmem_free(hakmem_malloc(100));
    NEED(saved >= 0 && pipe(ends) == 0, "pipe");
    dup2(ends[1], STDERR_FILENO);
    errno = 0;
    hakmem_malloc_stats();
    int error = errno;
    dup2(saved, STDERR_FILENO);
    close(ends[1]);
    ssize_t length = read(ends[0], text, sizeof(text));
    NEED(length > 20 && text[length - 1] == '\n', "malloc_stats wrote %zd bytes", length);
    NEED(error == 0, "malloc_stats set errno to %d", error);
}
END_TEST

/* ---- malloc_trim and mallopt -------------------------------------------------------------------------------- */

START_TEST(test_trim_gives_back)
{
    size_t size = kinds[_i].size, count = 48 * TEST_MIB / size;
    count = count > MOST ? MOST : count ? count : 1;
    hakmem_malloc_trim(0);
    memset(blocks, 1, sizeof(blocks));
    size_t start = resident_bytes();
    /* Not at once: what a process holds for long stays with it, so hold it for some rounds. */
    for (int round = 0; round < 3; round++) {
        fill(size, count);
        empty(count);
    }
    fill(size, count);
    size_t full = resident_bytes();
    NEED(full - start >= count * size / 10 * 9, "%zu bytes resident of %zu", full - start, count * size);
    empty(count);
    size_t held = resident_bytes();
    int gave = hakmem_malloc_trim(0);
    size_t trimmed = resident_bytes();
    NEED(trimmed < start + (full - start) / 10, "%zu bytes resident after malloc_trim, %zu before, %zu at the start",
         trimmed, held, start);
    if (held > trimmed + 4 * TEST_MIB)
        NEED(gave == 1, "malloc_trim gave memory back and returned %d", gave);
    NEED(hakmem_malloc_trim(0) == 0, "malloc_trim finds something again at once");
    hak_verify();
    /* And all of it can be used again. */
    fill(size, count);
    empty(count);
    hak_verify();
}
END_TEST

START_TEST(test_trim_keeps_the_pad)
{
    fill(1000, 40000);
    empty(40000);
    hakmem_malloc_trim(16 * TEST_MIB);
    size_t kept = hakmem_mallinfo2().keepcost;
    hakmem_malloc_trim(0);
    size_t none = hakmem_mallinfo2().keepcost;
    NEED(kept <= 18 * TEST_MIB && none < 4 * TEST_MIB, "kept %zu, then %zu", kept, none);
}
END_TEST

static pthread_barrier_t barrier;

static void *sleeper(void *unused)
{
    fill(1000, 40000);
    empty(40000);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return unused;
}

/* The heap of a sleeping thread is trimmed as well. */
START_TEST(test_trim_reaches_sleeping_threads)
{
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    size_t start = resident_bytes();
    NEED(pthread_create(&thread, NULL, sleeper, NULL) == 0, "pthread_create");
    pthread_barrier_wait(&barrier);
    hakmem_malloc_trim(0);
    size_t trimmed = resident_bytes();
    NEED(trimmed < start + 8 * TEST_MIB, "%zu bytes of a sleeping thread stay resident", trimmed - start);
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    hak_verify();
}
END_TEST

START_TEST(test_mallopt)
{
    static const int advice[] = {M_TOP_PAD, M_MMAP_MAX, M_CHECK_ACTION, M_PERTURB, M_ARENA_TEST, M_ARENA_MAX};
    NEED(hakmem_mallopt(-12345, 1) == 0, "mallopt of a parameter that nobody has");
    for (size_t i = 0; i < TEST_COUNT(advice); i++)
        NEED(hakmem_mallopt(advice[i], 8) == 1, "mallopt(%d, 8)", advice[i]);
    NEED(hakmem_mallopt(M_MXFAST, 160) == 1 && hakmem_mallopt(M_MXFAST, 161) == 0, "mallopt(M_MXFAST)");
    NEED(hakmem_mallopt(M_MMAP_THRESHOLD, 32 << 20) == 1 && hakmem_mallopt(M_MMAP_THRESHOLD, (32 << 20) + 1) == 0,
         "mallopt(M_MMAP_THRESHOLD)");
#if !HAK_MINIMAL
    NEED(hakmem_mallopt(M_TRIM_THRESHOLD, 0) == 1, "mallopt(M_TRIM_THRESHOLD, 0)");
    size_t start = resident_bytes();
    fill(1000, 60000);
    empty(60000);
    NEED(resident_bytes() < start + 24 * TEST_MIB, "a threshold of 0 keeps %zu bytes", resident_bytes() - start);
    NEED(hakmem_mallopt(M_TRIM_THRESHOLD, INT_MAX) == 1, "mallopt(M_TRIM_THRESHOLD, INT_MAX)");
#endif
}
END_TEST

static size_t distance(const void *a, const void *b)
{
    return (uintptr_t)a > (uintptr_t)b ? (uintptr_t)a - (uintptr_t)b : (uintptr_t)b - (uintptr_t)a;
}

/* Whoever writes beyond a block meets nothing that libhakmem believes in. */
START_TEST(test_own_structures_lie_apart)
{
    enum { APART = 1 << 30, HUGE_BLOCKS = 16 };
    const void *own[3 * HUGE_BLOCKS];
    unsigned count = 0;
    for (size_t i = 0; i < HUGE_BLOCKS; i++) {
        NEED(blocks[i] = hakmem_malloc(80000000 + i), "malloc");
        own[count++] = hak_window_first.map;
        NEED(own[count++] = hak_meta_alloc(300000), "pages for metadata");
        NEED(own[count++] = hak_meta_alloc(100), "a piece of metadata");
    }
    blocks[HUGE_BLOCKS] = hakmem_malloc(100);
    for (size_t i = 0; i <= HUGE_BLOCKS; i++)
        for (unsigned k = 0; k < count; k++)
            NEED(distance(blocks[i], own[k]) > APART, "a block at %p, and libhakmem's own at %p", blocks[i], own[k]);
    NEED(distance(&count, own[0]) > APART && distance(blocks, own[0]) > APART, "the program's variables are near");
    empty(HUGE_BLOCKS + 1);
}
END_TEST

int main(void)
{
    int number_of_kinds = (int)TEST_COUNT(kinds);
    Suite *suite = suite_create("info");
    TCase *tcase = suite_case(suite, "info", 60);
#if HAK_STATS
    tcase_add_loop_test(tcase, test_mallinfo2, 0, number_of_kinds);
    tcase_add_loop_test(tcase, test_mallinfo2_across_threads, 0, number_of_kinds);
    tcase_add_loop_test(tcase, test_malloc_info, 0, number_of_kinds);
#else
    (void)test_mallinfo2;
    (void)test_mallinfo2_across_threads;
    (void)test_malloc_info;
#endif
    tcase_add_test(tcase, test_malloc_info_fails);
    tcase_add_test(tcase, test_malloc_stats);
    tcase = suite_case(suite, "trim", 60);
    tcase_add_test(tcase, test_trim_keeps_the_pad);
    tcase_add_test(tcase, test_mallopt);
    /* A sanitizer's shadow and quarantine are resident as well. */
    if (!TEST_SANITIZER) {
        tcase_add_loop_test(tcase, test_trim_gives_back, 0, number_of_kinds);
        tcase_add_test(tcase, test_trim_reaches_sleeping_threads);
        tcase_add_test(tcase, test_own_structures_lie_apart);
    }
    return suite_run(suite);
}
