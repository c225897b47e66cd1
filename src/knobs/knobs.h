/* SPDX-License-Identifier: MIT */
/*
 * knobs.h - the knobs' values, and the grammar of HAKMEM_TUNE, which sets them.
 *
 * Only slow paths read a value.  In a minimal build each value is a constant.  Nothing here allocates, takes a lock or
 * asks libc for the locale or the environment, since it runs within the allocator's start.
 */
#ifndef HAK_KNOBS_H
#define HAK_KNOBS_H

#include "base/atomics.h"
#include "base/base.h"
#include "hakmem.h"

enum hak_misuse { HAK_MISUSE_ABORT, HAK_MISUSE_REPORT };
enum hak_thp { HAK_THP_AUTO, HAK_THP_NEVER, HAK_THP_ALWAYS };
enum hak_dump { HAK_DUMP_NO, HAK_DUMP_TEXT, HAK_DUMP_JSON, HAK_DUMP_PROMETHEUS };

enum hak_knob {
#define HAK_KNOB(name, ...) HAK_KNOB_##name,
#include "knobs/knobs.def"
    HAK_KNOBS
};

enum hak_default {
#define HAK_KNOB(name, initial, ...) HAK_DEFAULT_##name = (initial),
#include "knobs/knobs.def"
};

#pragma GCC visibility push(hidden)
extern _Atomic uint64_t hak_knobs[HAK_KNOBS];

#define hak_knob_value(name) (HAK_MINIMAL ? (uint64_t)HAK_DEFAULT_##name : hak_load(&hak_knobs[HAK_KNOB_##name]))

/* The knob or preset of this number or name; NULL if there is none. */
const struct hakmem_knob *hak_knob_numbered(size_t number);
const struct hakmem_knob *hak_knob_named(const char *name);
const struct hakmem_preset *hak_preset_numbered(size_t number);
/* HAKMEM_TUNE_UNSUPPORTED if the knob cannot have the value in this build on this system, else HAKMEM_TUNE_OK. */
enum hakmem_tune_status hak_knob_supported(const struct hakmem_knob *knob, uint64_t value);
/* A LIMIT from 1 to HAK_LIMIT_SHARE_MAX is in percent, and a larger one in bytes.  One of fewer than HAK_LIMIT_LEAST
 * bytes is out of range, as no program could run under it. */
#define HAK_LIMIT_SHARE_MAX 100u
#define HAK_LIMIT_LEAST (UINT64_C(4) << 20)
bool hak_knob_in_range(const struct hakmem_knob *knob, uint64_t value);
/* `knob` is a result of the functions above. */
enum hak_knob hak_knob_number(const struct hakmem_knob *knob);

struct hak_text;
/* Appends the value as the grammar has it. */
void hak_knob_text(struct hak_text *text, const struct hakmem_knob *knob, uint64_t value);

/* Takes a setting that is well-formed and in range.  Any other result than HAKMEM_TUNE_OK is a refusal. */
typedef enum hakmem_tune_status hak_accept(const struct hakmem_knob *knob, uint64_t value);
/* Gives each setting of "name=value,..." to `accept`, and each that is wrong or refused to `complain`, which may be
 * NULL.  Returns the status of the first of these. */
enum hakmem_tune_status hak_knobs_parse(const char *string, hak_accept *accept, hakmem_tune_complaint *complain,
                                        void *data);

/* Applies HAKMEM_TUNE of the environment, at the first call.  NULL: the environment is not known yet, and nothing is
 * done. */
void hak_knobs_read(char **environment);
#pragma GCC visibility pop

#endif
