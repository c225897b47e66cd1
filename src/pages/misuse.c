/* SPDX-License-Identifier: MIT */
/*
 * report.c - formats and writes the lines of report.h and invariant.h.  Owns nothing.  Calls os.h; looks at window.h
 * and slab.h to say what an address is.
 */
#include "pages/misuse.h"

#include <stdlib.h>

#include "os/fatal.h"
#include "os/os.h"
#include "knobs/knobs.h"
#include "heap/slab.h"

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

static struct hak_text begin(char *line, size_t size)
{
    struct hak_text text = {line, line + size};
    hak_text_string(&text, "hakmem: ");
    return text;
}

static void write_line(struct hak_text *text, char *line)
{
    *text->at++ = '\n'; /* begin() was told of one byte less than there is */
    hak_os_write_stderr(line, (size_t)(text->at - line));
}

static void end(struct hak_text *text, char *line)
{
    write_line(text, line);
    if (hak_knob_value(on_misuse) == HAK_MISUSE_ABORT)
        abort();
}

#define LINE 256

void hak_misuse_double_free(const char *call, const void *p, size_t block_size)
{
    char line[LINE];
    struct hak_text text = begin(line, LINE - 1);
    hak_text_string(&text, "double free of ");
    hak_text_hex(&text, (uintptr_t)p);
    if (block_size) {
        hak_text_string(&text, " (block of ");
        hak_text_decimal(&text, block_size);
        hak_text_string(&text, " bytes)");
    }
    if (call[0] != 'f' || call[4] != '\0') {
        hak_text_string(&text, " by ");
        hak_text_string(&text, call);
    }
    end(&text, line);
}

void hak_misuse_within(const char *call, const void *p, const void *block, size_t block_size)
{
    char line[LINE];
    struct hak_text text = begin(line, LINE - 1);
    hak_text_string(&text, call);
    hak_text_string(&text, " of ");
    hak_text_hex(&text, (uintptr_t)p);
    hak_text_string(&text, ", which is not the start of a block (inside a block of ");
    hak_text_decimal(&text, block_size);
    hak_text_string(&text, " bytes at ");
    hak_text_hex(&text, (uintptr_t)block);
    hak_text_string(&text, ")");
    end(&text, line);
}

void hak_misuse_inside(const char *call, const void *p)
{
    size_t size;
    const struct hak_slab *slab = hak_slab_of(p);
    const char *block = slab->base;
    if (HAK_ENTRY_CLASS(hak_entry_of(p)) < HAK_CLASS_COUNT)
        block = hak_slab_block_of(slab, p, &size);
    else
        size = slab->length * HAK_UNIT;
    hak_misuse_within(call, p, block, size);
}

static void no_block(const char *call, const void *p, const char *what)
{
    char line[LINE];
    struct hak_text text = begin(line, LINE - 1);
    hak_text_string(&text, call);
    hak_text_string(&text, " of ");
    hak_text_hex(&text, (uintptr_t)p);
    hak_text_string(&text, what);
    end(&text, line);
}

void hak_misuse_dead(const char *call, const void *p)
{
    no_block(call, p, ", which is no block: freed before, or never allocated");
}

/* The state of a unit outlives its last use: a span that began there was a block.  Of a slab's blocks some may never
 * have left it. */
void hak_misuse_foreign(const char *call, const void *p)
{
    const struct hak_slab *unit = hak_unit_used(p);
    if (unit && unit->class == HAK_CLASS_LARGE && unit->back == 0 && unit->base == p)
        hak_misuse_double_free(call, p, unit->length * HAK_UNIT);
    else if (unit)
        hak_misuse_dead(call, p);
    else
        no_block(call, p, ", which libhakmem did not allocate");
}

void hak_misuse_size(const char *call, const void *p, size_t size, size_t block_size)
{
    char line[LINE];
    struct hak_text text = begin(line, LINE - 1);
    hak_text_string(&text, call);
    hak_text_string(&text, " of ");
    hak_text_hex(&text, (uintptr_t)p);
    hak_text_string(&text, " with size ");
    hak_text_decimal(&text, size);
    hak_text_string(&text, ", but the block has ");
    hak_text_decimal(&text, block_size);
    hak_text_string(&text, " bytes");
    end(&text, line);
}

__attribute__((noreturn)) void hak_fatal(const char *condition, const char *file, int line_number)
{
    char line[LINE];
    struct hak_text text = begin(line, LINE - 1);
    hak_text_string(&text, "internal error: ");
    hak_text_string(&text, condition);
    hak_text_string(&text, " does not hold at ");
    hak_text_string(&text, file);
    hak_text_string(&text, ":");
    hak_text_decimal(&text, (uint64_t)line_number);
    write_line(&text, line);
    abort();
}
