/* SPDX-License-Identifier: MIT */
/*
 * trigger.c - the state of the purge trigger and its thresholds in pages/.  Owns hak_trigger, which is atomic.  Takes
 * the locks of the page heap and of the mappings, one after the other, in the counts of superslab.h and huge.h.
 */
#include "pages/trigger.h"

#include "pages/huge.h"
#include "pages/stock.h"
#include "pages/superslab.h"

struct hak_trigger hak_trigger = {
    .units = HAK_PURGE_SLACK,
    .mappings = HAK_PURGE_SLACK,
    .reuse = SIZE_MAX,
};

static size_t trigger_units(void)
{
    struct hak_super_counts counts = hak_super_count();
    return hak_super_idle(&counts);
}

static size_t trigger_mappings(void)
{
    struct hak_huge_counts counts = hak_huge_count();
    return hak_huge_idle(&counts);
}

struct hak_idle hak_trigger_idle(void)
{
    return (struct hak_idle){
        .units = trigger_units(),
        .mappings = trigger_mappings(),
        .stocks = hak_stock_count(hak_stocks).bytes,
    };
}

struct hak_idle hak_trigger_rearm(size_t slack)
{
    struct hak_idle idle = hak_trigger_idle();
    size_t units = hak_add_sat(idle.units, slack), mappings = hak_add_sat(idle.mappings, slack);
    hak_store(&hak_trigger.due, HAK_PURGE_NONE);
    hak_store(&hak_trigger.units, units);
    hak_store(&hak_trigger.mappings, mappings);
    /* A free between the count and the store has compared with the old threshold. */
    hak_trigger_compare(trigger_units(), units);
    hak_trigger_compare(trigger_mappings(), mappings);
    return idle;
}
