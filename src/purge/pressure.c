/* SPDX-License-Identifier: MIT */
/*
 * pressure.c - gives all free memory back when the soft limit is passed, and tells the program if that is not enough.
 * Owns the program's callback, guarded by hak_pressure_lock (HAK_RANK_PRESSURE), and what the program was told last,
 * guarded by pressure_turn.  Calls trim.h and limit.h.
 *
 * One thread does it; the others go on.  The callback runs without a lock and may allocate and free.
 */
#include "purge/pressure.h"

#include <errno.h>

#include "purge/trim.h"
#include "purge/turn.h"

#define NEWS_SHARE 32u /* the program is told again when this part of the limit more is held */

HAK_LOCK_ALONE struct hak_lock hak_pressure_lock = HAK_LOCK_INIT(HAK_RANK_PRESSURE);
static struct hak_turn pressure_turn;

static struct {
    hakmem_pressure_callback *function; /* NULL: the program is told nothing */
    void *data;
} pressure HAK_GUARDED_BY(hak_pressure_lock);

/* Bytes held when the program was told last; 0 since they were below the soft limit again. */
static size_t pressure_told HAK_GUARDED_BY(pressure_turn);

void hak_pressure_set(hakmem_pressure_callback *function, void *data)
{
    hak_lock(&hak_pressure_lock);
    pressure.function = function;
    pressure.data = data;
    hak_unlock(&hak_pressure_lock);
}

static void pressure_tell(size_t held, size_t limit)
{
    hak_lock(&hak_pressure_lock);
    hakmem_pressure_callback *function = pressure.function;
    void *data = pressure.data;
    hak_unlock(&hak_pressure_lock);
    if (function)
        function(held, limit, data);
}

/* Whether so much more is held than the program was told last that it is told again.  A superslab counts as held as a
 * whole before it is used, hence the share. */
HAK_REQUIRES(pressure_turn) static bool pressure_is_news(size_t held, size_t limit)
{
    size_t told = pressure_told;
    bool news = held > limit && (told == 0 || held >= told + limit / NEWS_SHARE);
    if (news || held < told)
        pressure_told = held > limit ? held : 0;
    return news;
}

void hak_pressure(void)
{
    int saved = errno;
    if (!hak_turn_take(&pressure_turn))
        return;
    hak_store(&hak_limit_pressed, 0);
    hak_reclaim();
    size_t held = hak_load(&hak_limit_held), limit = hak_limit_soft();
    hak_limit_rearm();
    if (pressure_is_news(held, limit))
        pressure_tell(held, limit);
    hak_turn_end(&pressure_turn);
    errno = saved;
}

void hak_pressure_forked(void)
{
    hak_turn_forked(&pressure_turn);
}
