/* SPDX-License-Identifier: MIT */
/* check_tune.c - hakmem_tune(3): the grammar, the errors, and that each knob for any time does something. */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include "suite.h"

#define KNOBS_CHANGE (!HAK_MINIMAL)

static uint64_t value_of(const char *name)
{
    uint64_t value = UINT64_MAX;
    ck_assert_int_eq(hakmem_tune_get(name, &value), HAKMEM_TUNE_OK);
    return value;
}

/* The problems of one string, the last one in full. */
struct problems {
    const char *string;
    unsigned count;
    enum hakmem_tune_status status;
    char message[256], nearest[64], wrong[64];
};

static void note_problem(const struct hakmem_tune_problem *problem, void *data)
{
    struct problems *problems = data;
    problems->count++;
    problems->status = problem->status;
    snprintf(problems->message, sizeof problems->message, "%s", problem->message);
    snprintf(problems->nearest, sizeof problems->nearest, "%s", problem->nearest ? problem->nearest : "");
    snprintf(problems->wrong, sizeof problems->wrong, "%.*s", (int)problem->length,
             problems->string + problem->position);
}

static struct problems check(const char *string)
{
    struct problems problems = {.string = string};
    enum hakmem_tune_status status = hakmem_tune_check(string, note_problem, &problems);
    ck_assert_msg((status == HAKMEM_TUNE_OK) == (problems.count == 0), "'%s': status %d", string, (int)status);
    ck_assert_int_eq(hakmem_tune_check(string, NULL, NULL), status);
    return problems;
}

/* ---- the table ---- */

START_TEST(each_knob_is_described)
{
    struct hakmem_knob knob;
    size_t count = 0;
    for (; hakmem_tune_knob(count, &knob, sizeof knob) == HAKMEM_TUNE_OK; count++) {
        ck_assert_msg(knob.name[0] && knob.meaning[0], "knob %zu", count);
        ck_assert_msg(!strchr(knob.meaning, '\n'), "%s", knob.name);
        ck_assert_msg(knob.least < knob.most, "%s", knob.name);
        ck_assert_msg(knob.initial >= knob.least && knob.initial <= knob.most, "%s", knob.name);
        ck_assert_msg((knob.words != NULL) == (knob.type == HAKMEM_KNOB_BOOL || knob.type == HAKMEM_KNOB_ENUM), "%s",
                      knob.name);
        ck_assert_msg(knob.value == value_of(knob.name), "%s", knob.name);
        ck_assert_msg(knob.value == knob.initial, "%s", knob.name);
    }
    ck_assert_uint_ge(count, 8);
    ck_assert_int_eq(hakmem_tune_knob(SIZE_MAX, &knob, sizeof knob), HAKMEM_TUNE_UNKNOWN);
}
END_TEST

/* As callers see it that were compiled when the struct was smaller, and when it will be larger. */
START_TEST(struct_may_grow)
{
    struct {
        struct hakmem_knob knob;
        uint64_t later;
    } larger;
    struct hakmem_knob knob, part;
    memset(&larger, 0xff, sizeof larger);
    memset(&part, 0xff, sizeof part);
    ck_assert_int_eq(hakmem_tune_knob(0, &knob, sizeof knob), HAKMEM_TUNE_OK);
    ck_assert_int_eq(hakmem_tune_knob(0, &larger.knob, sizeof larger), HAKMEM_TUNE_OK);
    ck_assert_int_eq(hakmem_tune_knob(0, &part, offsetof(struct hakmem_knob, words)), HAKMEM_TUNE_OK);
    ck_assert_ptr_eq(larger.knob.name, knob.name);
    ck_assert_uint_eq(larger.later, 0);
    ck_assert_ptr_eq(part.meaning, knob.meaning);
    ck_assert_uint_eq(part.most, UINT64_MAX);
}
END_TEST

