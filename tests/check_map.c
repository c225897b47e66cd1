/* SPDX-License-Identifier: MIT */
/*
 * check_map.c - the page map grows in place, with the superslabs and no further; a thread that knows an older end of it
 * learns of the newest; and where no place is left behind it, the next window begins.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "suite.h"
#include "heap/tcache.h"
#include "pages/window.h"
#include "stats/verify.h"

enum { BLOCKS = 12 };
#define SIZE (30 * TEST_MIB) /* two to a chunk */

static void *blocks[BLOCKS];

static size_t units(void)
{
    return hak_load_acquire(&hak_window_first.map_units);
}

static void take_all(void)
{
    for (int i = 0; i < BLOCKS; i++)
        NEED(blocks[i] = hakmem_malloc(SIZE), "no memory for block %d", i);
}

static void free_all(void)
{
    for (int i = 0; i < BLOCKS; i++)
        hakmem_free(blocks[i]);
    hak_verify();
}

START_TEST(test_grows_with_superslabs)
{
    size_t page_units = HAK_MAX(HAK_CHUNK_UNITS, hak_os_page / sizeof(uint32_t));
    hakmem_free(hakmem_malloc(100));
    NEED(units() == page_units, "%zu entries for one superslab", units());
    take_all();
    hak_lock(&hak_window_lock);
    size_t used = hak_window_first.next_super * HAK_SUPER_UNITS;
    hak_unlock(&hak_window_lock);
    NEED(units() >= used && units() < used + page_units, "%zu entries for %zu units", units(), used);
    for (int i = 0; i < BLOCKS; i++) {
        NEED(hak_window_of(blocks[i]) == &hak_window_first, "block %d is in another window", i);
        NEED(hak_entry_of(blocks[i]) == HAK_ENTRY_LARGE, "block %d has entry %#x", i, hak_entry_of(blocks[i]));
    }
    char *end = (char *)hak_window_first.base + hak_window_first.supers * HAK_SUPER;
    NEED(hak_entry_of(end - 1) == HAK_ENTRY_NONE, "the window's last unit has an entry");
    free_all();
}
END_TEST

static pthread_barrier_t barrier;

/* Knows the page map as it was when the thread began, until it frees a block that lies behind. */
static void *free_late(void *unused)
{
    hakmem_free(hakmem_malloc(100));
    size_t before = hak_tcache_hot_self()->window_units;
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    NEED(hak_tcache_hot_self()->window_units == before && before < units(), "the map did not grow");
    hakmem_free(blocks[BLOCKS - 1]);
    size_t known = hak_tcache_hot_self()->window_units;
    NEED(known == units(), "%zu of %zu entries known", known, units());
    return unused;
}

START_TEST(test_threads_learn_of_growth)
{
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, free_late, NULL), 0);
    pthread_barrier_wait(&barrier);
    take_all();
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    blocks[BLOCKS - 1] = NULL;
    free_all();
}
END_TEST

START_TEST(test_place_behind_is_occupied)
{
    hakmem_free(hakmem_malloc(100));
    if (hak_window_first.map_reserved) /* a sanitizer's build: no place can be occupied */
        return;
    char *end = (char *)hak_window_first.map + hak_round_up(units() * sizeof(uint32_t), hak_os_page);
    void *occupied = mmap(end, hak_os_page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    NEED(occupied == end, "cannot map a page at %p", (void *)end);
    size_t before = units();
    take_all();
    NEED(units() == before, "the map has grown over another's page");
    NEED(hak_window_of(blocks[BLOCKS - 1]) == hak_load_acquire(&hak_window_first.next), "no second window");
    free_all();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page map");
    TCase *tcase = suite_case(suite, "growth", 20);
    tcase_add_test(tcase, test_grows_with_superslabs);
    tcase_add_test(tcase, test_threads_learn_of_growth);
    tcase_add_test(tcase, test_place_behind_is_occupied);
    return suite_run(suite);
}
