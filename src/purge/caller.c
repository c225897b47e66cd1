/* SPDX-License-Identifier: MIT */
/*
 * caller.c - how memory goes back where there is no helper: through the calls that allocate and free.  Owns the state
 * below, which only the call that has `busy` touches.  Calls purge.h, pace.h, limit.h, meta.h and os.h.
 *
 * Passes are made in the course of time, as by the helper, by whichever call finds that one is due.  But a program may
 * free all it has and then sleep for ever, and nobody comes by again.  So a free that leaves much more free than was
 * free after the last give-back gives all of that back at once: a rush.  So does one that leaves half in use of what
 * was then, as a few blocks keep whole slabs.  What "much" is follows what is in use, so that a program that frees a
 * large heap block by block makes a few dozen rushes, and a few MiB are left at the end.
 *
 * A program that works in waves wants the memory again at once.  When use of it begins before it would have gone back
 * by a pass, and much of it is used, the rush was a loss.  Then there is none for many times as long as the program
 * took to get the memory again, twice as long after the next loss, ...; a rush that proves right halves that.  So
 * waves pay at most a few percent, and a program that falls asleep after many fast waves keeps what the last one used.
 */
#include "os/os.h"
#include "pages/limit.h"
#include "pages/meta.h"
#include "purge/pace.h"
#include "purge/purge.h"

#define RUSH_FIRST ((size_t)16 << 20)   /* bytes: a program that never has as much free is left alone */
#define RUSH_SHARE 8u                   /* and from this part of what is in use */
#define RUSH_DELAY_MAX 10000u           /* with a longer purge_delay nothing is to go back in the middle of a call, */
#define RUSH_KEEP_MAX ((size_t)1 << 40) /* nor when as much may be kept */
#define LOSS_TIMES 32u                  /* a loss bars rushes for so many times what it took, */
#define LOSS_MS_PER_GIB 5000u           /* but as long at least, */
#define LOSS_MS_MAX 64000u              /* and no longer than that */
#define SLOW 8u                         /* passes are so much rarer when there is nothing left to give */

static _Atomic uint32_t busy; /* a call is at work here */
static struct hak_pace pace;
static uint64_t last_pass; /* when, in milliseconds */

static struct {
    bool ever;        /* there was one */
    size_t base;      /* bytes that were free when the last was over, or at any look since, */
    size_t outside;   /* and those of them outside of slabs, whose pages may have gone back while they are free */
    size_t given;     /* what was given back and not judged yet, */
    uint64_t at;      /* when it was, in milliseconds, */
    size_t used;      /* the bytes that were in use then, */
    size_t held;      /* those that were held, */
    size_t idle;      /* and those that were free; */
    uint64_t used_at; /* when use of it began, or 0 */
    uint64_t barred;  /* none before this time */
    unsigned patience;
} rush;

/* ---- rushes ---- */

static void rush_lost(size_t bytes, uint64_t now)
{
    uint64_t took = HAK_MAX((now - rush.used_at) * LOSS_TIMES, (uint64_t)bytes * LOSS_MS_PER_GIB >> 30);
    rush.patience = HAK_MIN(HAK_MAX(rush.patience * 2, 1), HAK_PATIENCE_MAX);
    rush.barred = now + HAK_MIN(took * rush.patience, LOSS_MS_MAX);
}

/* Whether what was given back is wanted again so soon, or has not been for long enough. */
static void rush_judge(size_t idle, size_t held, uint64_t now)
{
    size_t grown = held > rush.held ? held - rush.held : 0, used = rush.idle > idle ? rush.idle - idle : 0;
    size_t again = HAK_MIN(grown + used, rush.given);
    if (!rush.used_at && again >= HAK_LOSS_MIN) {
        rush.used_at = now;
        hak_store(&hak_trigger.reuse, SIZE_MAX);
    }
    uint64_t rested = (rush.used_at ? rush.used_at : now) - rush.at;
    if (rested >= hak_knob_value(purge_delay))
        rush.patience /= 2;
    else if (rush.used_at && again >= rush.given / 4)
        rush_lost(rush.given, now);
    else
        return;
    rush.given = 0;
    hak_store(&hak_trigger.reuse, SIZE_MAX);
}

