/* SPDX-License-Identifier: MIT */
/*
 * knobs.h - the knobs' values, and the grammar in which they are set.
 *
 * Only slow paths read a value.  In a minimal build each is a constant.  Nothing here allocates, takes a lock or asks
 * libc for the locale or the environment, since it runs within the allocator's start.
 */
#ifndef HAK_SETTINGS_H
#define HAK_SETTINGS_H

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

/* The knob or preset of this number, or with this name; NULL if there is none. */
const struct hakmem_knob *hak_knob_numbered(size_t number);
const struct hakmem_knob *hak_knob_named(const char *name);
const struct hakmem_preset *hak_preset_numbered(size_t number);
/* Whether this build on this system has the value: HAKMEM_TUNE_OK or HAKMEM_TUNE_UNSUPPORTED. */
enum hakmem_tune_status hak_knob_supported(const struct hakmem_knob *knob, uint64_t value);
/* Of a LIMIT: values from 1 to this are percent, and fewer bytes than the other are no limit that a program can run
 * under. */
#define HAK_LIMIT_SHARE_MAX 100u
#define HAK_LIMIT_LEAST (UINT64_C(4) << 20)
bool hak_knob_in_range(const struct hakmem_knob *knob, uint64_t value);
/* The number of one of the knobs that the functions above return. */
enum hak_knob hak_knob_number(const struct hakmem_knob *knob);

struct hak_text;
/* Appends the value as the grammar has it. */
void hak_knob_text(struct hak_text *text, const struct hakmem_knob *knob, uint64_t value);

/* What becomes of a setting that is well-formed and in range. */
typedef enum hakmem_tune_status hak_accept(const struct hakmem_knob *knob, uint64_t value);
/* Gives each setting of "name=value,..." to `accept`, and tells `complain` (may be NULL) of each that is wrong or was
 * not accepted.  The status of the first such. */
enum hakmem_tune_status hak_knobs_parse(const char *string, hak_accept *accept, hakmem_tune_complaint *complain,
                                           void *data);

/* Applies HAKMEM_TUNE of this environment, once; does nothing for NULL, when it is not known yet. */
void hak_knobs_read(char **environment);
#pragma GCC visibility pop

#endif
