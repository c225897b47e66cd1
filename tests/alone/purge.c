/* SPDX-License-Identifier: MIT */
/*
 * purge.c - free memory goes back to the kernel by itself, whoever freed it and whoever gives it back; and what comes
 * back is as good as new.
 */
#include "purging.h"

/* ---- how much comes back ------------------------------------------------------------------------------------ */

enum { OWNERS = 4, CLASSES = 40 }; /* threads beside the main one; classes of blocks in each heap, at most */

static size_t page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/* All but a twentieth of the memory at the peak, and `constant` bytes, comes back.  With pages above 4 KiB each class
 * of each heap may keep more, by a page.  An emulator grows as it translates. */
static void need_return_when(int (*comes)(int (*)(size_t), size_t), size_t before, size_t peak, size_t constant)
{
    size_t allowed = before + (peak - before) / 20 + constant + (OWNERS + 1) * CLASSES * (page_bytes() - 4 * TEST_KIB);
    if (test_emulated())
        allowed += 16 * TEST_MIB;
    if (!TEST_SANITIZER)
        NEED(comes(resident_is, allowed), "%zu bytes resident; %zu at the peak and %zu before", resident_bytes(), peak,
             before);
}

static int at_once(int (*holds)(size_t), size_t argument) { return holds(argument); }

static void need_return(size_t before, size_t peak, size_t constant)
{
    need_return_when(wait_until, before, peak, constant);
}

static void need_return_at_once(size_t before, size_t peak, size_t constant)
{
    need_return_when(at_once, before, peak, constant);
}

static size_t resident_at_first(void)
{
    memset(blocks, 0xff, sizeof blocks);
    memset(blocks, 0, sizeof blocks);
    return resident_bytes();
}

/* ---- who frees ---------------------------------------------------------------------------------------------- */

enum { PLACES = MOST / OWNERS };
static pthread_barrier_t barrier;
static size_t ends[OWNERS];

static void *own_and_sleep(void *argument)
{
    size_t number = (size_t)(uintptr_t)argument;
    ends[number] = fill(number * PLACES, 24 * TEST_MIB, 16, 600);
    pthread_barrier_wait(&barrier);
    for (;;)
        pause();
    return NULL;
}

static void freed_by_another(void)
{
    pthread_barrier_init(&barrier, NULL, OWNERS + 1);
    size_t before = resident_at_first();
    for (uintptr_t i = 0; i < OWNERS; i++)
        spawn(own_and_sleep, (void *)i);
    pthread_barrier_wait(&barrier);
    size_t peak = resident_bytes();
    for (size_t i = 0; i < OWNERS; i++)
        release_all(i * PLACES, ends[i]);
    need_return(before, peak, 5 * TEST_MIB);
    verify_heap();
}

static void freed_by_itself(void)
{
    have_another_thread();
    size_t before = resident_at_first(), end = fill(0, 64 * TEST_MIB, 16, 2000), peak = resident_bytes();
    release_all(0, end);
    need_return(before, peak, 3 * TEST_MIB);
    verify_heap();
}

static size_t fill_large_and_huge(void)
{
    size_t large = fill(0, 64 * TEST_MIB, 200 * TEST_KIB, TEST_MIB);
    return fill(large, 64 * TEST_MIB, TEST_MIB + 1, 3 * TEST_MIB);
}

static void large_and_huge(void)
{
    have_another_thread();
    size_t before = resident_at_first();
    size_t end = fill_large_and_huge(), peak = resident_bytes();
    release_all(0, end);
    need_return(before, peak, 3 * TEST_MIB);
    verify_heap();
}

/* Frees less than a helper is started for, behind more that was.  Where there can be no helper, calls have to make the
 * passes. */
