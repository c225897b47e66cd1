/* SPDX-License-Identifier: MIT */
/*
 * limit.h - how much memory is held from the kernel, and how much may be.
 *
 * Held are: units that are in use or dirty, live and cached huge blocks, and what meta.c has or counts for the
 * allocator's own structures.  It is what may be resident, and never less than what is.  Who makes memory of one of
 * these kinds charges it first, and gives the charge back when the kernel has the memory again.
 */
#ifndef HAK_LIMIT_H
#define HAK_LIMIT_H

#include "base/atomics.h"
#include "base/base.h"

#pragma GCC visibility push(hidden)
extern _Atomic size_t hak_limit_held;
/* Set when more than the soft limit is held: pressure.c is to be called, without a lock. */
extern _Atomic uint32_t hak_limit_pressed;
/* By how much more is held than ever before, since hak_shed() last set this to 0. */
extern _Atomic size_t hak_limit_rise;

/* False, with nothing charged, if that would be more than the hard limit. */
bool hak_limit_charge(size_t bytes);
/* Whether the hard limit allows so many bytes more where so many are in use. */
bool hak_limit_allows(size_t in_use, size_t bytes);
/* After the kernel has refused what was charged: that was never held, and is no rise. */
void hak_limit_forget_rise(void);
/* For what cannot be refused. */
void hak_limit_add(size_t bytes);
void hak_limit_release(size_t bytes);

/* Takes over what limit_soft and limit_hard are set to; a share is one of what the kernel lets the process have now. */
void hak_limit_apply(void);
/* hak_limit_pressed will be set when a thirty-second more is held than now, or the soft limit is passed again. */
void hak_limit_rearm(void);
/* In bytes; SIZE_MAX if there is none. */
size_t hak_limit_soft(void);
#pragma GCC visibility pop

#endif
