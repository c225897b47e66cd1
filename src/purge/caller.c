/* SPDX-License-Identifier: MIT */
/*
 * caller.c - how memory goes back where there is no helper: through calls that allocate and free.  Owns the pace of
 * their passes and the state of rushes, guarded by caller_turn.  Calls purge.h, pace.h, trigger.h, limit.h, meta.h and
 * os.h.
 *
 * A pass is made by whichever call finds that one is due, at the pace of the helper.
 *
 * A rush gives all free memory back at once, since a program may free all it has, sleep, and never call again.  A free
 * makes a rush in two cases:
 *   - much more is free than after the last rush; "much" is a share of what is in use, so that a program that frees a
 *     large heap block by block makes a few dozen rushes, and a few MiB stay free at its end
 *   - half of what was in use after the last rush has been freed, since a few live blocks keep whole slabs
 *
 * A rush is a loss if a quarter of its memory is in use again before a pass would have given it back, as in a program
 * that works in waves.  A loss bars rushes for many times as long as the program took to use the memory.  Each further
 * loss doubles that time; each rush that is no loss halves it.  So waves cost at most a few percent, and a program that
 * falls asleep after many fast waves keeps the memory of the last one.
 */
#include "os/os.h"
#include "pages/limit.h"
#include "pages/meta.h"
#include "pages/superslab.h"
#include "pages/trigger.h"
#include "purge/pace.h"
#include "purge/purge.h"
#include "purge/turn.h"

#define RUSH_FIRST ((size_t)16 << 20)   /* bytes free before the first rush, */
#define RUSH_SHARE 8u                   /* and before each: this part of what is in use */
#define RUSH_DELAY_MAX 10000u           /* milliseconds: with a longer purge_delay there are no rushes, */
#define RUSH_KEEP_MAX ((size_t)1 << 40) /* nor with a larger keep_free */
#define LOSS_TIMES 32u                  /* a loss bars rushes for so many times what the program took, */
#define LOSS_MS_PER_GIB 5000u           /* for so long at least, */
#define LOSS_MS_MAX 64000u              /* and for so long at most */
#define SLOW 8u                         /* passes are so much rarer when there is nothing left to give back */

static struct hak_turn caller_turn;

static struct {
    struct hak_pace pace; /* of the passes that calls make; patience 0: none was made yet */
    uint64_t last_pass;   /* when, in milliseconds */
    size_t slack;         /* with which the trigger was re-armed last */
} caller HAK_GUARDED_BY(caller_turn) = {.slack = HAK_PURGE_SLACK};

static struct {
    bool ever;           /* there was one */
    size_t base;         /* bytes free after the last rush, or at any look since: the least of these */
    size_t base_outside; /* those of them outside of slabs, counted for themselves */
    size_t given;        /* bytes that went back and may yet turn out a loss; 0 once that is known */
    uint64_t at;         /* when the last rush was, in milliseconds; after it were */
    size_t used;         /* bytes in use, */
    size_t held;         /* bytes held, */
    size_t idle;         /* and bytes free */
    uint64_t reused_at;  /* when the memory was in use again, or 0 */
    uint64_t barred;     /* no rush before this time */
    unsigned patience;   /* doubled by a loss, halved by a rush that was none */
} rush HAK_GUARDED_BY(caller_turn);

/* ---- what is free ---- */

struct caller_count {
    size_t held;    /* bytes from the kernel */
    size_t idle;    /* bytes free */
    size_t outside; /* those of them outside of slabs: in slabs, a free block's pages may have gone back already */
    size_t used;    /* bytes of blocks that the program or its magazines have, about */
};

/* The less is in use, the more may each block of it keep from going back: with half of it freed there is another
 * look. */
HAK_REQUIRES(caller_turn) static size_t caller_slack(size_t used)
{
    return rush.ever ? HAK_MIN(HAK_PURGE_SLACK, HAK_MAX(used / 2, HAK_UNIT)) : HAK_PURGE_SLACK;
}

/* Counts what is free, and re-arms the trigger in the same walk over the heaps, with the slack of the last time.  Only
 * where that is too much by now the heaps are walked again. */
HAK_REQUIRES(caller_turn) static struct caller_count caller_look(void)
{
    struct hak_idle idle = hak_purge_rearm(caller.slack);
    struct caller_count count = {.held = hak_load(&hak_limit_held), .idle = hak_idle_total(&idle)};
    size_t others = count.idle + hak_load(&hak_meta_held);
    count.outside = hak_idle_outside(&idle);
    count.used = count.held > others ? count.held - others : 0;
    size_t slack = caller_slack(count.used);
    if (slack < caller.slack)
        hak_purge_rearm(slack);
    caller.slack = slack;
    return count;
}

/* ---- rushes ---- */

