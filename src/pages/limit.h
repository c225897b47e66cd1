/* SPDX-License-Identifier: MIT */
/*
 * limit.h - how much memory is held from the kernel, and how much may be.
 *
 * Held are: units that are in use or dirty, live and cached huge blocks, and what meta.c has or counts for the
 * allocator's own structures.  That is what may be resident, and never less than what is.  Whoever makes memory of one
 * of these kinds charges it first, and releases the charge when the kernel has the memory again.  The account is
 * atomic (R9 in src/ORDERING).
 */
#ifndef HAK_LIMIT_H
#define HAK_LIMIT_H

#include "base/atomics.h"
#include "base/base.h"

#pragma GCC visibility push(hidden)
extern _Atomic size_t hak_limit_held;
/* Set when more than the soft limit is held: whoever sees it calls pressure.h's functions, without a lock. */
extern _Atomic uint32_t hak_limit_pressed;
/* Bytes by which the peak of what is held has risen since hak_shed() last set this to 0. */
extern _Atomic size_t hak_limit_rise;

/* False, with nothing charged, if that would be more than the hard limit. */
bool hak_limit_charge(size_t bytes);
/* Whether the hard limit allows so many bytes more where so many are in use. */
bool hak_limit_allows(size_t in_use, size_t bytes);
/* Takes back the rise of a charge that was released because the kernel refused the memory. */
void hak_limit_forget_rise(void);
/* Charges what cannot be refused. */
void hak_limit_add(size_t bytes);
void hak_limit_release(size_t bytes);

/* Applies the knobs limit_soft and limit_hard; a percentage is of what the kernel lets the process have now. */
void hak_limit_apply(void);
/* Re-arms hak_limit_pressed: at the soft limit, or if more is held, at a 32nd of the limit above what is held now. */
void hak_limit_rearm(void);
/* In bytes; SIZE_MAX if there is none. */
size_t hak_limit_soft(void);
#pragma GCC visibility pop

#endif
