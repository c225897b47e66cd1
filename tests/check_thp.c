/* SPDX-License-Identifier: MIT */
/*
 * check_thp.c - a huge page that took long to come is followed by small ones for a while.  How long one took is made
 * up here; that a superslab does without is seen by what counts as held, by the call that says so, and by another when
 * all of it is used, after which the kernel may make a huge page of it.
 */
#include <sys/mman.h>
#include <time.h>

#include "os/os.h"
#include "knobs/knobs.h"
#include "suite.h"
#include "pages/superslab.h"
#include "stats/verify.h"

#define SUPER (2 * TEST_MIB)
#define BLOCK (16 * TEST_KIB) /* four to a unit */
#define MICROSECOND 1000u
#define MILLISECOND 1000000u
#define GROWN 40u /* superslabs, after which they ask for huge pages */
#define MORE 32u

static size_t calls(enum hak_os_kind kind)
{
    return hak_load(&hak_os_counts.calls[kind]);
}

/* Fills so many superslabs. */
static void grow(unsigned supers)
{
    for (unsigned i = 0; i < supers * (SUPER / BLOCK); i++)
        ck_assert_ptr_nonnull(hakmem_malloc(BLOCK));
}

static void touches_take(uint64_t nanoseconds)
{
    hak_store(&hak_os_touch_takes, nanoseconds);
}

static void sleep_for(unsigned milliseconds)
{
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    nanosleep(&time, NULL);
}

static void start(void)
{
    touches_take(1);
    grow(GROWN);
}

/* That superslabs do with huge pages, or without: one call for a few of them, or two for each. */
static void check_huge(bool wanted)
{
    size_t before = calls(HAK_OS_MADVISE);
    grow(MORE);
    size_t advised = calls(HAK_OS_MADVISE) - before;
    NEED(wanted ? advised < MORE : advised >= 2 * (MORE - 2), "%zu calls of madvise for %u superslabs", advised, MORE);
    hak_verify();
}

START_TEST(test_cheap)
{
    start();
    touches_take(1900 * MICROSECOND);
    check_huge(true);
}
END_TEST

START_TEST(test_dear)
{
    start();
    touches_take(100 * MILLISECOND); /* for 100 seconds */
    grow(1);
    sleep_for(200);
    touches_take(1);
    check_huge(false);
}
END_TEST

/* It counts as held unit by unit. */
START_TEST(test_dear_account)
{
    start();
    touches_take(100 * MILLISECOND);
    grow(1);
    size_t before = hak_super_count().free_dirty;
    ck_assert_ptr_nonnull(hakmem_malloc(200 * TEST_KIB));
    size_t more = hak_super_count().free_dirty - before;
    NEED(more < SUPER / 2, "%zu bytes held of a superslab beside a block of 200 KiB", more);
    hak_verify();
}
END_TEST

START_TEST(test_asked_for_again)
{
    start();
    touches_take(2 * MILLISECOND);
    grow(1);
    touches_take(1);
    sleep_for(2500);
    check_huge(true);
}
END_TEST

START_TEST(test_always)
{
    hak_store(&hak_knobs[HAK_KNOB_thp], HAK_THP_ALWAYS); /* before the first allocation, as if by HAKMEM_TUNE */
    start();
    touches_take(100 * MILLISECOND);
    check_huge(true);
}
END_TEST

/* By two readings of the clock for each superslab that asks for a huge page, when its first slab is made; if a large
 * block comes first, for eight and then every fourth. */
START_TEST(test_timed)
{
    touches_take(1);
    grow(1);
    size_t before = calls(HAK_OS_OTHER);
    grow(8);
    size_t read = calls(HAK_OS_OTHER) - before;
    NEED(read < 2, "%zu readings where no huge pages are asked for", read);
    start();
    before = calls(HAK_OS_OTHER);
    grow(MORE);
    read = calls(HAK_OS_OTHER) - before;
    NEED(read >= 2 * (MORE - 2) && read <= 2 * (MORE + 2), "%zu readings for %u superslabs", read, MORE);
    before = calls(HAK_OS_OTHER);
    for (unsigned i = 0; i < 4 * MORE; i++)
        ck_assert_ptr_nonnull(hakmem_malloc(TEST_MIB));
    read = calls(HAK_OS_OTHER) - before;
    NEED(read >= 2 * (8 + 10) && read <= 2 * (8 + 20), "%zu readings for %u superslabs of large blocks, which may never"
         " be written to", read, 2 * MORE);
}
END_TEST

START_TEST(test_touch)
{
    char *page = mmap(NULL, TEST_MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(page != MAP_FAILED);
    touches_take(0);
    size_t took = 0;
    for (unsigned i = 0; i < 16; i++)
        took += hak_os_touch(page + i * (TEST_MIB / 16));
    NEED(took > 0 && took < 16ul * 1000 * MILLISECOND, "%zu nanoseconds", took);
    NEED(page[0] == 0, "a touch has changed the byte");
    munmap(page, TEST_MIB);
}
END_TEST

/* Blocks of more than half a superslab, of which a page each is touched. */
START_TEST(test_long_runs)
{
    enum { LONG = 200 };
    if (hak_os_huge_pages_are_usual())
        return;
    start();
    size_t before = resident_bytes();
    for (unsigned i = 0; i < LONG; i++) {
        char *block = hakmem_malloc(TEST_MIB + 100000 + i % 3 * TEST_MIB);
        ck_assert_ptr_nonnull(block);
        *block = 1;
    }
    size_t grown = resident_bytes() - before;
    NEED(grown < 16 * TEST_MIB, "%zu bytes became resident for %d long blocks of which a page each was touched", grown, LONG);
    hak_verify();
}
END_TEST

START_TEST(test_other_size)
{
    hak_store(&hak_os_huge_page_is, (size_t)32 << 20);
    grow(GROWN);
    grow(MORE);
    NEED(hak_load(&hak_os_counts.want_huge) == 0, "huge pages of 32 MiB were asked for");
    hak_verify();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("thp");
    TCase *tcase = suite_case(suite, "huge pages", 120);
    tcase_add_test(tcase, test_cheap);
    tcase_add_test(tcase, test_dear);
    tcase_add_test(tcase, test_dear_account);
    tcase_add_test(tcase, test_asked_for_again);
    if (!HAK_MINIMAL) /* there are no other settings */
        tcase_add_test(tcase, test_always);
    tcase_add_test(tcase, test_timed);
    tcase_add_test(tcase, test_long_runs);
    tcase_add_test(tcase, test_other_size);
    tcase_add_test(tcase, test_touch);
    return suite_run(suite);
}
