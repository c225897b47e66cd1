/* SPDX-License-Identifier: MIT */
/*
 * verify.h - checks every invariant that the headers state, in all structures.  For tests and debug builds.
 */
#ifndef HAK_VERIFY_H
#define HAK_VERIFY_H

#pragma GCC visibility push(hidden)
/* Aborts with a message at the first invariant that does not hold.  No other thread may be allocating or freeing. */
void hak_verify(void);
#pragma GCC visibility pop

#endif