/* Any value of any knob, written and read again, is the same. */
START_TEST(values_round_trip)
{
    struct hakmem_knob knob;
    uint64_t random = test_state(1);
    for (size_t i = 0; hakmem_tune_knob(i, &knob, sizeof knob) == HAKMEM_TUNE_OK; i++)
        for (unsigned n = 0; n < 2000; n++) {
            uint64_t span = knob.most - knob.least, shift = test_random(&random) % 64;
            uint64_t value = knob.least + (n == 0 ? 0 : n == 1 ? span : (test_random(&random) >> shift) % (span + 1));
            char text[64], setting[128];
            if (knob.type == HAKMEM_KNOB_LIMIT && value > 100 && value < 4 * TEST_MIB)
                continue; /* neither a share nor a limit to run under */
            size_t length = hakmem_tune_format(knob.name, value, text, sizeof text);
            NEED(length == strlen(text) && length > 0, "%s: %s", knob.name, text);
            snprintf(setting, sizeof setting, "%s=%s", knob.name, text);
            bool settable = KNOBS_CHANGE && knob.when == HAKMEM_KNOB_ANY_TIME;
            if (!settable)
                continue;
            NEED(hakmem_tune_parse(setting, NULL, NULL) == HAKMEM_TUNE_OK, "%s", setting);
            NEED(value_of(knob.name) == value, "%s", setting);
        }
}
END_TEST

START_TEST(format_cuts_off)
{
    char text[4];
    ck_assert_uint_eq(hakmem_tune_format("on_misuse", 1, text, sizeof text), 6);
    ck_assert_str_eq(text, "rep");
    ck_assert_uint_eq(hakmem_tune_format("on_misuse", 1, NULL, 0), 6);
    ck_assert_uint_eq(hakmem_tune_format("on_misuse", 2, text, sizeof text), 0);
    ck_assert_uint_eq(hakmem_tune_format("nothing", 1, text, sizeof text), 0);
    ck_assert_uint_eq(hakmem_tune_format("keep_free", 3 << 20, text, sizeof text), 2);
    ck_assert_str_eq(text, "3m");
    ck_assert_uint_eq(hakmem_tune_format("limit_hard", 50, text, sizeof text), 3);
    ck_assert_str_eq(text, "50%");
    ck_assert_uint_eq(hakmem_tune_format("limit_hard", 101, text, sizeof text), 0);
}
END_TEST

/* ---- right and wrong strings ---- */

START_TEST(right_strings)
{
    static const char *const strings[] = {
        "", ",", " , ,", "keep_free=1m", "keep_free=1M", " keep_free = 1m , huge_cache=0 ,", "keep_free=64t",
        "keep_free=1048576", "keep_free=007", "on_misuse=abort",
    };
    for (size_t i = 0; i < TEST_COUNT(strings) && KNOBS_CHANGE; i++)
        ck_assert_msg(check(strings[i]).count == 0, "'%s'", strings[i]);
}
END_TEST

