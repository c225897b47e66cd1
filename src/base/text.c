/* SPDX-License-Identifier: MIT */
/* text.c - text.h.  Owns nothing and calls nothing. */
#include "base/text.h"

void hak_text_string(struct hak_text *text, const char *string)
{
    while (*string && text->at < text->end)
        *text->at++ = *string++;
}

static void number_in_base(struct hak_text *text, uint64_t number, unsigned base)
{
    char digits[20];
    unsigned n = 0;
    do
        digits[n++] = "0123456789abcdef"[number % base];
    while (number /= base);
    while (n && text->at < text->end)
        *text->at++ = digits[--n];
}

void hak_text_decimal(struct hak_text *text, uint64_t number)
{
    number_in_base(text, number, 10);
}

bool hak_text_read_decimal(const char **at, const char *end, uint64_t *number)
{
    const char *digit = *at;
    uint64_t sum = 0;
    bool overflow = false;
    for (; digit < end && *digit >= '0' && *digit <= '9'; digit++)
        overflow |= __builtin_mul_overflow(sum, (uint64_t)10, &sum) ||
                    __builtin_add_overflow(sum, (uint64_t)(*digit - '0'), &sum);
    if (digit == *at)
        return false;
    *at = digit;
    *number = overflow ? UINT64_MAX : sum;
    return true;
}

void hak_text_hex(struct hak_text *text, uint64_t number)
{
    hak_text_string(text, "0x");
    number_in_base(text, number, 16);
}