HAK_REQUIRES(caller_turn) static void rush_lost(size_t bytes, uint64_t now)
{
    uint64_t took = HAK_MAX((now - rush.reused_at) * LOSS_TIMES, (uint64_t)bytes * LOSS_MS_PER_GIB >> 30);
    rush.patience = HAK_MIN(HAK_MAX(rush.patience * 2, 1), HAK_PATIENCE_MAX);
    rush.barred = now + HAK_MIN(took * rush.patience, LOSS_MS_MAX);
}

/* Decides, if it can be told by now, whether the last rush was a loss. */
HAK_REQUIRES(caller_turn) static void rush_judge(const struct caller_count *count, uint64_t now)
{
    size_t grown = count->held > rush.held ? count->held - rush.held : 0;
    size_t taken = rush.idle > count->idle ? rush.idle - count->idle : 0;
    size_t reused = HAK_MIN(grown + taken, rush.given);
    if (!rush.reused_at && reused >= HAK_LOSS_MIN) {
        rush.reused_at = now;
        hak_store(&hak_trigger.reuse, SIZE_MAX);
    }
    uint64_t rested = (rush.reused_at ? rush.reused_at : now) - rush.at;
    if (rested >= hak_knob_value(purge_delay))
        rush.patience /= 2;
    else if (rush.reused_at && reused >= rush.given / 4)
        rush_lost(rush.given, now);
    else
        return;
    rush.given = 0;
    hak_store(&hak_trigger.reuse, SIZE_MAX);
}

HAK_REQUIRES(caller_turn) static bool rush_due(const struct caller_count *count, size_t much)
{
    size_t grown = HAK_MAX(count->idle - rush.base, count->outside - rush.base_outside);
    bool few_left = rush.ever && count->idle >= HAK_FEW && count->used <= rush.used / 2;
    return grown >= much || few_left;
}

HAK_REQUIRES(caller_turn) static bool rush_allowed(uint64_t now)
{
    return now >= rush.barred && hak_knob_value(purge_delay) <= RUSH_DELAY_MAX && hak_super_keep() < RUSH_KEEP_MAX;
}

/* Returns the bytes that are free afterwards. */
HAK_REQUIRES(caller_turn) static size_t rush_make(size_t much)
{
    rush.given += hak_purge_rush(much);
    rush.ever = true;
    rush.at = hak_os_milliseconds();
    rush.reused_at = 0;
    struct caller_count count = caller_look();
    rush.held = count.held;
    rush.used = count.used;
    rush.idle = rush.base = count.idle;
    rush.base_outside = count.outside;
    hak_store(&hak_trigger.reuse, hak_add_sat(rush.held, HAK_LOSS_MIN));
    return rush.idle;
}

/* Counts what is free, and makes a rush if there is much.  Returns the bytes that are free afterwards. */
HAK_REQUIRES(caller_turn) static size_t rush_if_due(uint64_t now, bool may_rush)
{
    struct caller_count count = caller_look();
    size_t much = HAK_MAX(rush.ever ? HAK_FEW : RUSH_FIRST, count.used / RUSH_SHARE);
    if (rush.given)
        rush_judge(&count, now);
    rush.base = HAK_MIN(rush.base, count.idle);
    rush.base_outside = HAK_MIN(rush.base_outside, count.outside);
    return may_rush && rush_due(&count, much) && rush_allowed(now) ? rush_make(much) : count.idle;
}

/* ---- passes ---- */

HAK_REQUIRES(caller_turn) static void caller_pass_if_due(uint64_t now)
{
    bool round;
    if (caller.pace.patience == 0)
        caller.pace = hak_pace_start();
    unsigned slower = caller.pace.fruitless < HAK_FRUITLESS_MAX ? 1 : SLOW;
    if (now - caller.last_pass < (uint64_t)hak_pace_period(&caller.pace) * slower)
        return;
    caller.last_pass = now;
    size_t given = hak_purge_pass(&round);
    hak_pace_adapt(&caller.pace, given, round);
    /* What the pass gave back is neither free nor held any more, and that is no reuse. */
    rush.idle -= HAK_MIN(rush.idle, given);
    rush.held -= HAK_MIN(rush.held, given);
}

void hak_caller_tick(bool frees)
{
    if (!hak_turn_take(&caller_turn))
        return;
    uint64_t now = hak_os_milliseconds();
    size_t idle = rush_if_due(now, frees);
    caller_pass_if_due(now);
    /* What is free may never grow above a threshold again, so calls watch as long as a pass may have work. */
    uint32_t none = HAK_PURGE_NONE;
    if (idle >= HAK_FEW || caller.pace.fruitless < HAK_FRUITLESS_MAX)
        atomic_compare_exchange_strong(&hak_trigger.due, &none, HAK_PURGE_WATCH);
    else
        caller.pace.fruitless = 0;
    hak_turn_end(&caller_turn);
}

void hak_caller_forked(void)
{
    hak_turn_forked(&caller_turn);
}