START_TEST(wrong_strings)
{
    static const struct {
        const char *string, *wrong, *nearest;
        enum hakmem_tune_status status;
    } cases[] = {
        {"keep_fre=1m", "keep_fre", "keep_free", HAKMEM_TUNE_UNKNOWN},
        {"huge_cache=16m,keepfree=1m", "keepfree", "keep_free", HAKMEM_TUNE_UNKNOWN},
        {"Keep_Free=1m", "Keep_Free", "keep_free", HAKMEM_TUNE_UNKNOWN},
        {"heaps=1", "heaps", "heaps_per_cpu", HAKMEM_TUNE_UNKNOWN},
        {"=1m", "", NULL, HAKMEM_TUNE_UNKNOWN},
        {"keep_free", "keep_free", "keep_free", HAKMEM_TUNE_SYNTAX},
        {"keep_free=", "", "", HAKMEM_TUNE_BAD_VALUE},
        {"keep_free=m", "m", "", HAKMEM_TUNE_BAD_VALUE},
        {"keep_free=-1", "-1", "", HAKMEM_TUNE_BAD_VALUE},
        {"keep_free=+1", "+1", "", HAKMEM_TUNE_BAD_VALUE},
        {"keep_free=1 m", "1 m", "", HAKMEM_TUNE_BAD_VALUE},
        {"keep_free=1mb", "1mb", "", HAKMEM_TUNE_BAD_VALUE},
        {"keep_free=1mmmmmm", "1mmmmmm", "", HAKMEM_TUNE_BAD_VALUE},
        {"keep_free=1.5m", "1.5m", "", HAKMEM_TUNE_BAD_VALUE},
        {"keep_free=0x10", "0x10", "", HAKMEM_TUNE_BAD_VALUE},
        {"keep_free=1=2", "1=2", "", HAKMEM_TUNE_BAD_VALUE},
        {"heaps_per_cpu=1k", "1k", "", HAKMEM_TUNE_BAD_VALUE},
        {"keep_free=65t", "65t", "", HAKMEM_TUNE_OUT_OF_RANGE},
        {"keep_free=18446744073709551616", "18446744073709551616", "", HAKMEM_TUNE_OUT_OF_RANGE},
        {"keep_free=99999999999999999999t", "99999999999999999999t", "", HAKMEM_TUNE_OUT_OF_RANGE},
        {"keep_free=16777217t", "16777217t", "", HAKMEM_TUNE_OUT_OF_RANGE},
        {"heaps_per_cpu=0", "0", "", HAKMEM_TUNE_OUT_OF_RANGE},
        {"on_misuse=aborts", "aborts", "abort", HAKMEM_TUNE_BAD_VALUE},
        {"on_misuse=", "", NULL, HAKMEM_TUNE_BAD_VALUE},
        {"force_libc=maybe", "maybe", NULL, HAKMEM_TUNE_BAD_VALUE},
        {"limit_soft=150%", "150%", "", HAKMEM_TUNE_OUT_OF_RANGE},
        {"limit_soft=0%", "0%", "", HAKMEM_TUNE_OUT_OF_RANGE},
        {"limit_hard=50", "50", "", HAKMEM_TUNE_OUT_OF_RANGE},
        {"limit_hard=101", "101", "", HAKMEM_TUNE_OUT_OF_RANGE},
        {"limit_hard=4095k", "4095k", "", HAKMEM_TUNE_OUT_OF_RANGE},
        {"limit_hard=4194304%", "4194304%", "", HAKMEM_TUNE_OUT_OF_RANGE},
        {"stats_signal=9", "9", "", HAKMEM_TUNE_UNSUPPORTED},
        {"stats_signal=32", "32", "", HAKMEM_TUNE_UNSUPPORTED},
        {"preset=lowmemory", "lowmemory", "low-memory", HAKMEM_TUNE_BAD_VALUE},
        {"preset", "preset", "preset", HAKMEM_TUNE_SYNTAX},
    };
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        struct problems problems = check(cases[i].string);
        const char *string = cases[i].string;
        if (HAK_MINIMAL && problems.status == HAKMEM_TUNE_UNSUPPORTED)
            continue;
        ck_assert_msg(problems.count == 1 && problems.status == cases[i].status, "'%s': %u, %d", string, problems.count,
                      (int)problems.status);
        ck_assert_msg(!strcmp(problems.wrong, cases[i].wrong), "'%s': '%s'", string, problems.wrong);
        ck_assert_msg(!cases[i].nearest || !strcmp(problems.nearest, cases[i].nearest), "'%s': nearest '%s'", string,
                      problems.nearest);
        ck_assert_msg(problems.message[0] && !strchr(problems.message, '\n'), "'%s'", string);
        if (*cases[i].wrong)
            ck_assert_msg(strstr(problems.message, cases[i].wrong) != NULL, "'%s': %s", string, problems.message);
        if (cases[i].nearest)
            ck_assert_msg(strstr(problems.message, cases[i].nearest) != NULL, "'%s': %s", string, problems.message);
    }
    if (HAK_MINIMAL)
        ck_assert_ptr_nonnull(strstr(check("preset=throughput").message, "'throughput'"));
}
END_TEST

