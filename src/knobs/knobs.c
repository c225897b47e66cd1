/* SPDX-License-Identifier: MIT */
/*
 * knobs.c - the table of knobs at run time and the grammar "name=value,name=value".  Owns the knobs' values, which
 * are atomic and need no lock.  Calls os.h, libc_malloc.h and text.h.
 */
#include "knobs/knobs.h"

#include <string.h>

#include "os/libc_malloc.h"
#include "os/os.h"
#include "base/text.h"

_Atomic uint64_t hak_knobs[HAK_KNOBS] = {
#define HAK_KNOB(name, initial, ...) [HAK_KNOB_##name] = (initial),
#include "knobs/knobs.def"
};

static const struct hakmem_knob knobs[] = {
#define HAK_KNOB(name_, initial_, ...) [HAK_KNOB_##name_] = {.name = #name_, .initial = (initial_), __VA_ARGS__},
#include "knobs/knobs.def"
};

static const struct hakmem_preset presets[] = {
#define HAK_PRESET(name_, settings_, meaning_) {.name = #name_, .settings = (settings_), .meaning = (meaning_)},
#include "knobs/knobs.def"
};

#define KNOBS (sizeof knobs / sizeof *knobs)
#define PRESETS (sizeof presets / sizeof *presets)

const struct hakmem_knob *hak_knob_numbered(size_t number)
{
    return number < KNOBS ? &knobs[number] : NULL;
}

const struct hakmem_preset *hak_preset_numbered(size_t number)
{
    return number < PRESETS ? &presets[number] : NULL;
}

enum hak_knob hak_knob_number(const struct hakmem_knob *knob)
{
    return (enum hak_knob)(knob - knobs);
}

/* ---- pieces of text ---- */

struct piece {
    const char *at;
    size_t length;
};

static struct piece piece_of(const char *string)
{
    return (struct piece){string, strlen(string)};
}

static bool piece_is(struct piece piece, const char *string)
{
    return strlen(string) == piece.length && memcmp(piece.at, string, piece.length) == 0;
}

static bool piece_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

static struct piece piece_stripped(struct piece piece)
{
    while (piece.length && piece_is_space(piece.at[0]))
        piece.at++, piece.length--;
    while (piece.length && piece_is_space(piece.at[piece.length - 1]))
        piece.length--;
    return piece;
}

/* Moves the text in front of the first `mark`, or all of it, from *rest to *piece.  False behind the last piece. */
static bool piece_cut(struct piece *rest, char mark, struct piece *piece)
{
    if (!rest->at)
        return false;
    const char *end = memchr(rest->at, mark, rest->length);
    *piece = (struct piece){rest->at, end ? (size_t)(end - rest->at) : rest->length};
    *rest = end ? (struct piece){end + 1, rest->length - piece->length - 1} : (struct piece){NULL, 0};
    return true;
}

/* Appends what the user wrote in quotes: printable, on one line and of bounded length. */
static void piece_quote(struct hak_text *text, struct piece piece)
{
    char c[2] = {0};
    hak_text_string(text, "'");
    for (size_t i = 0; i < piece.length && i < 40; i++) {
        c[0] = piece.at[i] >= ' ' && piece.at[i] <= '~' ? piece.at[i] : '?';
        hak_text_string(text, c);
    }
    hak_text_string(text, piece.length > 40 ? "...'" : "'");
}

static void piece_append(struct hak_text *text, struct piece piece)
{
    for (size_t i = 0; i < piece.length && text->at < text->end; i++)
        *text->at++ = piece.at[i];
}

/* ---- the nearest name ---- */

#define NAME_MAX_LENGTH 31u

/* Characters to insert, remove or replace to get from one name to the other (Levenshtein's distance). */
static unsigned nearest_distance(struct piece a, struct piece b)
{
    unsigned row[NAME_MAX_LENGTH + 1];
    b.length = HAK_MIN(b.length, NAME_MAX_LENGTH);
    for (unsigned j = 0; j <= b.length; j++)
        row[j] = j;
    for (unsigned i = 0; i < a.length && i < 2 * NAME_MAX_LENGTH; i++) {
        unsigned diagonal = row[0];
        row[0] = i + 1;
        for (unsigned j = 0; j < b.length; j++) {
            unsigned replaced = diagonal + (a.at[i] != b.at[j]);
            diagonal = row[j + 1];
            row[j + 1] = HAK_MIN(replaced, HAK_MIN(row[j], diagonal) + 1);
        }
    }
    return row[b.length];
}