static void behind_small(size_t bytes, size_t least, size_t most)
{
    have_another_thread();
    calls_go_on = !helper_possible();
    size_t before = resident_at_first();
    release_all(0, fill(0, 32 * TEST_MIB, 16, 2000));
    need_return(before, before + 32 * TEST_MIB, 3 * TEST_MIB);
    size_t end = fill(0, bytes, least, most), peak = resident_bytes();
    release_all(0, end);
    need_return(before, peak, 3 * TEST_MIB);
    verify_heap();
}

static void large_behind_small(void) { behind_small(16 * TEST_MIB, 200 * TEST_KIB, TEST_MIB); }
static void huge_behind_small(void) { behind_small(12 * TEST_MIB, 2 * TEST_MIB, 3 * TEST_MIB); }

/* Freed blocks above 1 MiB are cached.  They are of no use to a program that goes on with small blocks: at a new peak
 * as much of the cache goes back as the small blocks add. */
static void kept_below_peak(void)
{
    tune("purge_thread=no,purge_delay=3600s");
    size_t before = resident_at_first(), huge = fill(0, 4 * TEST_MIB, 2 * TEST_MIB - 4096, 2 * TEST_MIB - 4096);
    release_all(0, huge);
    size_t kept = resident_bytes();
    size_t end = fill(0, 24 * TEST_MIB, 1024, 1024), most = resident_bytes();
    if (!TEST_SANITIZER && !test_emulated()) {
        NEED(kept > before + 3 * TEST_MIB, "%zu bytes resident with some kept; %zu before", kept, before);
        NEED(most < before + 26 * TEST_MIB, "%zu bytes resident with 24 MiB live; %zu before", most, before);
    }
    release_all(0, end);
    verify_heap();
}

/* ---- holes -------------------------------------------------------------------------------------------------- */

static void punch_holes(size_t end)
{
    uint64_t random = test_state(9);
    for (size_t i = 0; i < end; i++)
        if (test_random(&random) % 10)
            release(i);
}

static void skip_with_large_pages(void)
{
    if (page_bytes() > 4 * TEST_KIB)
        skip_case("no page of so many bytes is free among blocks in use");
}

static void holes(void)
{
    skip_with_large_pages();
    have_another_thread();
    calls_go_on = !helper_possible();
    size_t before = resident_at_first(), end = fill(0, 64 * TEST_MIB, 64, 512), peak = resident_bytes();
    punch_holes(end);
    /* A page of 300-byte blocks is free with a probability of a fifth; an emulator may grow by as much. */
    if (!TEST_SANITIZER && !test_emulated())
        NEED(wait_until(resident_is, peak - (peak - before) / 12), "%zu bytes resident; %zu at the peak and %zu before",
             resident_bytes(), peak, before);
    release_all(0, end);
    need_return(before, peak, 3 * TEST_MIB);
    verify_heap();
}

/* ---- without a helper --------------------------------------------------------------------------------------- */

static void trim_in_slabs(void)
{
    skip_with_large_pages();
    tune("purge_thread=no,purge_delay=3600s");
    size_t before = resident_at_first(), end = fill(0, 64 * TEST_MIB, 64, 512);
    punch_holes(end);
    malloc_trim(64 * TEST_MIB);
    size_t slabs_only = resident_bytes();
    malloc_trim(0);
    size_t now = resident_bytes();
    if (!TEST_SANITIZER)
        NEED(now < before + 60 * TEST_MIB, "%zu bytes resident, %zu with 64 MiB to keep, %zu before", now, slabs_only,
             before);
    release_all(0, end);
    malloc_trim(0);
    if (!TEST_SANITIZER)
        NEED(resident_is(before + 3 * TEST_MIB), "%zu bytes resident; %zu before", resident_bytes(), before);
    NEED(helpers_are(0), "a helper in spite of purge_thread=no");
}

static void unaided(void)
{
    tune("purge_thread=no,purge_delay=20ms");
    calls_go_on = 1;
    size_t before = resident_at_first(), end = fill(0, 64 * TEST_MIB, 64, 512), peak = resident_bytes();
    release_all(0, end);
    need_return(before, peak, 3 * TEST_MIB);
    NEED(helpers_are(0), "a helper in spite of purge_thread=no");
    verify_heap();
}