/* Whatever the bytes are, the message is one line of text, and what is pointed at is in the string. */
START_TEST(any_bytes)
{
    static const char some[] = "keep_free=huge_cache,preset on_misuse 019kmgt\t\n\x7f\xff\x01'";
    uint64_t random = test_state(2);
    for (unsigned long n = test_scale(200000); n--;) {
        char string[200];
        size_t length = test_random(&random) % sizeof string, at = 0;
        while (at < length) {
            size_t from = test_random(&random) % (sizeof some - 1), piece = 1 + test_random(&random) % 12;
            for (; piece-- && at < length && from < sizeof some - 1; from++)
                string[at++] = some[from];
        }
        string[length < sizeof string ? length : sizeof string - 1] = '\0';
        struct problems problems = {.string = string};
        hakmem_tune_check(string, note_problem, &problems);
        for (const char *c = problems.message; *c; c++)
            NEED(*c >= ' ' && *c <= '~', "'%s': %s", string, problems.message);
    }
}
END_TEST

START_TEST(rest_applies)
{
    struct problems problems = {
        .string = "huge_cache=1m,what=1,keep_free=x,depot_budget=1g,heaps_per_cpu=5,keep_free=3m",
    };
    enum hakmem_tune_status status = hakmem_tune_parse(problems.string, note_problem, &problems);
    if (!KNOBS_CHANGE)
        return;
    ck_assert_int_eq(status, HAKMEM_TUNE_UNKNOWN);
    ck_assert_uint_eq(problems.count, 3);
    ck_assert_int_eq(problems.status, HAKMEM_TUNE_TOO_LATE);
    ck_assert_str_eq(problems.wrong, "5");
    ck_assert_uint_eq(value_of("huge_cache"), TEST_MIB);
    ck_assert_uint_eq(value_of("depot_budget"), (uint64_t)1 << 30);
    ck_assert_uint_eq(value_of("keep_free"), 3 * TEST_MIB);
    ck_assert_uint_eq(value_of("heaps_per_cpu"), 1);
}
END_TEST

START_TEST(set_refuses)
{
    uint64_t untouched = 77;
    ck_assert_int_eq(hakmem_tune_get("nothing", &untouched), HAKMEM_TUNE_UNKNOWN);
    ck_assert_uint_eq(untouched, 77);
    ck_assert_int_eq(hakmem_tune_set("nothing", 1), HAKMEM_TUNE_UNKNOWN);
    ck_assert_int_eq(hakmem_tune_set("preset", 1), HAKMEM_TUNE_UNKNOWN);
    ck_assert_int_eq(hakmem_tune_set("on_misuse", 2), HAKMEM_TUNE_OUT_OF_RANGE);
    ck_assert_int_eq(hakmem_tune_set("heaps_per_cpu", 1), HAKMEM_TUNE_OK);
    ck_assert_int_eq(hakmem_tune_set("heaps_per_cpu", 5), HAK_MINIMAL ? HAKMEM_TUNE_UNSUPPORTED : HAKMEM_TUNE_TOO_LATE);
    ck_assert_int_eq(hakmem_tune_set("keep_free", 5), HAK_MINIMAL ? HAKMEM_TUNE_UNSUPPORTED : HAKMEM_TUNE_OK);
    ck_assert_uint_eq(value_of("keep_free"), HAK_MINIMAL ? 64 * TEST_MIB : 5);
    for (int status = HAKMEM_TUNE_OK; status <= HAKMEM_TUNE_UNSUPPORTED; status++)
        for (int other = HAKMEM_TUNE_OK; other < status; other++)
            ck_assert_str_ne(hakmem_tune_strerror((enum hakmem_tune_status)status),
                             hakmem_tune_strerror((enum hakmem_tune_status)other));
}
END_TEST