static bool rush_allowed(uint64_t now)
{
    return now >= rush.barred && hak_knob_value(purge_delay) <= RUSH_DELAY_MAX &&
           hak_super_keep() < RUSH_KEEP_MAX;
}

/* The less is in use, the more each block of it may keep from going back: with half of it freed there is another look.
 * Returns the bytes that are free. */
static size_t settle(size_t used)
{
    return hak_purge_rearm(rush.ever ? HAK_MIN(HAK_PURGE_SLACK, HAK_MAX(used / 2, HAK_UNIT)) : HAK_PURGE_SLACK);
}

/* Bytes of blocks that the program or its magazines have, about. */
static size_t in_use(size_t held, size_t idle)
{
    size_t others = idle + hak_load(&hak_meta_held);
    return held > others ? held - others : 0;
}

/* How much is free; a rush if that is much more than it was. */
static size_t look(uint64_t now, bool may_rush)
{
    size_t held = hak_load(&hak_limit_held), used = in_use(held, hak_purge_idle()), idle = settle(used);
    size_t much = HAK_MAX(rush.ever ? HAK_FEW : RUSH_FIRST, used / RUSH_SHARE);
    if (rush.given)
        rush_judge(idle, held, now);
    size_t outside = hak_purge_idle_outside();
    rush.base = HAK_MIN(rush.base, idle);
    rush.outside = HAK_MIN(rush.outside, outside);
    size_t grown = HAK_MAX(idle - rush.base, outside - rush.outside);
    bool few_left = rush.ever && idle >= HAK_FEW && used <= rush.used / 2;
    if (!may_rush || (grown < much && !few_left) || !rush_allowed(now))
        return idle;
    rush.given += hak_purge_rush(much);
    rush.ever = true;
    rush.at = hak_os_milliseconds();
    rush.used_at = 0;
    rush.held = hak_load(&hak_limit_held);
    rush.idle = rush.base = hak_purge_idle();
    rush.used = in_use(rush.held, rush.idle);
    settle(rush.used);
    rush.outside = hak_purge_idle_outside();
    hak_store(&hak_trigger.reuse, hak_add_sat(rush.held, HAK_LOSS_MIN));
    return rush.idle;
}

/* ---- passes ---- */

static void pass_if_due(uint64_t now)
{
    bool round;
    if (pace.patience == 0)
        pace = hak_pace_start();
    uint64_t period = (uint64_t)hak_pace_period(&pace) * (pace.fruitless < HAK_FRUITLESS_MAX ? 1 : SLOW);
    if (now - last_pass < period)
        return;
    last_pass = now;
    size_t given = hak_purge_pass(&round);
    hak_pace_adapt(&pace, given, round);
    /* What a pass gives back is not used, though it is neither free nor held any more. */
    rush.idle -= HAK_MIN(rush.idle, given);
    rush.held -= HAK_MIN(rush.held, given);
}

void hak_caller_tick(bool frees)
{
    if (hak_load(&busy) || atomic_exchange(&busy, 1))
        return;
    uint64_t now = hak_os_milliseconds();
    size_t idle = look(now, frees);
    pass_if_due(now);
    /* What is free may never be more than it is now, so somebody has to see to it. */
    uint32_t none = HAK_PURGE_NONE;
    if (idle >= HAK_FEW || pace.fruitless < HAK_FRUITLESS_MAX)
        atomic_compare_exchange_strong(&hak_trigger.due, &none, HAK_PURGE_WATCH);
    else
        pace.fruitless = 0;
    hak_store_release(&busy, 0);
}

void hak_caller_forked(void)
{
    hak_store(&busy, 0);
}
