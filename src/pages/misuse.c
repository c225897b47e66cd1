/* SPDX-License-Identifier: MIT */
/*
 * misuse.c - notes misuse, and formats and writes the lines of misuse.h and fatal.h.  Owns what each thread has noted.
 * Calls text.h and os.h; looks at window.h to say what an address is.
 */
#include "pages/misuse.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "os/fatal.h"
#include "os/os.h"
#include "knobs/knobs.h"
#include "pages/window.h"

/* ---- lines ---- */

#define LINE 384
#define NAME_MOST 32u

/* Appends the program's name, without what would break the line. */
static void misuse_put_program(struct hak_text *text)
{
    const char *name = hak_os_program();
    char c[2] = {0};
    for (unsigned i = 0; name[i] && i < NAME_MOST; i++) {
        c[0] = name[i] > ' ' && name[i] <= '~' ? name[i] : '?';
        hak_text_string(text, c);
    }
}

/* Begins a line; leaves one byte for the newline. */
static struct hak_text misuse_line_begin(char *line)
{
    struct hak_text text = {line, line + LINE - 1};
    hak_text_string(&text, "hakmem: ");
    misuse_put_program(&text);
    hak_text_string(&text, "[");
    hak_text_decimal(&text, hak_os_pid());
    hak_text_string(&text, "]: ");
    return text;
}

static void misuse_line_write(struct hak_text *text, char *line)
{
    *text->at++ = '\n';
    hak_os_write_stderr(line, (size_t)(text->at - line));
}

/* ---- what was noted ---- */

enum misuse_kind { DOUBLE_FREE, WITHIN, DEAD, FOREIGN, WRONG_SIZE };

/* A misuse that was noted.  As small as possible, as static TLS is scarce. */
struct misuse {
    const char *call;
    const void *p;
    union {
        const void *block; /* WITHIN */
        size_t size;       /* WRONG_SIZE */
    };
    uint64_t block_size : 56, kind : 8; /* of enum misuse_kind */
};

/* Misuses that a thread notes in one call; more are only counted. */
#define NOTED_MOST 2u
static __thread struct misuse noted[NOTED_MOST] __attribute__((tls_model("initial-exec")));

static void misuse_note(struct misuse misuse)
{
    unsigned count = hak_tls.misuses;
    if (count < NOTED_MOST)
        noted[count] = misuse;
    hak_tls.misuses = (uint8_t)HAK_MIN(count + 1, UINT8_MAX);
}

void hak_misuse_double_free(const char *call, const void *p, size_t block_size)
{
    misuse_note((struct misuse){.kind = DOUBLE_FREE, .call = call, .p = p, .block_size = block_size});
}

void hak_misuse_within(const char *call, const void *p, const void *block, size_t block_size)
{
    misuse_note((struct misuse){.kind = WITHIN, .call = call, .p = p, .block = block, .block_size = block_size});
}

void hak_misuse_dead(const char *call, const void *p)
{
    misuse_note((struct misuse){.kind = DEAD, .call = call, .p = p});
}

/* The state of a unit outlives its last use, so it tells whether a large block began there.  Of a slab's blocks some
 * may never have been handed out, so an address in one is only said to be no block. */
void hak_misuse_foreign(const char *call, const void *p)
{
    const struct hak_slab *unit = hak_unit_used(p);
    if (unit && unit->class == HAK_CLASS_LARGE && unit->back == 0 && unit->base == p)
        hak_misuse_double_free(call, p, unit->length * HAK_UNIT);
    else if (unit)
        hak_misuse_dead(call, p);
    else
        misuse_note((struct misuse){.kind = FOREIGN, .call = call, .p = p});
}

void hak_misuse_size(const char *call, const void *p, size_t size, size_t block_size)
{
    misuse_note((struct misuse){.kind = WRONG_SIZE, .call = call, .p = p, .size = size, .block_size = block_size});
}

/* ---- reports ---- */