struct nearest {
    struct piece asked, best;
    unsigned distance;
};

/* A name of which only the beginning was written is as near as one with a wrong character. */
static void nearest_consider(struct nearest *nearest, struct piece candidate)
{
    struct piece asked = nearest->asked;
    unsigned d = nearest_distance(asked, candidate);
    if (asked.length && asked.length <= candidate.length && memcmp(asked.at, candidate.at, asked.length) == 0)
        d = HAK_MIN(d, 1);
    if (!nearest->best.at || d < nearest->distance) {
        nearest->best = candidate;
        nearest->distance = d;
    }
}

static struct piece nearest_name(struct piece asked)
{
    struct nearest nearest = {.asked = asked};
    for (size_t i = 0; i < KNOBS; i++)
        nearest_consider(&nearest, piece_of(knobs[i].name));
    nearest_consider(&nearest, piece_of("preset"));
    return nearest.best;
}

static struct piece nearest_preset(struct piece asked)
{
    struct nearest nearest = {.asked = asked};
    for (size_t i = 0; i < PRESETS; i++)
        nearest_consider(&nearest, piece_of(presets[i].name));
    return nearest.best;
}

static struct piece nearest_word(struct piece asked, const char *words)
{
    struct nearest nearest = {.asked = asked};
    struct piece rest = piece_of(words), word;
    while (piece_cut(&rest, '|', &word))
        nearest_consider(&nearest, word);
    return nearest.best;
}

/* ---- values ---- */

struct suffix {
    const char *text;
    uint64_t factor;
};

/* In each list the largest factor is first, as hak_knob_text() takes the first that divides the value. */
static const struct suffix size_suffixes[] = {
    {"t", UINT64_C(1) << 40}, {"g", UINT64_C(1) << 30}, {"m", UINT64_C(1) << 20},
    {"k", UINT64_C(1) << 10}, {"", 1},                  {0},
};
static const struct suffix limit_suffixes[] = {
    {"t", UINT64_C(1) << 40}, {"g", UINT64_C(1) << 30}, {"m", UINT64_C(1) << 20}, {"k", UINT64_C(1) << 10},
    {"%", 1},                 {"", 1},                  {0},
};
static const struct suffix time_suffixes[] = {{"s", 1000}, {"ms", 1}, {"", 1}, {0}};
static const struct suffix no_suffixes[] = {{"", 1}, {0}};

static const struct suffix *knob_suffixes(const struct hakmem_knob *knob)
{
    switch (knob->type) {
    case HAKMEM_KNOB_SIZE:
        return size_suffixes;
    case HAKMEM_KNOB_LIMIT:
        return limit_suffixes;
    case HAKMEM_KNOB_MILLISECONDS:
        return time_suffixes;
    default:
        return no_suffixes;
    }
}

static bool knob_word_value(const char *words, struct piece asked, uint64_t *value)
{
    struct piece rest = piece_of(words), word;
    for (*value = 0; piece_cut(&rest, '|', &word); ++*value)
        if (word.length == asked.length && memcmp(word.at, asked.at, word.length) == 0)
            return true;
    return false;
}

static bool knob_bool_value(struct piece asked, uint64_t *value)
{
    return knob_word_value("no|yes", asked, value) || knob_word_value("0|1", asked, value) ||
           knob_word_value("off|on", asked, value) || knob_word_value("false|true", asked, value);
}

/* Digits and a suffix, in upper or lower case.  A number of more than 64 bits is out of any range. */
static enum hakmem_tune_status number_value(const struct suffix *suffix, struct piece asked, uint64_t *value)
{
    const char *at = asked.at, *end = asked.at + asked.length;
    char rest[4] = {0};
    if (!hak_text_read_decimal(&at, end, value) || (size_t)(end - at) >= sizeof rest)
        return HAKMEM_TUNE_BAD_VALUE;
    for (size_t i = 0; at < end; at++)
        rest[i++] = (char)(*at >= 'A' && *at <= 'Z' ? *at + ('a' - 'A') : *at);
    while (suffix->text && strcmp(rest, suffix->text) != 0)
        suffix++;
    if (!suffix->text)
        return HAKMEM_TUNE_BAD_VALUE;
    bool overflow = *value == UINT64_MAX || __builtin_mul_overflow(*value, suffix->factor, value);
    if (overflow)
        *value = UINT64_MAX;
    return overflow ? HAKMEM_TUNE_OUT_OF_RANGE : HAKMEM_TUNE_OK;
}

