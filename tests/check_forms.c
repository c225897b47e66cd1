/* SPDX-License-Identifier: MIT */
/*
 * check_forms.c - the three forms of the statistics have each figure of stats.def under its name, with the value that
 * hakmem_stats_get() and its relatives store in the member of that name, and nothing else.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "figures.h"
#include "knobs/knobs.h"
#include "os/os.h"

/* What hakmem_stats_print() has written, and what it should have. */
static struct text {
    size_t length;
    char bytes[1 << 20];
} written, wanted;

static void collect(void *arg, const char *piece, size_t length)
{
    struct text *text = arg;
    NEED(text->length + length < sizeof text->bytes, "too much text");
    memcpy(text->bytes + text->length, piece, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

__attribute__((format(printf, 1, 2))) static void want(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(wanted.bytes + wanted.length, sizeof wanted.bytes - wanted.length, format, arguments);
    va_end(arguments);
    wanted.length += (size_t)length;
    NEED(wanted.length < sizeof wanted.bytes, "too much text");
}

/* Whether the forms have an instance of a family: each heap, and each class that has slabs. */
static bool get_shown(enum family_name family, size_t *index, union any_stats *stats)
{
    while (get_stats(family, *index, stats)) {
        ++*index;
        if (family != CLASS || stats->class.slabs)
            return true;
    }
    return false;
}

/* ---- for people -------------------------------------------------------------------------------------------------- */

/* The table of heaps has no numbers of blocks. */
static bool is_column(enum family_name family, const struct figure *figure)
{
    return family != HEAP || !strstr(figure->name, "_blocks");
}

static void want_table(enum family_name family, int width)
{
    union any_stats one;
    for (EACH_FIGURE(figure, family)) {
        const char *blocks = strstr(figure->name, "_blocks");
        if (is_column(family, figure))
            want("%*.*s", width, blocks ? (int)(blocks - figure->name) : 99, figure->name);
    }
    want("\n");
    for (size_t index = 0; get_shown(family, &index, &one);) {
        if (family == HEAP)
            want("%5zu", index - 1);
        for (EACH_FIGURE(figure, family))
            if (is_column(family, figure))
                want("%*zu", width, value_at(&one, figure));
        want("\n");
    }
}

static void want_text(const struct hakmem_stats *all)
{
    want("libhakmem " HAKMEM_VERSION_STRING ", process %d\n\n", (int)getpid());
    if (!HAK_STATS)
        want("built without statistics: live and free blocks of size classes are not known\n\n");
    for (EACH_FIGURE(figure, TOTAL))
        want("%-18s%16zu  %s\n", figure->name, value_at(all, figure), figure->help);
    want("\nblocks by size class\n");
    want_table(CLASS, 13);
    want("\nbytes by heap\n heap");
    want_table(HEAP, 15);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void want_members(enum family_name family, const void *stats)
{
    for (EACH_FIGURE(figure, family))
        want("%s\"%s\":%zu", figure > families[family].figures ? "," : "", figure->name, value_at(stats, figure));
}

static void want_array(enum family_name family, const char *name)
{
    union any_stats one;
    const char *comma = "";
    want(",\n\"%s\":[", name);
    for (size_t index = 0; get_shown(family, &index, &one); comma = ",") {
        want("%s\n{", comma);
        if (family == HEAP)
            want("\"heap\":%zu,", index - 1);
        want_members(family, &one);
        want("}");
    }
    want("]");
}

static void want_json(const struct hakmem_stats *all)
{
    want("{\"libhakmem\":\"" HAKMEM_VERSION_STRING "\",\"version\":%d,\"process\":%d,\"counted\":%s,\n",
         HAKMEM_STATS_VERSION, (int)getpid(), HAK_STATS ? "true" : "false");
    want_members(TOTAL, all);
    want_array(CLASS, "by_class");
    want_array(HEAP, "by_heap");
    want("}\n");
}

/* ---- Prometheus -------------------------------------------------------------------------------------------------- */

static void want_metric(enum family_name family, const struct figure *figure, const struct hakmem_stats *all)
{
    char name[80];
    union any_stats one;
    snprintf(name, sizeof name, "hakmem_%s%s%s", families[family].prefix, figure->name,
             figure->type == COUNTER ? "_total" : "");
    want("# HELP %s %s\n# TYPE %s %s\n", name, figure->help, name, figure->type == COUNTER ? "counter" : "gauge");
    if (family == TOTAL)
        want("%s %zu\n", name, value_at(all, figure));
    for (size_t index = 0; family == CLASS && get_shown(CLASS, &index, &one);)
        want("%s{size=\"%zu\"} %zu\n", name, one.class.block_bytes, value_at(&one, figure));
    for (size_t index = 0; family == HEAP && get_shown(HEAP, &index, &one);)
        want("%s{heap=\"%zu\"} %zu\n", name, index - 1, value_at(&one, figure));
}

static void want_prometheus(const struct hakmem_stats *all)
{
    for (enum family_name family = TOTAL; family < FAMILIES; family++)
        for (EACH_FIGURE(figure, family))
            if (figure->type != LABEL)
                want_metric(family, figure, all);
}

/* ---- a process that has something of everything ------------------------------------------------------------------ */

/* Who reads "so far" takes the figure for a counter. */
START_TEST(test_types)
{
    for (enum family_name family = TOTAL; family < FAMILIES; family++)
        for (EACH_FIGURE(figure, family))
            NEED((figure->type == COUNTER) == (strstr(figure->help, " so far") != NULL), "%s is \"%s\"", figure->name,
                 figure->help);
}
END_TEST

static const struct {
    const char *name;
    enum hakmem_stats_format format;
    void (*want)(const struct hakmem_stats *all);
} forms[] = {
    {"the text for people", HAKMEM_STATS_TEXT, want_text},
    {"JSON", HAKMEM_STATS_JSON, want_json},
    {"Prometheus", HAKMEM_STATS_PROMETHEUS, want_prometheus},
};

/* Figures that may be 0: of waits, of what the system may not have, and of other heaps where there is one heap. */
static const char *const may_be_zero[] = {"futex_calls", "mprotect_calls", "hugepage_bytes", "resident_bytes",
                                          "outbox_blocks", "outbox_bytes", "remote_frees"};

static void check_not_zero(const struct hakmem_stats *all)
{
    const size_t always = hak_os_cpus() * hak_knob_value(heaps_per_cpu) == 1 ? 7 : 4; /* of may_be_zero */
    for (EACH_FIGURE(figure, TOTAL)) {
        bool found = value_at(all, figure) > 0;
        for (size_t i = 0; i < always; i++)
            found |= strcmp(figure->name, may_be_zero[i]) == 0;
        NEED(found, "%s is 0", figure->name);
    }
}

enum { BLOCKS = 4000 };
static void *blocks[BLOCKS];
static pthread_barrier_t barrier;

/* More than an outbox holds goes to the owner's heap, and the rest waits. */
static void *free_others(void *unused)
{
    hakmem_free(hakmem_malloc(100)); /* a thread that only frees has no outbox at first */
    for (size_t i = 0; i < BLOCKS; i += 3)
        hakmem_free(blocks[i]);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return unused;
}

/* Compares until nothing changes meanwhile: what is resident does, when a buffer is used for the first time. */
static void check_form(size_t form)
{
    struct hakmem_stats before, after;
    do {
        before = snapshot();
        written.length = wanted.length = 0;
        EQUAL(hakmem_stats_print(forms[form].format, collect, &written), 0);
        forms[form].want(&before);
        after = snapshot();
    } while (memcmp(&before, &after, sizeof before) != 0);
    size_t at = 0;
    while (at < wanted.length && written.bytes[at] == wanted.bytes[at])
        at++;
    size_t from = at > 30 ? at - 30 : 0;
    NEED(at == wanted.length && at == written.length, "%s, byte %zu: \"%.60s\" and not \"%.60s\"", forms[form].name, at,
         written.bytes + from, wanted.bytes + from);
}

START_TEST(test_forms)
{
    pthread_t thread;
    void *huge = hakmem_realloc(hakmem_malloc(100 * TEST_MIB), 400 * TEST_MIB);
    void *large = hakmem_malloc(3 * TEST_MIB);
    /* What is free goes back to the kernel; then some more is free. */
    for (unsigned round = 0; round < 2; round++) {
        if (round)
            hakmem_malloc_trim(0);
        for (size_t i = 0; i < BLOCKS; i++)
            blocks[i] = hakmem_realloc(blocks[i], 1 + i % 800);
        hakmem_free(hakmem_malloc(70 * TEST_MIB));
        hakmem_free(memset(hakmem_malloc(5 * TEST_MIB), 1, 5 * TEST_MIB));
    }
    for (size_t i = 1; i < BLOCKS; i += 3)
        hakmem_free(blocks[i]);
    pthread_barrier_init(&barrier, NULL, 2);
    NEED(pthread_create(&thread, NULL, free_others, NULL) == 0, "pthread_create");
    pthread_barrier_wait(&barrier);
    check_form((size_t)_i);
    if (HAK_STATS) {
        struct hakmem_stats all = snapshot();
        check_not_zero(&all);
    }
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    hakmem_free(huge);
    hakmem_free(large);
}
END_TEST

int main(void)
{
    /* Nothing may go back to the kernel by itself between two calls.  One huge block is kept for reuse. */
    hakmem_tune_set("purge_thread", 0);
    hakmem_tune_set("keep_free", 400 * TEST_MIB);
    Suite *suite = suite_create("forms");
    TCase *tcase = suite_case(suite, "forms", 60);
    tcase_add_test(tcase, test_types);
    tcase_add_loop_test(tcase, test_forms, 0, (int)COUNT(forms));
    return suite_run(suite);
}
