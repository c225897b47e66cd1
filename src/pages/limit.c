/* SPDX-License-Identifier: MIT */
/*
 * limit.c - the account of limit.h.  Owns the account and the limits, which are all atomic: no lock.  Calls os.h and
 * knobs.h.
 */
#include "pages/limit.h"

#include "os/os.h"
#include "knobs/knobs.h"

_Atomic size_t hak_limit_held;
_Atomic uint32_t hak_limit_pressed;
_Atomic size_t hak_limit_rise;

/* All else that this module knows, in bytes; SIZE_MAX where there is no limit. */
static struct {
    _Atomic size_t hard, soft;
    _Atomic size_t press_at; /* hak_limit_pressed is set when more than this is held */
    _Atomic size_t peak;     /* the most held so far; of two threads that raise it at once, one may be lost */
} limits = {.hard = SIZE_MAX, .soft = SIZE_MAX, .press_at = SIZE_MAX};

static void limit_note_held(size_t held)
{
    size_t peak = hak_load(&limits.peak);
    if (held > peak) {
        hak_store(&limits.peak, held);
        hak_fetch_add(&hak_limit_rise, held - peak);
    }
    if (HAK_UNLIKELY(held > hak_load(&limits.press_at)))
        hak_store(&hak_limit_pressed, 1);
}

/* A charge that is refused is never on the account, not for a moment: else another thread's charge, which fits, would
 * be refused as well. */
bool hak_limit_charge(size_t bytes)
{
    size_t held = hak_load(&hak_limit_held), limit = hak_load(&limits.hard);
    if (bytes == 0)
        return true;
    do
        if (HAK_UNLIKELY(held > limit || bytes > limit - held))
            return false;
    while (!atomic_compare_exchange_weak_explicit(&hak_limit_held, &held, held + bytes, memory_order_relaxed,
                                                  memory_order_relaxed));
    limit_note_held(held + bytes);
    return true;
}

bool hak_limit_allows(size_t in_use, size_t bytes)
{
    size_t limit = hak_load(&limits.hard);
    return in_use <= limit && bytes <= limit - in_use;
}

void hak_limit_forget_rise(void)
{
    size_t held = hak_load(&hak_limit_held);
    if (hak_load(&limits.peak) > held) {
        hak_store(&limits.peak, held);
        hak_store(&hak_limit_rise, 0);
    }
}

void hak_limit_add(size_t bytes)
{
    limit_note_held(hak_fetch_add(&hak_limit_held, bytes) + bytes);
}

void hak_limit_release(size_t bytes)
{
    if (bytes)
        hak_fetch_sub(&hak_limit_held, bytes);
}

static size_t limit_bytes_of(uint64_t setting)
{
    if (setting == 0)
        return SIZE_MAX;
    return setting <= HAK_LIMIT_SHARE_MAX ? HAK_MAX(hak_os_memory_limit() / 100 * setting, HAK_LIMIT_LEAST) : setting;
}

void hak_limit_apply(void)
{
    hak_store(&limits.hard, limit_bytes_of(hak_knob_value(limit_hard)));
    hak_store(&limits.soft, limit_bytes_of(hak_knob_value(limit_soft)));
    hak_store(&limits.press_at, hak_load(&limits.soft));
}

void hak_limit_rearm(void)
{
    size_t limit = hak_load(&limits.soft), held = hak_load(&hak_limit_held);
    hak_store(&limits.press_at, limit == SIZE_MAX ? limit : HAK_MAX(limit, held + limit / 32));
}

size_t hak_limit_soft(void)
{
    return hak_load(&limits.soft);
}
