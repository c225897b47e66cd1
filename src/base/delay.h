/* SPDX-License-Identifier: MIT */
/*
 * delay.h - debug builds: threads are held up at each lock and each publication, so that whatever other threads can do
 * in between is done.  Only with HAKMEM_DEBUG_DELAY=SEED in the environment; which delays there are and how long they
 * take follows from the seed and the order in which threads come by.
 */
#ifndef HAK_DELAY_H
#define HAK_DELAY_H

#include "base/base.h"

#pragma GCC visibility push(hidden)
void hak_delay_start(char **environment);
HAK_COLD void hak_delay(void);
#pragma GCC visibility pop

#define HAK_DELAY() ((void)(HAK_DEBUG && (hak_delay(), 0)))

#endif
