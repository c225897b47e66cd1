/* SPDX-License-Identifier: MIT */
/*
 * pace.h - the time between passes, and how it adapts.  The helper has one pace, calls that make passes another.
 *
 * Memory that is used again soon after a pass gave it back has cost page faults for nothing: a loss.  After a loss the
 * passes become rarer, and slowly as frequent as before.
 */
#ifndef HAK_PACE_H
#define HAK_PACE_H

#include "knobs/knobs.h"
#include "pages/superslab.h"

#define HAK_PATIENCE_MAX 2u            /* passes may become rarer by this factor */
#define HAK_CALM_PASSES 16u            /* passes without a loss, after which they become more frequent */
#define HAK_LOSS_MIN ((size_t)1 << 20) /* bytes used again from which it is a loss */
#define HAK_FRUITLESS_MAX 8u           /* rounds in a row that gave nothing back: passes pause */
#define HAK_FEW ((size_t)4 << 20)      /* bytes free for which no pass is worthwhile */

struct hak_pace {
    size_t recent;     /* bytes given back, the last pass counting fully, the one before half, ... */
    size_t missed;     /* hak_super_counts.refaulted at the last pass */
    unsigned patience; /* from 1 to HAK_PATIENCE_MAX */
    unsigned calm;     /* passes in a row without a loss */
    unsigned fruitless; /* rounds in a row that gave nothing back */
};

HAK_INLINE struct hak_pace hak_pace_start(void)
{
    return (struct hak_pace){.missed = hak_super_count().refaulted, .patience = 1};
}

/* The milliseconds between two passes. */
HAK_INLINE unsigned hak_pace_period(const struct hak_pace *pace)
{
    unsigned period = ((unsigned)hak_knob_value(purge_delay) + HAK_PURGE_PASSES - 1) / HAK_PURGE_PASSES;
    return period * pace->patience;
}

/* After a pass, by what it gave back, and whether it finished a round over all slabs. */
HAK_INLINE void hak_pace_adapt(struct hak_pace *pace, size_t given, bool round)
{
    size_t missed = hak_super_count().refaulted, loss = missed - pace->missed;
    pace->missed = missed;
    if (loss >= HAK_LOSS_MIN && loss >= pace->recent / 4) {
        pace->patience = HAK_MIN(pace->patience * 2, HAK_PATIENCE_MAX);
        pace->calm = 0;
    } else if (++pace->calm == HAK_CALM_PASSES) {
        pace->patience = HAK_MAX(pace->patience / 2, 1);
        pace->calm = 0;
    }
    pace->recent = pace->recent / 2 + given;
    pace->fruitless = given ? 0 : pace->fruitless + round;
}

#endif
