/* SPDX-License-Identifier: MIT */
/*
 * knobs.c - the functions of hakmem_tune(3) and mallopt.  Owns nothing: the values are in knobs/knobs.c.  Calls
 * knobs/knobs.h and, to apply a new value at once, registry.h, purge.h, trim.h, superslab.h and limit.h.
 */
#include "api/knobs.h"

#include <malloc.h>
#include <string.h>

#include "base/text.h"
#include "heap/registry.h"
#include "knobs/knobs.h"
#include "pages/limit.h"
#include "pages/misuse.h"
#include "pages/superslab.h"
#include "process/init.h"
#include "purge/purge.h"
#include "purge/trim.h"

/* ---- what applies a new value at once ---- */

static void tune_apply_depot_budget(void)
{
    for (uint32_t number = 1; number <= hak_heap_count(); number++)
        hak_heap_drain(hak_heap_numbered(number));
    hak_misuse_report();
}

static void tune_apply_huge_cache(void)
{
    hak_trim_to(SIZE_MAX, hak_knob_value(huge_cache));
}

static void tune_apply_keep_free(void)
{
    hak_trim_to(hak_super_keep(), hak_super_keep());
}

/* NULL for a knob whose value is read whenever it matters. */
static void (*const tune_apply[HAK_KNOBS])(void) = {
    [HAK_KNOB_depot_budget] = tune_apply_depot_budget,
    [HAK_KNOB_keep_free] = tune_apply_keep_free,
    [HAK_KNOB_huge_cache] = tune_apply_huge_cache,
    [HAK_KNOB_purge_delay] = hak_helper_look,
    [HAK_KNOB_purge_thread] = hak_helper_look,
    [HAK_KNOB_limit_soft] = hak_limit_apply,
    [HAK_KNOB_limit_hard] = hak_limit_apply,
};

/* ---- get and set ---- */

static uint64_t tune_value(const struct hakmem_knob *knob)
{
    return HAK_MINIMAL ? knob->initial : hak_load(&hak_knobs[hak_knob_number(knob)]);
}

static enum hakmem_tune_status tune_set(const struct hakmem_knob *knob, uint64_t value)
{
    enum hak_knob number = hak_knob_number(knob);
    if (value == tune_value(knob))
        return HAKMEM_TUNE_OK;
    enum hakmem_tune_status status = hak_knob_supported(knob, value);
    if (status != HAKMEM_TUNE_OK)
        return status;
    if (knob->when == HAKMEM_KNOB_AT_START)
        return HAKMEM_TUNE_TOO_LATE;
    hak_store(&hak_knobs[number], value);
    if (tune_apply[number] && hak_ready())
        tune_apply[number]();
    return HAKMEM_TUNE_OK;
}

enum hakmem_tune_status hakmem_tune_get(const char *name, uint64_t *value)
{
    const struct hakmem_knob *knob = hak_knob_named(name);
    if (!knob)
        return HAKMEM_TUNE_UNKNOWN;
    hak_start(); /* reads HAKMEM_TUNE */
    *value = tune_value(knob);
    return HAKMEM_TUNE_OK;
}

enum hakmem_tune_status hakmem_tune_set(const char *name, uint64_t value)
{
    const struct hakmem_knob *knob = hak_knob_named(name);
    if (!knob)
        return HAKMEM_TUNE_UNKNOWN;
    if (!hak_knob_in_range(knob, value))
        return HAKMEM_TUNE_OUT_OF_RANGE;
    hak_start();
    return tune_set(knob, value);
}

enum hakmem_tune_status hakmem_tune_parse(const char *settings, hakmem_tune_complaint *complain, void *data)
{
    hak_start();
    return hak_knobs_parse(settings, tune_set, complain, data);
}

enum hakmem_tune_status hakmem_tune_check(const char *settings, hakmem_tune_complaint *complain, void *data)
{
    return hak_knobs_parse(settings, hak_knob_supported, complain, data);
}

/* glibc's numbers for which not every <malloc.h> has names. */
#ifndef M_ARENA_TEST
#define M_ARENA_TEST (-7)
#endif
#ifndef M_ARENA_MAX
#define M_ARENA_MAX (-8)
#endif

static int tune_set_numbered(enum hak_knob number, uint64_t value)
{
    return tune_set(hak_knob_numbered(number), value) == HAKMEM_TUNE_OK;
}

/* A parameter of glibc's malloc that has no knob is accepted and ignored; a value that glibc refuses is refused. */
int hak_mallopt(int parameter, int value)
{
    hak_start();
    switch (parameter) {
    case M_TRIM_THRESHOLD:
        return tune_set_numbered(HAK_KNOB_keep_free,
                                 value < 0 ? hak_knob_numbered(HAK_KNOB_keep_free)->most : (uint64_t)value);
    case M_MXFAST:
        return value >= 0 && value <= (int)(80 * sizeof(size_t) / 4);
    case M_MMAP_THRESHOLD:
        return value >= 0 && value <= 32 << 20;
    case M_NLBLKS:
    case M_GRAIN:
    case M_KEEP:
    case M_TOP_PAD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_PERTURB:
    case M_ARENA_TEST:
    case M_ARENA_MAX:
        return 1;
    default:
        return 0;
    }
}

/* ---- the table ---- */

enum hakmem_tune_status hakmem_tune_knob(size_t number, struct hakmem_knob *knob, size_t size)
{
    const struct hakmem_knob *found = hak_knob_numbered(number);
    if (!found)
        return HAKMEM_TUNE_UNKNOWN;
    hak_start();
    struct hakmem_knob result = *found;
    result.value = tune_value(found);
    hak_copy_out(knob, size, &result, sizeof result);
    return HAKMEM_TUNE_OK;
}

enum hakmem_tune_status hakmem_tune_preset(size_t number, struct hakmem_preset *preset, size_t size)
{
    const struct hakmem_preset *found = hak_preset_numbered(number);
    if (!found)
        return HAKMEM_TUNE_UNKNOWN;
    hak_copy_out(preset, size, found, sizeof *found);
    return HAKMEM_TUNE_OK;
}

size_t hakmem_tune_format(const char *name, uint64_t value, char *buffer, size_t size)
{
    const struct hakmem_knob *knob = hak_knob_named(name);
    char line[64] = {0};
    struct hak_text text = {line, line + sizeof line - 1};
    if (!knob || !hak_knob_in_range(knob, value))
        return 0;
    hak_knob_text(&text, knob, value);
    size_t length = (size_t)(text.at - line);
    if (size) {
        memcpy(buffer, line, HAK_MIN(length, size - 1));
        buffer[HAK_MIN(length, size - 1)] = '\0';
    }
    return length;
}