bool hak_knob_in_range(const struct hakmem_knob *knob, uint64_t value)
{
    if (knob->type == HAKMEM_KNOB_LIMIT && value > HAK_LIMIT_SHARE_MAX && value < HAK_LIMIT_LEAST)
        return false;
    return value >= knob->least && value <= knob->most;
}

static bool knob_is_share(struct piece value)
{
    return value.length && value.at[value.length - 1] == '%';
}

/* A LIMIT from 1 to HAK_LIMIT_SHARE_MAX is written with %, any other without. */
static bool knob_share_fits(const struct hakmem_knob *knob, struct piece asked, uint64_t value)
{
    if (knob->type != HAKMEM_KNOB_LIMIT)
        return true;
    return knob_is_share(asked) == (value >= 1 && value <= HAK_LIMIT_SHARE_MAX);
}

static enum hakmem_tune_status knob_parse_value(const struct hakmem_knob *knob, struct piece asked, uint64_t *value)
{
    enum hakmem_tune_status status = HAKMEM_TUNE_OK;
    if (knob->type == HAKMEM_KNOB_BOOL)
        status = knob_bool_value(asked, value) ? HAKMEM_TUNE_OK : HAKMEM_TUNE_BAD_VALUE;
    else if (knob->words)
        status = knob_word_value(knob->words, asked, value) ? HAKMEM_TUNE_OK : HAKMEM_TUNE_BAD_VALUE;
    else
        status = number_value(knob_suffixes(knob), asked, value);
    if (status == HAKMEM_TUNE_OK && !(knob_share_fits(knob, asked, *value) && hak_knob_in_range(knob, *value)))
        status = HAKMEM_TUNE_OUT_OF_RANGE;
    return status;
}

void hak_knob_text(struct hak_text *text, const struct hakmem_knob *knob, uint64_t value)
{
    if (knob->words) {
        struct piece rest = piece_of(knob->words), word;
        while (piece_cut(&rest, '|', &word) && value--)
            ;
        piece_append(text, word);
        return;
    }
    const struct suffix *suffix = knob_suffixes(knob);
    while (suffix->factor > 1 && (value == 0 || value % suffix->factor))
        suffix++;
    if (suffix->text[0] == '%' && (value == 0 || value > HAK_LIMIT_SHARE_MAX))
        suffix++;
    hak_text_decimal(text, value / suffix->factor);
    hak_text_string(text, suffix->text);
}

/* ---- reports of wrong settings ---- */

#define MESSAGE 256 /* bytes of the longest report */

/* The state of one hak_knobs_parse(), whose parameters the first four members are. */
struct parse {
    const char *string;
    hak_accept *accept;
    hakmem_tune_complaint *complain;
    void *data;
    enum hakmem_tune_status first; /* of the settings that are wrong, the first one's status */
};

/* Appends the nearest valid value, or the range. */
static void knob_text_valid(struct hak_text *text, const struct hakmem_knob *knob, struct piece value, uint64_t number,
                            enum hakmem_tune_status status)
{
    if (knob->words) {
        hak_text_string(text, "; nearest is ");
        piece_append(text, nearest_word(value, knob->words));
        return;
    }
    if (knob->type == HAKMEM_KNOB_LIMIT && status == HAKMEM_TUNE_OUT_OF_RANGE) {
        hak_text_string(text, "; a share is 1% to 100%, a size ");
        hak_knob_text(text, knob, HAK_LIMIT_LEAST);
        hak_text_string(text, " to ");
        hak_knob_text(text, knob, knob->most);
        return;
    }
    if (status == HAKMEM_TUNE_OUT_OF_RANGE) {
        hak_text_string(text, "; nearest is ");
        hak_knob_text(text, knob, number < knob->least ? knob->least : knob->most);
        return;
    }
    hak_text_string(text, "; valid is ");
    hak_knob_text(text, knob, knob->least);
    hak_text_string(text, " to ");
    hak_knob_text(text, knob, knob->most);
}