/* ---- one thread --------------------------------------------------------------------------------------------- */

/* No call comes after the last free. */
static void at_once_small(void)
{
    size_t before = resident_at_first(), end = fill(0, 64 * TEST_MIB, 16, 2000), peak = resident_bytes();
    release_all(0, end);
    need_return_at_once(before, peak, 6 * TEST_MIB);
    verify_heap();
}

static void at_once_large(void)
{
    size_t before = resident_at_first();
    size_t end = fill_large_and_huge(), peak = resident_bytes();
    release_all(0, end);
    need_return_at_once(before, peak, 6 * TEST_MIB);
    verify_heap();
}

static void at_once_holes(void)
{
    skip_with_large_pages();
    try_tune("purge_delay=10s"); /* passes are too rare to give anything back here */
    size_t before = resident_at_first(), end = fill(0, 64 * TEST_MIB, 64, 512), peak = resident_bytes();
    punch_holes(end);
    if (!TEST_SANITIZER && !test_emulated())
        NEED(resident_bytes() < peak - (peak - before) / 12, "%zu bytes resident; %zu at the peak and %zu before",
             resident_bytes(), peak, before);
    release_all(0, end);
    /* The last blocks may wait in magazines, each in a page of its own. */
    need_return_at_once(before, peak, 24 * TEST_MIB);
    verify_heap();
}

/* ---- with a helper ------------------------------------------------------------------------------------------ */

/* With an hour between passes nothing comes back.  A shorter purge_delay applies at once. */
static void delay_by_knob(void)
{
    if (!helper_possible() || TEST_SANITIZER)
        skip_case("there can be no helper, or what is resident says nothing");
    have_another_thread();
    tune("purge_delay=3600s");
    size_t before = resident_at_first(), end = fill(0, 64 * TEST_MIB, 500, 2000), peak = resident_bytes();
    release_all(0, end);
    need_helpers(1);
    for (int i = 0; i < 100; i++)
        doze();
    NEED(resident_bytes() > before + (peak - before) * 3 / 4, "%zu bytes resident at once, %zu before",
         resident_bytes(), before);
    tune("purge_delay=10ms");
    need_return(before, peak, 3 * TEST_MIB);
}

static void child_of_helped(void)
{
    if (TEST_TSAN)
        skip_case("ThreadSanitizer has no threads in the child of a process with threads");
    if (test_emulated())
        skip_case("the emulator may hang in the child of a process with threads");
    if (helper_possible()) {
        have_another_thread();
        free_much();
        need_helpers(1);
    }
    size_t left = fill(0, 40 * TEST_MIB, 500, 2000);
    pid_t child = fork();
    if (child == 0) {
        alarm(test_patience(100));
        size_t before = resident_bytes(), end = fill(left, 64 * TEST_MIB, 500, 2000), peak = resident_bytes();
        release_all(left, end);
        need_return(before, peak, 6 * TEST_MIB);
        NEED(helpers_are(0), "a helper in a child with one thread");
        if (helper_possible()) {
            have_another_thread();
            free_much_from(left);
            need_helpers(1);
        }
        verify_heap();
        _exit(atomic_load(&problems) != 0);
    }
    NEED(wait_for(child) == 0, "the child failed");
    release_all(0, left);
}

/* ---- what comes back is as good as new ---------------------------------------------------------------------- */

enum { WORKERS = 4, SLOTS = 3000 };
static atomic_int stop;

static size_t some_size(uint64_t r)
{
    size_t limits[] = {600, 600, 600, 4000, 4000, 40000, 300000, 3000000};
    unsigned which = r % 997 == 0 ? 7 : r % 97 == 0 ? 6 : r % 5;
    return (r >> 20) % limits[which] + 1;
}