/* ---- presets ---- */

START_TEST(presets_apply)
{
    struct hakmem_preset preset;
    struct hakmem_knob knob;
    char setting[64];
    size_t count = 0;
    for (; hakmem_tune_preset(count, &preset, sizeof preset) == HAKMEM_TUNE_OK && KNOBS_CHANGE; count++) {
        ck_assert(preset.name[0] && preset.meaning[0] && preset.settings[0]);
        ck_assert_int_eq(hakmem_tune_parse(preset.settings, NULL, NULL), HAKMEM_TUNE_OK);
        snprintf(setting, sizeof setting, "preset=%s", preset.name);
        ck_assert_int_eq(hakmem_tune_parse(setting, NULL, NULL), HAKMEM_TUNE_OK);
        /* After any of them, the default is the default again. */
        ck_assert_int_eq(hakmem_tune_parse("preset=default", NULL, NULL), HAKMEM_TUNE_OK);
        for (size_t i = 0; hakmem_tune_knob(i, &knob, sizeof knob) == HAKMEM_TUNE_OK; i++)
            ck_assert_msg(knob.value == knob.initial, "%s after preset=%s", knob.name, preset.name);
    }
    ck_assert(!KNOBS_CHANGE || count >= 5);
    ck_assert_int_eq(hakmem_tune_preset(SIZE_MAX, &preset, sizeof preset), HAKMEM_TUNE_UNKNOWN);
}
END_TEST

/* ---- threads ---- */

static void *set_often(void *argument)
{
    static const char *const names[] = {"keep_free", "huge_cache", "depot_budget", "magazine_budget"};
    uint64_t random = test_state((uint64_t)(uintptr_t)argument);
    for (unsigned long n = test_scale(3000); n--;) {
        const char *name = names[test_random(&random) % TEST_COUNT(names)];
        uint64_t value;
        hakmem_tune_set(name, ((uint64_t)1 << 12) << test_random(&random) % 12);
        NEED(hakmem_tune_get(name, &value) == HAKMEM_TUNE_OK && (value & (value - 1)) == 0, "%s", name);
        void *block = hakmem_malloc(test_random(&random) % 100000), *big = hakmem_malloc(2 * TEST_MIB);
        hakmem_free(block);
        hakmem_free(big);
    }
    return NULL;
}

START_TEST(threads_set_at_once)
{
    pthread_t threads[8];
    for (size_t i = 0; i < TEST_COUNT(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, set_often, (void *)(i + 1)), 0);
    for (size_t i = 0; i < TEST_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
}
END_TEST

/* ---- effects ---- */

enum { BLOCKS = 20000 };

/* What of many blocks freed at once stays at hand in the thread's magazines and its heap's depot. */
static size_t kept_at_hand(size_t size, int count)
{
    static void *blocks[BLOCKS];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < count; i++)
            blocks[i] = hakmem_malloc(size);
        for (int i = 0; i < count; i++)
            hakmem_free(blocks[i]);
    }
    return hakmem_mallinfo2().fsmblks;
}

static void set(const char *settings)
{
    ck_assert_msg(hakmem_tune_parse(settings, NULL, NULL) == HAKMEM_TUNE_OK, "%s", settings);
}

/* The same for small ones, at its highest: as whole magazines come and go, what is in one at last depends on what was at
 * first. */
static size_t most_at_hand(void)
{
    void *others[96];
    size_t most = 0;
    for (int count = 0; count <= 96; count += 32) {
        for (int i = 0; i < count; i++)
            others[i] = hakmem_malloc(64);
        size_t kept = kept_at_hand(64, BLOCKS);
        most = kept > most ? kept : most;
        for (int i = 0; i < count; i++)
            hakmem_free(others[i]);
    }
    return most;
}

/* With the first settings a thread keeps next to nothing at hand, with the second much. */
static void check_magazines(const char *empty, const char *full)
{
    set(empty);
    size_t small = most_at_hand();
    set(full);
    size_t large = most_at_hand();
    ck_assert_msg(small < 2048 && large > 4096, "%zu and %zu bytes", small, large);
}