static void parse_report(struct parse *parse, enum hakmem_tune_status status, struct piece fault, const char *line,
                         struct piece nearest)
{
    if (parse->first == HAKMEM_TUNE_OK)
        parse->first = status;
    if (!parse->complain)
        return;
    char name[NAME_MAX_LENGTH + 1] = {0};
    memcpy(name, nearest.at ? nearest.at : "", HAK_MIN(nearest.length, NAME_MAX_LENGTH));
    struct hakmem_tune_problem problem = {
        .status = status,
        .position = (size_t)(fault.at - parse->string),
        .length = fault.length,
        .message = line,
        .nearest = nearest.at ? name : NULL,
    };
    parse->complain(&problem, parse->data);
}

/* `what` is "knob" or "preset". */
static void parse_report_unknown(struct parse *parse, enum hakmem_tune_status status, const char *what,
                                 struct piece name, struct piece nearest)
{
    char line[MESSAGE] = {0};
    struct hak_text text = {line, line + sizeof line - 1};
    hak_text_string(&text, "unknown ");
    hak_text_string(&text, what);
    hak_text_string(&text, " ");
    piece_quote(&text, name);
    hak_text_string(&text, "; nearest is ");
    piece_append(&text, nearest);
    parse_report(parse, status, name, line, nearest);
}

static void parse_report_syntax(struct parse *parse, struct piece item)
{
    char line[MESSAGE] = {0};
    struct hak_text text = {line, line + sizeof line - 1};
    struct piece nearest = nearest_name(item);
    piece_quote(&text, item);
    hak_text_string(&text, " has no '='; nearest is ");
    piece_append(&text, nearest);
    hak_text_string(&text, "=VALUE");
    parse_report(parse, HAKMEM_TUNE_SYNTAX, item, line, nearest);
}

/* A preset exists, but one of its settings was not accepted. */
static void parse_report_refused(struct parse *parse, enum hakmem_tune_status status, struct piece name)
{
    char line[MESSAGE] = {0};
    struct hak_text text = {line, line + sizeof line - 1};
    hak_text_string(&text, "preset: ");
    piece_quote(&text, name);
    hak_text_string(&text, " ");
    hak_text_string(&text, hakmem_tune_strerror(status));
    parse_report(parse, status, name, line, (struct piece){0});
}

static void parse_report_value(struct parse *parse, const struct hakmem_knob *knob, struct piece value, uint64_t number,
                               enum hakmem_tune_status status)
{
    char line[MESSAGE] = {0};
    struct hak_text text = {line, line + sizeof line - 1};
    hak_text_string(&text, knob->name);
    hak_text_string(&text, ": ");
    piece_quote(&text, value);
    hak_text_string(&text, " ");
    hak_text_string(&text, hakmem_tune_strerror(status));
    if (status == HAKMEM_TUNE_BAD_VALUE || status == HAKMEM_TUNE_OUT_OF_RANGE)
        knob_text_valid(&text, knob, value, number, status);
    parse_report(parse, status, value, line,
             status == HAKMEM_TUNE_BAD_VALUE && knob->words ? nearest_word(value, knob->words) : (struct piece){0});
}

const char *hakmem_tune_strerror(enum hakmem_tune_status status)
{
    switch (status) {
    case HAKMEM_TUNE_OK:
        return "is valid";
    case HAKMEM_TUNE_SYNTAX:
        return "has no '='";
    case HAKMEM_TUNE_UNKNOWN:
        return "is an unknown knob";
    case HAKMEM_TUNE_BAD_VALUE:
        return "is not a valid value";
    case HAKMEM_TUNE_OUT_OF_RANGE:
        return "is out of range";
    case HAKMEM_TUNE_TOO_LATE:
        return "can only be set at the start, by HAKMEM_TUNE";
    case HAKMEM_TUNE_UNSUPPORTED:
        return "is not supported by this build on this system";
    }
    return "is an unknown status";
}

/* ---- the grammar ---- */

const struct hakmem_knob *hak_knob_named(const char *name)
{
    for (size_t i = 0; i < KNOBS; i++)
        if (strcmp(knobs[i].name, name) == 0)
            return &knobs[i];
    return NULL;
}

static void parse_items(struct parse *parse, struct piece all);

