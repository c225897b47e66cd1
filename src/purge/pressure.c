/* SPDX-License-Identifier: MIT */
/*
 * pressure.c - gives all free memory back when the soft limit is passed, and tells the program if that is not enough.
 * Owns the program's callback, guarded by hak_pressure_lock (HAK_RANK_PRESSURE).  Calls trim.h and limit.h.
 *
 * One thread does it; the others go on.  The callback may allocate and free.
 */
#include "purge/pressure.h"

#include <errno.h>

#include "os/lock.h"
#include "purge/trim.h"

HAK_LOCK_ALONE struct hak_lock hak_pressure_lock = HAK_LOCK_INIT(HAK_RANK_PRESSURE);

static hakmem_pressure_callback *callback;
static void *callback_data;
static _Atomic uint32_t busy;

void hak_pressure_set(hakmem_pressure_callback *function, void *data)
{
    hak_lock(&hak_pressure_lock);
    callback = function;
    callback_data = data;
    hak_unlock(&hak_pressure_lock);
}

static void tell(size_t held, size_t limit)
{
    hak_lock(&hak_pressure_lock);
    hakmem_pressure_callback *function = callback;
    void *data = callback_data;
    hak_unlock(&hak_pressure_lock);
    if (function)
        function(held, limit, data);
}

/* More by a thirty-second than the program was told of last; a new superslab counts as a whole before it is used. */
static bool is_news(size_t held, size_t limit)
{
    static size_t told;
    bool news = held > limit && (told == 0 || held >= told + limit / 32);
    if (news || held < told)
        told = held > limit ? held : 0;
    return news;
}

void hak_pressure(void)
{
    int saved = errno;
    if (atomic_exchange(&busy, 1))
        return;
    hak_store(&hak_limit_pressed, 0);
    hak_reclaim();
    size_t held = hak_load(&hak_limit_held), limit = hak_limit_soft();
    hak_limit_rearm();
    if (is_news(held, limit))
        tell(held, limit);
    hak_store_release(&busy, 0);
    errno = saved;
}

void hak_pressure_forked(void)
{
    hak_store(&busy, 0);
}
