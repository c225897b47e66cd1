/* SPDX-License-Identifier: MIT */
/*
 * suite.h - how the check suites run: TAP on standard output, one process per test, the core library under test.
 *
 * They call hakmem_* and link with the core library, which replaces no libc name: on many systems libcheck is
 * static, and a harness that allocates from the code it tests would fall with it.
 */
#ifndef HAKMEM_TESTS_SUITE_H
#define HAKMEM_TESTS_SUITE_H

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common.h"
#include "hakmem.h"

/* As ck_assert_msg, but free of its bookkeeping: that one writes to a pipe at each call, which loops cannot afford. */
#define NEED(condition, ...) ((condition) ? (void)0 : ck_abort_msg(__VA_ARGS__))

static inline TCase *suite_case(Suite *suite, const char *name, unsigned seconds)
{
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, test_patience(seconds));
    suite_add_tcase(suite, tcase);
    return tcase;
}

/* The seed of a suite's random tests: HAKMEM_TEST_SEED, or the time.  It is printed, so that a run can be repeated. */
static inline uint64_t suite_seed(void)
{
    const char *wanted = getenv("HAKMEM_TEST_SEED");
    uint64_t seed = wanted ? strtoull(wanted, NULL, 0) : (uint64_t)time(NULL) * 1000003 ^ (uint64_t)getpid();
    printf("# HAKMEM_TEST_SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    return seed;
}

static inline int suite_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
