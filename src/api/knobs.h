/* SPDX-License-Identifier: MIT */
/* knobs.h - mallopt, which sets a knob of knobs.h under glibc's name for it. */
#ifndef HAK_TUNE_H
#define HAK_TUNE_H

#pragma GCC visibility push(hidden)
int hak_mallopt(int parameter, int value);
#pragma GCC visibility pop

#endif