static void *work(void *argument)
{
    uint64_t random = test_state((uint64_t)(uintptr_t)argument);
    static struct block all[WORKERS][SLOTS];
    struct block *own = all[(uintptr_t)argument];
    for (unsigned long left = test_scale(600000); left && !atomic_load(&stop); left--) {
        uint64_t r = test_random(&random);
        /* Now and then all blocks go at once, so that there is something to give back. */
        size_t first = r % SLOTS, count = r >> 52 == 0 ? SLOTS : 1;
        for (size_t k = 0; k < count; k++) {
            struct block *block = &own[(first + k) % SLOTS];
            uint64_t seed = (uintptr_t)block;
            if (block->at) {
                NEED(pattern_check(block->at, block->size, seed) == SIZE_MAX, "a block of %zu bytes changed",
                     block->size);
                free(block->at);
                block->at = NULL;
            } else if (count == 1) {
                size_t size = some_size(test_random(&random));
                int zeroed = r >> 63;
                *block = (struct block){zeroed ? calloc(1, size) : malloc(size), size};
                NEED(block->at != NULL, "no memory");
                NEED(!zeroed || first_nonzero(block->at, size) == SIZE_MAX, "calloc of %zu bytes is not zero", size);
                pattern_fill(block->at, size, seed);
            }
        }
        if (r >> 56 == 1)
            sched_yield();
    }
    for (size_t i = 0; i < SLOTS; i++)
        if (own[i].at) {
            NEED(pattern_check(own[i].at, own[i].size, (uintptr_t)&own[i]) == SIZE_MAX, "a block changed");
            free(own[i].at);
            own[i].at = NULL;
        }
    return NULL;
}

static void passes_all_the_time(const char *settings)
{
    tune(settings);
    have_another_thread();
    free_much(); /* so that there is a helper */
    size_t left = fill(0, 8 * TEST_MIB, 16, 5000);
    pthread_t threads[WORKERS];
    for (uintptr_t i = 0; i < WORKERS; i++)
        threads[i] = spawn(work, (void *)i);
    for (int i = 0; i < (int)test_scale(40) && !TEST_TSAN && !test_emulated(); i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(test_patience(60));
            release_all((size_t)i % 7, left);
            verify_heap();
            size_t end = fill(left, 20 * TEST_MIB, 16, 9000);
            verify_heap();
            release_all(0, end);
            verify_heap();
            _exit(atomic_load(&problems) != 0);
        }
        NEED(wait_for(child) == 0, "a child failed");
        doze();
    }
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    release_all(0, left);
    verify_heap();
}

static void model_with_helper(void) { passes_all_the_time("purge_delay=1ms,keep_free=64t"); }

static void model_without(void) { passes_all_the_time("purge_delay=1ms,purge_thread=no"); }

/* ------------------------------------------------------------------------------------------------------------- */

int main(void)
{
    tap_watchdog(280);
    run_case("what it frees comes back with the last free", at_once_small);
    run_case("large and huge blocks, too", at_once_large);
    run_case("and pages in slabs that are in use", at_once_holes);
    run_case("what another thread freed comes back while its owners sleep", freed_by_another);
    run_case("what a thread freed itself comes back while it sleeps", freed_by_itself);
    run_case("large and huge blocks come back", large_and_huge);
    run_case("a few large blocks come back behind many small ones", large_behind_small);
    run_case("a few huge blocks come back behind many small ones", huge_behind_small);
    run_case("what is kept does not raise the peak", kept_below_peak);
    run_case("pages in slabs that are in use come back", holes);
    run_case("malloc_trim gives back pages in slabs that are in use", trim_in_slabs);
    run_case("without a helper memory comes back when some is freed", unaided);
    run_case("purge_delay is how long memory stays", delay_by_knob);
    run_case("memory comes back in the child of a process with a helper", child_of_helped);
    run_case("a thousand passes a second change no block", model_with_helper);
    run_case("nor do those of threads that free", model_without);
    return tap_end();
}
