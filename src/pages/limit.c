/* SPDX-License-Identifier: MIT */
/*
 * limit.c - the account of limit.h.  Owns the account and the limits, all atomic; takes no lock.  Calls os.h and
 * knobs.h.
 */
#include "pages/limit.h"

#include "os/os.h"
#include "knobs/knobs.h"

_Atomic size_t hak_limit_held;
_Atomic uint32_t hak_limit_pressed;
_Atomic size_t hak_limit_rise;

static _Atomic size_t hard = SIZE_MAX, soft = SIZE_MAX;
static _Atomic size_t press_at = SIZE_MAX; /* more than this sets hak_limit_pressed */

static _Atomic size_t most_held; /* of two threads that set it at once, one may be lost */

static void note_held(size_t held)
{
    size_t most = hak_load(&most_held);
    if (held > most) {
        hak_store(&most_held, held);
        hak_fetch_add(&hak_limit_rise, held - most);
    }
    if (HAK_UNLIKELY(held > hak_load(&press_at)))
        hak_store(&hak_limit_pressed, 1);
}

/* What is refused is never on the account, not for a moment: another thread's charge, which fits, would be refused,
 * too. */
bool hak_limit_charge(size_t bytes)
{
    size_t held = hak_load(&hak_limit_held), limit = hak_load(&hard);
    if (bytes == 0)
        return true;
    do
        if (HAK_UNLIKELY(held > limit || bytes > limit - held))
            return false;
    while (!atomic_compare_exchange_weak_explicit(&hak_limit_held, &held, held + bytes, memory_order_relaxed,
                                                  memory_order_relaxed));
    note_held(held + bytes);
    return true;
}

bool hak_limit_allows(size_t in_use, size_t bytes)
{
    size_t limit = hak_load(&hard);
    return in_use <= limit && bytes <= limit - in_use;
}

void hak_limit_forget_rise(void)
{
    size_t held = hak_load(&hak_limit_held);
    if (hak_load(&most_held) > held) {
        hak_store(&most_held, held);
        hak_store(&hak_limit_rise, 0);
    }
}

void hak_limit_add(size_t bytes)
{
    note_held(hak_fetch_add(&hak_limit_held, bytes) + bytes);
}

void hak_limit_release(size_t bytes)
{
    if (bytes)
        hak_fetch_sub(&hak_limit_held, bytes);
}

static size_t bytes_of(uint64_t setting)
{
    if (setting == 0)
        return SIZE_MAX;
    return setting <= HAK_LIMIT_SHARE_MAX ? HAK_MAX(hak_os_memory_limit() / 100 * setting, HAK_LIMIT_LEAST) : setting;
}

void hak_limit_apply(void)
{
    hak_store(&hard, bytes_of(hak_knob_value(limit_hard)));
    hak_store(&soft, bytes_of(hak_knob_value(limit_soft)));
    hak_store(&press_at, hak_load(&soft));
}

void hak_limit_rearm(void)
{
    size_t limit = hak_load(&soft), held = hak_load(&hak_limit_held);
    hak_store(&press_at, limit == SIZE_MAX ? limit : HAK_MAX(limit, held + limit / 32));
}

size_t hak_limit_soft(void)
{
    return hak_load(&soft);
}
