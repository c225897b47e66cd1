/* SPDX-License-Identifier: MIT */
/*
 * check_thp.c - a huge page that took long to come is followed by small ones for a while.  How long one took is made
 * up here; that superslabs do without one is seen by the two calls it takes to say so, and by what is resident where
 * the kernel has huge pages.
 */
#include <time.h>

#include "os.h"
#include "settings.h"
#include "suite.h"
#include "verify.h"

#define SUPER (2 * TEST_MIB)
#define MILLISECOND 1000000u
#define GROWN 40u /* superslabs, after which they ask for huge pages */
#define MORE 32u

static size_t advised(void)
{
    return hak_load(&hak_os_counts.calls[HAK_OS_MADVISE]);
}

static void grow(unsigned supers)
{
    for (unsigned i = 0; i < 2 * supers; i++)
        ck_assert_ptr_nonnull(hakmem_malloc(SUPER / 2));
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

START_TEST(test_cheap)
{
    start();
    size_t before = advised(), resident = hak_os_resident();
    grow(MORE);
    NEED(advised() - before < MORE, "%zu calls of madvise for %u superslabs", advised() - before, MORE);
    size_t came = hak_os_resident() - resident;
    /* Each was touched, and is resident as a whole if the kernel has huge pages. */
    NEED(came < 2 * TEST_MIB || came > (MORE - 2) * SUPER, "%zu bytes resident of %u huge pages", came, MORE);
}
END_TEST

START_TEST(test_dear)
{
    start();
    touches_take(1000 * MILLISECOND); /* for half a minute */
    size_t before = advised(), resident = hak_os_resident();
    grow(MORE);
    hak_verify();
    NEED(advised() - before >= 2 * (MORE - 2), "%zu calls of madvise for %u superslabs", advised() - before, MORE);
    size_t came = hak_os_resident() - resident;
    NEED(came < 3 * SUPER, "%zu bytes came of %u superslabs that nobody has written to", came, MORE);
}
END_TEST

START_TEST(test_asked_for_again)
{
    start();
    touches_take(2 * MILLISECOND);
    grow(1);
    touches_take(1);
    sleep_for(100);
    size_t before = advised();
    grow(MORE);
    NEED(advised() - before < MORE, "%zu calls of madvise for %u superslabs", advised() - before, MORE);
}
END_TEST

START_TEST(test_always)
{
    hak_store(&hak_settings[HAK_KNOB_thp], HAK_THP_ALWAYS); /* before the first allocation, as if by HAKMEM_TUNE */
    start();
    touches_take(1000 * MILLISECOND);
    size_t before = advised();
    grow(MORE);
    NEED(advised() - before < MORE, "%zu calls of madvise for %u superslabs", advised() - before, MORE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("thp");
    TCase *tcase = suite_case(suite, "huge pages", 60);
    tcase_add_test(tcase, test_cheap);
    tcase_add_test(tcase, test_dear);
    tcase_add_test(tcase, test_asked_for_again);
    if (!HAK_MINIMAL) /* there are no other settings */
        tcase_add_test(tcase, test_always);
    return suite_run(suite);
}