START_TEST(magazine_budget_bounds)
{
    check_magazines("depot_budget=0,magazine_budget=0", "magazine_budget=1m");
}
END_TEST

START_TEST(magazine_budget_total_bounds)
{
    check_magazines("depot_budget=0,magazine_budget_total=0", "magazine_budget_total=16m");
}
END_TEST

/* Many threads that have used each size, some of them freed by another thread, and sleep. */
enum { SLEEPERS = 96 };
static pthread_barrier_t used, seen;

static void *use_each_size(void *unused)
{
    for (int round = 0; round < 4; round++)
        for (size_t size = 16; size <= 128 * TEST_KIB; size += size / 8 > 16 ? size / 8 : 16) {
            void *some[8];
            for (int i = 0; i < 8; i++)
                NEED(some[i] = hakmem_malloc(size), "malloc(%zu)", size);
            for (int i = 0; i < 8; i++)
                hakmem_free(some[i]);
        }
    pthread_barrier_wait(&used);
    pthread_barrier_wait(&seen);
    return unused;
}

/* What idle threads hold is within the budget of all, or their least shares of it. */
START_TEST(idle_threads_hold_little)
{
    static pthread_t threads[SLEEPERS];
    struct hakmem_stats stats;
    set("magazine_budget_total=4m");
    pthread_barrier_init(&used, NULL, SLEEPERS + 1);
    pthread_barrier_init(&seen, NULL, SLEEPERS + 1);
    for (size_t i = 0; i < SLEEPERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_each_size, NULL), 0);
    pthread_barrier_wait(&used);
    hakmem_stats_get(&stats, sizeof stats);
    pthread_barrier_wait(&seen);
    for (size_t i = 0; i < SLEEPERS; i++)
        pthread_join(threads[i], NULL);
    /* Those that came first had larger shares. */
    ck_assert_msg(stats.magazine_bytes < 2 * SLEEPERS * 128 * TEST_KIB, "%zu bytes in magazines", stats.magazine_bytes);
}
END_TEST

START_TEST(depot_budget_bounds)
{
    set("magazine_budget=0,depot_budget=100k");
    size_t small = kept_at_hand(64, BLOCKS);
    set("depot_budget=2m");
    size_t large = kept_at_hand(64, BLOCKS);
    ck_assert_msg(small < 110000 && large > 150000, "%zu and %zu bytes", small, large);
    set("depot_budget=0");
    size_t none = hakmem_mallinfo2().fsmblks;
    ck_assert_msg(none < 4096, "%zu bytes after it was set to 0", none);
}
END_TEST

/* Of a size above 8 KiB a depot keeps 16 blocks, or as many as are a quarter of its budget; magazines one or two. */
START_TEST(depot_keeps_few_large_blocks)
{
    static const struct {
        const char *settings;
        size_t least, most;
    } expected[] = {
        {"depot_budget=256k", 3, 6},
        {"depot_budget=1m", 12, 15},
        {"depot_budget=1g", 16, 19},
        {"depot_budget=0", 0, 3},
    };
    size_t size = 20 * TEST_KIB;
    set("magazine_budget=0");
    for (size_t i = 0; i < TEST_COUNT(expected); i++) {
        set(expected[i].settings);
        size_t kept = kept_at_hand(size, 100) / size;
        ck_assert_msg(kept >= expected[i].least && kept <= expected[i].most, "%s: %zu blocks kept",
                      expected[i].settings, kept);
    }
}
END_TEST

/* And of all such sizes together twice the budget; magazines keep a block or two of each. */
START_TEST(depots_keep_few_large_blocks_in_all)
{
    set("magazine_budget=0,depot_budget=1m");
    size_t kept = 0;
    for (unsigned eighths = 9; eighths <= 16; eighths++)
        for (size_t doubling = 8; doubling < 128; doubling *= 2)
            kept = kept_at_hand(doubling * TEST_KIB / 8 * eighths, 40);
    ck_assert_msg(kept > TEST_MIB && kept < 5 * TEST_MIB, "%zu bytes kept", kept);
}
END_TEST

