/* SPDX-License-Identifier: MIT */
/* pressure.h - what happens when more than the soft limit is held. */
#ifndef HAK_PRESSURE_H
#define HAK_PRESSURE_H

#include "hakmem.h"
#include "os/lock.h"
#include "pages/limit.h"

#pragma GCC visibility push(hidden)
extern struct hak_lock hak_pressure_lock;
/* Called without a lock by an allocation that finds hak_limit_pressed set. */
HAK_COLD void hak_pressure(void) HAK_EXCLUDES(hak_pressure_lock);
void hak_pressure_set(hakmem_pressure_callback *callback, void *data) HAK_EXCLUDES(hak_pressure_lock);
/* In the child of a fork. */
void hak_pressure_forked(void);
#pragma GCC visibility pop

#endif
