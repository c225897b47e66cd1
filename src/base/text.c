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

void hak_text_hex(struct hak_text *text, uint64_t number)
{
    hak_text_string(text, "0x");
    number_in_base(text, number, 16);
}