static size_t returnable_after_blocks_of(size_t size, size_t total)
{
    static void *blocks[1000];
    size_t count = total / size;
    for (size_t i = 0; i < count; i++)
        ck_assert_ptr_nonnull(blocks[i] = hakmem_malloc(size));
    for (size_t i = 0; i < count; i++)
        hakmem_free(blocks[i]);
    return hakmem_mallinfo2().keepcost;
}

START_TEST(keep_free_bounds)
{
    set("purge_delay=3600s,keep_free=60m"); /* else the last free gives back what it may */
    size_t much = returnable_after_blocks_of(1000000, 50 * TEST_MIB);
    ck_assert_msg(much > 40 * TEST_MIB, "%zu bytes", much);
    set("keep_free=10m");
    size_t less = hakmem_mallinfo2().keepcost;
    ck_assert_msg(less <= 10 * TEST_MIB, "%zu bytes at once", less);
    less = returnable_after_blocks_of(1000000, 50 * TEST_MIB);
    ck_assert_msg(less <= 10 * TEST_MIB, "%zu bytes", less);
    ck_assert_int_eq(hakmem_mallopt(M_TRIM_THRESHOLD, 1234567), 1);
    ck_assert_uint_eq(value_of("keep_free"), 1234567);
    ck_assert_int_eq(hakmem_mallopt(M_TRIM_THRESHOLD, -1), 1);
    ck_assert_uint_eq(value_of("keep_free"), (uint64_t)64 << 40);
}
END_TEST

START_TEST(huge_cache_bounds)
{
    set("huge_cache=200m,keep_free=1g");
    for (int i = 0; i < 6; i++) /* it keeps more when that is seen to be of use */
        returnable_after_blocks_of(80 * TEST_MIB, 80 * TEST_MIB);
    size_t much = returnable_after_blocks_of(80 * TEST_MIB, 80 * TEST_MIB);
    ck_assert_msg(much >= 80 * TEST_MIB, "%zu bytes", much);
    set("huge_cache=0");
    size_t none = hakmem_mallinfo2().keepcost;
    ck_assert_msg(none < TEST_MIB, "%zu bytes at once", none);
    none = returnable_after_blocks_of(80 * TEST_MIB, 80 * TEST_MIB);
    ck_assert_msg(none < TEST_MIB, "%zu bytes", none);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tune");
    TCase *table = suite_case(suite, "table", 30);
    tcase_add_test(table, each_knob_is_described);
    tcase_add_test(table, struct_may_grow);
    tcase_add_test(table, values_round_trip);
    tcase_add_test(table, format_cuts_off);
    TCase *grammar = suite_case(suite, "grammar", 60);
    tcase_add_test(grammar, right_strings);
    tcase_add_test(grammar, wrong_strings);
    tcase_add_test(grammar, any_bytes);
    tcase_add_test(grammar, rest_applies);
    tcase_add_test(grammar, set_refuses);
    tcase_add_test(grammar, presets_apply);
    if (KNOBS_CHANGE && HAK_STATS) {
        TCase *effects = suite_case(suite, "effects", 60);
        tcase_add_test(effects, threads_set_at_once);
        tcase_add_test(effects, magazine_budget_bounds);
        tcase_add_test(effects, magazine_budget_total_bounds);
        tcase_add_test(effects, idle_threads_hold_little);
        tcase_add_test(effects, depot_budget_bounds);
        tcase_add_test(effects, depot_keeps_few_large_blocks);
        tcase_add_test(effects, depots_keep_few_large_blocks_in_all);
        tcase_add_test(effects, keep_free_bounds);
        tcase_add_test(effects, huge_cache_bounds);
    }
    return suite_run(suite);
}