static void misuse_put_bytes(struct hak_text *text, const char *before, size_t size)
{
    hak_text_string(text, before);
    hak_text_decimal(text, size);
    hak_text_string(text, " bytes");
}

static void misuse_put_double_free(struct hak_text *text, const struct misuse *misuse)
{
    hak_text_string(text, "double free of ");
    hak_text_hex(text, (uintptr_t)misuse->p);
    if (misuse->block_size) {
        misuse_put_bytes(text, " (block of ", misuse->block_size);
        hak_text_string(text, ")");
    }
    if (strcmp(misuse->call, "free") != 0) {
        hak_text_string(text, " by ");
        hak_text_string(text, misuse->call);
    }
}

static void misuse_put(struct hak_text *text, const struct misuse *misuse)
{
    if (misuse->kind == DOUBLE_FREE) {
        misuse_put_double_free(text, misuse);
        return;
    }
    hak_text_string(text, misuse->call);
    hak_text_string(text, " of ");
    hak_text_hex(text, (uintptr_t)misuse->p);
    switch (misuse->kind) {
    case WITHIN:
        misuse_put_bytes(text, ", which is not the start of a block (inside a block of ", misuse->block_size);
        hak_text_string(text, " at ");
        hak_text_hex(text, (uintptr_t)misuse->block);
        hak_text_string(text, ")");
        break;
    case DEAD:
        hak_text_string(text, ", which is no block: freed before, or never allocated");
        break;
    case FOREIGN:
        hak_text_string(text, ", which libhakmem did not allocate");
        break;
    default:
        hak_text_string(text, " with size ");
        hak_text_decimal(text, misuse->size);
        misuse_put_bytes(text, ", but the block has ", misuse->block_size);
        break;
    }
}

/* Appends the command that shows the caller.  A program that goes on after misuse has to be made to abort for it. */
static void misuse_put_hint(struct hak_text *text, bool aborts)
{
    hak_text_string(text, "; backtrace: ");
    hak_text_string(text, aborts ? "" : "HAKMEM_TUNE=on_misuse=abort ");
    hak_text_string(text, "gdb -ex run -ex bt --args ");
    misuse_put_program(text);
    hak_text_string(text, " ...");
}

static void misuse_report(const struct misuse *misuse, bool aborts)
{
    char line[LINE];
    struct hak_text text = misuse_line_begin(line);
    misuse_put(&text, misuse);
    misuse_put_hint(&text, aborts);
    misuse_line_write(&text, line);
}

static void misuse_report_others(unsigned count)
{
    char line[LINE];
    struct hak_text text = misuse_line_begin(line);
    hak_text_decimal(&text, count);
    hak_text_string(&text, " more such blocks were found at once");
    misuse_line_write(&text, line);
}

void hak_misuse_report_noted(void)
{
    struct misuse all[NOTED_MOST];
    unsigned count = hak_tls.misuses;
    bool aborts = hak_knob_value(on_misuse) == HAK_MISUSE_ABORT;
    HAK_INVARIANT(hak_tls.ranks == 0 || hak_tls.fork != HAK_FORK_NONE);
    memcpy(all, noted, sizeof all);
    hak_tls.misuses = 0; /* a handler of SIGABRT may do wrong, too */
    for (unsigned i = 0; i < HAK_MIN(count, NOTED_MOST); i++) {
        misuse_report(&all[i], aborts);
        if (aborts)
            abort();
    }
    if (count > NOTED_MOST)
        misuse_report_others(count - NOTED_MOST);
}

__attribute__((noreturn)) void hak_fatal(const char *condition, const char *file, int line_number)
{
    char line[LINE];
    struct hak_text text = misuse_line_begin(line);
    hak_text_string(&text, "internal error: ");
    hak_text_string(&text, condition);
    hak_text_string(&text, " does not hold at ");
    hak_text_string(&text, file);
    hak_text_string(&text, ":");
    hak_text_decimal(&text, (uint64_t)line_number);
    misuse_line_write(&text, line);
    hak_tls.fork = HAK_FORK_DIES;
    abort();
}
