/* SPDX-License-Identifier: MIT */
/*
 * turn.h - a turn: work that one thread does, while others that come for it go on without waiting.
 *
 * A turn has no rank and is held while locks are taken.  clang checks what it guards, as it does for locks.
 */
#ifndef HAK_TURN_H
#define HAK_TURN_H

#include "base/annotate.h"
#include "base/atomics.h"
#include "base/base.h"

struct HAK_CAPABILITY("turn") hak_turn {
    _Atomic uint32_t taken;
};

HAK_INLINE bool hak_turn_take(struct hak_turn *turn) HAK_TRY_ACQUIRES(*turn) HAK_UNCHECKED;
HAK_INLINE void hak_turn_end(struct hak_turn *turn) HAK_RELEASES(*turn) HAK_UNCHECKED;
HAK_INLINE void hak_turn_forked(struct hak_turn *turn);

/* False if another thread has it, or this one, further up the stack. */
HAK_INLINE bool hak_turn_take(struct hak_turn *turn)
{
    return !hak_load(&turn->taken) && !atomic_exchange(&turn->taken, 1);
}

HAK_INLINE void hak_turn_end(struct hak_turn *turn)
{
    hak_store_release(&turn->taken, 0);
}

/* In the child of a fork: whoever had the turn is not there. */
HAK_INLINE void hak_turn_forked(struct hak_turn *turn)
{
    hak_store(&turn->taken, 0);
}

#endif
