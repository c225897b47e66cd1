/* SPDX-License-Identifier: MIT */
/*
 * figures.h - the figures of stats.def for the suites on statistics: each with its name, its place in hakmem.h's
 * structure and its value.
 */
#ifndef HAKMEM_TESTS_FIGURES_H
#define HAKMEM_TESTS_FIGURES_H

#include "base/base.h"
#include "suite.h"

#define EQUAL(a, b) NEED((a) == (b), "%s is %zu, %s is %zu", #a, (size_t)(a), #b, (size_t)(b))
#define COUNT(array) (sizeof(array) / sizeof *(array))

enum figure_type { GAUGE, COUNTER, LABEL };

struct figure {
    const char *name;
    size_t offset;
    enum figure_type type;
    const char *help, *total; /* the figure of the process that this one adds up to, or "NONE" */
};

/* The figures of one structure, which hakmem_stats_get(), _get_class() or _get_heap() fills in. */
enum family_name { TOTAL, CLASS, HEAP, FAMILIES };
struct family {
    const char *prefix;
    const struct figure *figures, *end;
};

union any_stats {
    struct hakmem_stats total;
    struct hakmem_stats_class class;
    struct hakmem_stats_heap heap;
};

static const struct figure total_figures[] = {
#define HAK_STAT_TOTAL(name, type, value, help) {#name, offsetof(struct hakmem_stats, name), type, help, "NONE"},
#include "stats/stats.def"
};
static const struct figure class_figures[] = {
#define HAK_STAT_CLASS(name, type, value, total, help) \
    {#name, offsetof(struct hakmem_stats_class, name), type, help, #total},
#include "stats/stats.def"
};
static const struct figure heap_figures[] = {
#define HAK_STAT_HEAP(name, type, of_heap, of_class, total, help) \
    {#name, offsetof(struct hakmem_stats_heap, name), type, help, #total},
#include "stats/stats.def"
};
static const struct family families[FAMILIES] = {
    [TOTAL] = {"", total_figures, total_figures + COUNT(total_figures)},
    [CLASS] = {"class_", class_figures, class_figures + COUNT(class_figures)},
    [HEAP] = {"heap_", heap_figures, heap_figures + COUNT(heap_figures)},
};

/* for (EACH_FIGURE(figure, family)) */
#define EACH_FIGURE(figure, family) \
    const struct figure *figure = families[family].figures; figure < families[family].end; figure++

static inline size_t value_at(const void *stats, const struct figure *figure)
{
    size_t value;
    memcpy(&value, (const char *)stats + figure->offset, sizeof value);
    return value;
}

/* The value of the figure of the process with this name. */
static inline size_t value_of(const struct hakmem_stats *all, const char *name)
{
    for (EACH_FIGURE(figure, TOTAL))
        if (strcmp(figure->name, name) == 0)
            return value_at(all, figure);
    ck_abort_msg("there is no figure %s", name);
}

/* False if there is no class or heap `index`. */
static inline bool get_stats(enum family_name family, size_t index, union any_stats *stats)
{
    memset(stats, 0xee, sizeof *stats);
    if (family == CLASS)
        return hakmem_stats_get_class(index, &stats->class, sizeof stats->class) == 0;
    if (family == HEAP)
        return hakmem_stats_get_heap(index, &stats->heap, sizeof stats->heap) == 0;
    return index == 0 && hakmem_stats_get(&stats->total, sizeof stats->total) == 0;
}

static inline struct hakmem_stats snapshot(void)
{
    union any_stats stats;
    NEED(get_stats(TOTAL, 0, &stats), "hakmem_stats_get failed");
    EQUAL(stats.total.version, HAKMEM_STATS_VERSION);
    EQUAL(stats.total.size, sizeof stats.total);
    EQUAL(stats.total.counted, (unsigned)HAK_STATS);
    return stats.total;
}

#endif
