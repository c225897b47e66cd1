/* SPDX-License-Identifier: MIT */
/* text.h - text without allocation, for messages and statistics: a buffer that drops what does not fit. */
#ifndef HAK_TEXT_H
#define HAK_TEXT_H

#include "base/base.h"

struct hak_text {
    char *at, *end; /* what is appended next goes to `at`, and nothing to `end` or behind it */
};

#pragma GCC visibility push(hidden)
void hak_text_string(struct hak_text *text, const char *string);
void hak_text_decimal(struct hak_text *text, uint64_t number);
/* Appends the number in hexadecimal, with 0x in front. */
void hak_text_hex(struct hak_text *text, uint64_t number);
/* Reads the digits from *at on, which ends before `end`, and moves *at behind them.  Stores UINT64_MAX if the number is
 * larger.  False, and nothing is stored, if there is no digit. */
bool hak_text_read_decimal(const char **at, const char *end, uint64_t *number);
#pragma GCC visibility pop

#endif
