/* SPDX-License-Identifier: MIT */
/* knobs.h - mallopt, which sets knobs by glibc's numbers. */
#ifndef HAK_API_KNOBS_H
#define HAK_API_KNOBS_H

#pragma GCC visibility push(hidden)
/* 1, or 0 if glibc would refuse the value. */
int hak_mallopt(int parameter, int value);
#pragma GCC visibility pop

#endif