/* The settings of a preset are valid.  If one of them is not accepted, the report names the preset. */
static void parse_preset(struct parse *parse, struct piece name)
{
    for (size_t i = 0; i < PRESETS; i++)
        if (piece_is(name, presets[i].name)) {
            struct parse inner = {.string = presets[i].settings, .accept = parse->accept};
            parse_items(&inner, piece_of(presets[i].settings));
            if (inner.first != HAKMEM_TUNE_OK)
                parse_report_refused(parse, inner.first, name);
            return;
        }
    parse_report_unknown(parse, HAKMEM_TUNE_BAD_VALUE, "preset", name, nearest_preset(name));
}

static void parse_item(struct parse *parse, struct piece item)
{
    struct piece name, value = {item.at + item.length, 0};
    if (!memchr(item.at, '=', item.length)) {
        parse_report_syntax(parse, item);
        return;
    }
    struct piece rest = item;
    piece_cut(&rest, '=', &name);
    name = piece_stripped(name);
    value = piece_stripped(rest);
    if (piece_is(name, "preset")) {
        parse_preset(parse, value);
        return;
    }
    for (size_t i = 0; i < KNOBS; i++)
        if (piece_is(name, knobs[i].name)) {
            uint64_t number = 0;
            enum hakmem_tune_status status = knob_parse_value(&knobs[i], value, &number);
            if (status == HAKMEM_TUNE_OK)
                status = parse->accept(&knobs[i], number);
            if (status != HAKMEM_TUNE_OK)
                parse_report_value(parse, &knobs[i], value, number, status);
            return;
        }
    parse_report_unknown(parse, HAKMEM_TUNE_UNKNOWN, "knob", name, nearest_name(name));
}

static void parse_items(struct parse *parse, struct piece all)
{
    struct piece item;
    while (piece_cut(&all, ',', &item)) {
        item = piece_stripped(item);
        if (item.length)
            parse_item(parse, item);
    }
}

enum hakmem_tune_status hak_knobs_parse(const char *string, hak_accept *accept, hakmem_tune_complaint *complain,
                                        void *data)
{
    struct parse parse = {.string = string, .accept = accept, .complain = complain, .data = data};
    parse_items(&parse, piece_of(string));
    return parse.first;
}

/* ---- the environment ---- */

#define VARIABLE "HAKMEM_TUNE"

static void knobs_report(const struct hakmem_tune_problem *problem, void *data)
{
    char line[MESSAGE + 32];
    struct hak_text text = {line, line + sizeof line - 1};
    (void)data;
    hak_text_string(&text, "hakmem: " VARIABLE ": ");
    hak_text_string(&text, problem->message);
    *text.at++ = '\n';
    hak_os_write_stderr(line, (size_t)(text.at - line));
}

static enum hakmem_tune_status knobs_set_at_start(const struct hakmem_knob *knob, uint64_t value)
{
    enum hakmem_tune_status status = hak_knob_supported(knob, value);
    if (status == HAKMEM_TUNE_OK)
        hak_store(&hak_knobs[hak_knob_number(knob)], value);
    return status;
}

enum hakmem_tune_status hak_knob_supported(const struct hakmem_knob *knob, uint64_t value)
{
    if (HAK_MINIMAL && value != knob->initial)
        return HAKMEM_TUNE_UNSUPPORTED;
    if (hak_knob_number(knob) == HAK_KNOB_force_libc && value && !hak_libc_exists())
        return HAKMEM_TUNE_UNSUPPORTED;
    if (hak_knob_number(knob) == HAK_KNOB_stats_signal && value && !hak_os_may_handle((int)value))
        return HAKMEM_TUNE_UNSUPPORTED;
    return HAKMEM_TUNE_OK;
}

void hak_knobs_read(char **environment)
{
    static _Atomic uint32_t read;
    static const char ignored[] = "hakmem: " VARIABLE " is ignored in a program that runs with other rights\n";
    if (!environment || hak_load(&read) || atomic_exchange(&read, 1))
        return;
    for (; *environment; environment++) {
        if (strncmp(*environment, VARIABLE "=", sizeof VARIABLE) != 0)
            continue;
        if (hak_os_privileged())
            hak_os_write_stderr(ignored, sizeof ignored - 1);
        else
            hak_knobs_parse(*environment + sizeof VARIABLE, knobs_set_at_start, knobs_report, NULL);
        return;
    }
}
