/* SPDX-License-Identifier: MIT */
/*
 * usage_print.c - a snapshot as text: for people, as JSON, and in the Prometheus text format.  What
 * figures there are says stats.def.  Allocates nothing, and writes in pieces.  Calls usage.h and text.h.
 */
#include <string.h>

#include "base/text.h"
#include "stats/usage.h"

enum type { HAK_STAT_GAUGE, HAK_STAT_COUNTER, HAK_STAT_LABEL };

/* One figure, as stats.def describes it. */
struct figure {
    const char *name;
    size_t offset;
    enum type type;
    const char *help;
};

static const struct figure total_figures[] = {
#define HAK_STAT_TOTAL(name, type, value, help) {#name, offsetof(struct hakmem_stats, name), HAK_STAT_##type, help},
#include "stats/stats.def"
};
static const struct figure class_figures[] = {
#define HAK_STAT_CLASS(name, type, value, total, help) \
    {#name, offsetof(struct hakmem_stats_class, name), HAK_STAT_##type, help},
#include "stats/stats.def"
};
static const struct figure heap_figures[] = {
#define HAK_STAT_HEAP(name, type, of_heap, of_class, total, help) \
    {#name, offsetof(struct hakmem_stats_heap, name), HAK_STAT_##type, help},
#include "stats/stats.def"
};

/* The figures of one structure; Prometheus tells the structures apart by the prefix, and their instances by a label. */
struct family {
    const struct figure *figures, *end;
    const char *prefix, *label;
};
#define FAMILY(array, ...) {array, (array) + sizeof(array) / sizeof *(array), __VA_ARGS__}
static const struct family totals = FAMILY(total_figures, "", NULL);
static const struct family classes = FAMILY(class_figures, "class_", "size");
static const struct family heaps = FAMILY(heap_figures, "heap_", "heap");

static size_t print_value(const struct figure *figure, const void *stats)
{
    size_t value;
    memcpy(&value, (const char *)stats + figure->offset, sizeof value);
    return value;
}

/* ---- pieces of text ---- */

/* Text on its way to the writer, which gets it in pieces. */
struct out {
    void (*write)(void *arg, const char *text, size_t length);
    void *arg;
    struct hak_text text;
    char buffer[1024];
};

#define PIECE_MAX 256 /* bytes; no string or number that is printed at once is longer */

static void print_flush(struct out *out)
{
    if (out->text.at > out->buffer)
        out->write(out->arg, out->buffer, (size_t)(out->text.at - out->buffer));
    out->text = (struct hak_text){out->buffer, out->buffer + sizeof out->buffer};
}

static void print_string(struct out *out, const char *string)
{
    if (out->text.end - out->text.at < PIECE_MAX)
        print_flush(out);
    hak_text_string(&out->text, string);
}

static void print_number(struct out *out, size_t number)
{
    if (out->text.end - out->text.at < PIECE_MAX)
        print_flush(out);
    hak_text_decimal(&out->text, number);
}

static void print_spaces(struct out *out, size_t width, size_t used)
{
    for (; used < width; used++)
        print_string(out, " ");
}

static void print_number_right(struct out *out, size_t number, size_t width)
{
    size_t digits = 1;
    for (size_t rest = number; rest >= 10; rest /= 10)
        digits++;
    print_spaces(out, width, digits);
    print_number(out, number);
}

/* ---- a snapshot, one thing after the other ---- */

#define FEW_HEAPS 8u /* their figures fit on the stack, even on that of a signal handler */

struct snapshot {
    struct out out;
    struct hak_view *view;
    struct hak_usage usage; /* of all heaps together */
    struct hakmem_stats total;
    uint32_t first, count; /* the heaps whose figures are in the view's room now */
};

/* Finds the next class that has slabs, from *class on; the figures of others are all 0.  False after the last. */
static bool print_next_class(const struct snapshot *snapshot, unsigned *class, struct hakmem_stats_class *stats)
{
    while (*class < HAK_CLASS_COUNT) {
        hak_usage_class(&snapshot->usage, (*class)++, stats);
        if (stats->slabs)
            return true;
    }
    return false;
}

/*
 * Finds the figures of the heap after *number.  All heaps are read again only if the room is too small for all, or if
 * one was busy.  False after the last heap.
 */
static bool print_next_heap(struct snapshot *snapshot, uint32_t *number, struct hakmem_stats_heap *stats)
{
    struct hak_view *view = snapshot->view;
    if (++*number > view->heaps)
        return false;
    if (*number - snapshot->first >= snapshot->count) {
        snapshot->first = *number;
        snapshot->count = HAK_MIN(view->room_heaps, view->heaps - *number + 1);
        if (!hak_usage_heaps(view, snapshot->first, snapshot->count, view->room)) {
            snapshot->count = 0;
            return false;
        }
    }
    *stats = view->room[*number - snapshot->first];
    return true;
}

/* ---- for people ---- */

#define NAME_WIDTH 18
#define NUMBER_WIDTH 16
#define CLASS_COLUMN 13
#define HEAP_COLUMN 15

/* The table of heaps has no columns for numbers of blocks. */
static bool print_is_heap_column(const struct figure *figure)
{
    return !strstr(figure->name, "_blocks");
}

/* A column's head: the figure's name without "_blocks", which goes without saying. */
static void print_column_head(struct out *out, const char *name, size_t width)
{
    char head[32];
    const char *end = strstr(name, "_blocks");
    size_t length = end ? (size_t)(end - name) : strlen(name);
    length = HAK_MIN(length, sizeof head - 1);
    memcpy(head, name, length);
    head[length] = '\0';
    print_spaces(out, width, length);
    print_string(out, head);
}

static void print_text_totals(struct snapshot *snapshot)
{
    struct out *out = &snapshot->out;
    for (const struct figure *figure = totals.figures; figure < totals.end; figure++) {
        print_string(out, figure->name);
        print_spaces(out, NAME_WIDTH, strlen(figure->name));
        print_number_right(out, print_value(figure, &snapshot->total), NUMBER_WIDTH);
        print_string(out, "  ");
        print_string(out, figure->help);
        print_string(out, "\n");
    }
}

static void print_text_classes(struct snapshot *snapshot)
{
    struct out *out = &snapshot->out;
    struct hakmem_stats_class stats;
    print_string(out, "\nblocks by size class\n");
    for (const struct figure *figure = classes.figures; figure < classes.end; figure++)
        print_column_head(out, figure->name, CLASS_COLUMN);
    print_string(out, "\n");
    for (unsigned class = 0; print_next_class(snapshot, &class, &stats);) {
        for (const struct figure *figure = classes.figures; figure < classes.end; figure++)
            print_number_right(out, print_value(figure, &stats), CLASS_COLUMN);
        print_string(out, "\n");
    }
}

static void print_text_heaps(struct snapshot *snapshot)
{
    struct out *out = &snapshot->out;
    struct hakmem_stats_heap stats;
    print_string(out, "\nbytes by heap\n heap");
    for (const struct figure *figure = heaps.figures; figure < heaps.end; figure++)
        if (print_is_heap_column(figure))
            print_column_head(out, figure->name, HEAP_COLUMN);
    print_string(out, "\n");
    for (uint32_t number = 0; print_next_heap(snapshot, &number, &stats);) {
        print_number_right(out, number - 1, 5);
        for (const struct figure *figure = heaps.figures; figure < heaps.end; figure++)
            if (print_is_heap_column(figure))
                print_number_right(out, print_value(figure, &stats), HEAP_COLUMN);
        print_string(out, "\n");
    }
}

static void print_text(struct snapshot *snapshot)
{
    struct out *out = &snapshot->out;
    print_string(out, "libhakmem " HAKMEM_VERSION_STRING ", process ");
    print_number(out, snapshot->view->process);
    print_string(out, "\n\n");
    if (!snapshot->total.counted)
        print_string(out, "built without statistics: live and free blocks of size classes are not known\n\n");
    print_text_totals(snapshot);
    print_text_classes(snapshot);
    print_text_heaps(snapshot);
}

/* ---- JSON ---- */

static void print_members(struct out *out, const struct family *family, const void *stats)
{
    for (const struct figure *figure = family->figures; figure < family->end; figure++) {
        print_string(out, figure > family->figures ? ",\"" : "\"");
        print_string(out, figure->name);
        print_string(out, "\":");
        print_number(out, print_value(figure, stats));
    }
}

static void print_json(struct snapshot *snapshot)
{
    struct out *out = &snapshot->out;
    const char *comma = "";
    struct hakmem_stats_class of_class;
    struct hakmem_stats_heap of_heap;
    print_string(out, "{\"libhakmem\":\"" HAKMEM_VERSION_STRING "\",\"version\":");
    print_number(out, snapshot->total.version);
    print_string(out, ",\"process\":");
    print_number(out, snapshot->view->process);
    print_string(out, snapshot->total.counted ? ",\"counted\":true,\n" : ",\"counted\":false,\n");
    print_members(out, &totals, &snapshot->total);
    print_string(out, ",\n\"by_class\":[");
    for (unsigned class = 0; print_next_class(snapshot, &class, &of_class); comma = ",") {
        print_string(out, comma);
        print_string(out, "\n{");
        print_members(out, &classes, &of_class);
        print_string(out, "}");
    }
    print_string(out, "],\n\"by_heap\":[");
    comma = "";
    for (uint32_t number = 0; print_next_heap(snapshot, &number, &of_heap); comma = ",") {
        print_string(out, comma);
        print_string(out, "\n{\"heap\":");
        print_number(out, number - 1);
        print_string(out, ",");
        print_members(out, &heaps, &of_heap);
        print_string(out, "}");
    }
    print_string(out, "]}\n");
}

/* ---- Prometheus ---- */

static void print_metric(struct out *out, const struct family *family, const struct figure *figure)
{
    print_string(out, "hakmem_");
    print_string(out, family->prefix);
    print_string(out, figure->name);
    if (figure->type == HAK_STAT_COUNTER)
        print_string(out, "_total");
}

static void print_metric_head(struct out *out, const struct family *family, const struct figure *figure)
{
    print_string(out, "# HELP ");
    print_metric(out, family, figure);
    print_string(out, " ");
    print_string(out, figure->help);
    print_string(out, "\n# TYPE ");
    print_metric(out, family, figure);
    print_string(out, figure->type == HAK_STAT_COUNTER ? " counter\n" : " gauge\n");
}

/* One sample; `instance` is the value of the family's label, if the family has one. */
static void print_sample(struct out *out, const struct family *family, const struct figure *figure, size_t instance,
                         const void *stats)
{
    print_metric(out, family, figure);
    if (family->label) {
        print_string(out, "{");
        print_string(out, family->label);
        print_string(out, "=\"");
        print_number(out, instance);
        print_string(out, "\"}");
    }
    print_string(out, " ");
    print_number(out, print_value(figure, stats));
    print_string(out, "\n");
}

/* The format wants all samples of a metric one after the other. */
static void print_prometheus(struct snapshot *snapshot)
{
    struct out *out = &snapshot->out;
    struct hakmem_stats_class of_class;
    struct hakmem_stats_heap of_heap;
    for (const struct figure *figure = totals.figures; figure < totals.end; figure++) {
        print_metric_head(out, &totals, figure);
        print_sample(out, &totals, figure, 0, &snapshot->total);
    }
    for (const struct figure *figure = classes.figures; figure < classes.end; figure++) {
        if (figure->type == HAK_STAT_LABEL)
            continue;
        print_metric_head(out, &classes, figure);
        for (unsigned class = 0; print_next_class(snapshot, &class, &of_class);)
            print_sample(out, &classes, figure, of_class.block_bytes, &of_class);
    }
    for (const struct figure *figure = heaps.figures; figure < heaps.end; figure++) {
        print_metric_head(out, &heaps, figure);
        for (uint32_t number = 0; print_next_heap(snapshot, &number, &of_heap);)
            print_sample(out, &heaps, figure, number - 1, &of_heap);
    }
}

bool hak_usage_print(struct hak_view *view, enum hakmem_stats_format format,
                     void (*write)(void *arg, const char *text, size_t length), void *arg)
{
    static void (*const print[])(struct snapshot *) = {
        [HAKMEM_STATS_TEXT] = print_text,
        [HAKMEM_STATS_JSON] = print_json,
        [HAKMEM_STATS_PROMETHEUS] = print_prometheus,
    };
    struct hakmem_stats_heap few[FEW_HEAPS];
    struct snapshot snapshot = {.out = {.write = write, .arg = arg}, .view = view};
    if (!view->room) {
        view->room = few;
        view->room_heaps = FEW_HEAPS;
    }
    if (!hak_usage_collect(view, 0, &snapshot.usage))
        return false;
    hak_usage_total(view, &snapshot.usage, &snapshot.total);
    print_flush(&snapshot.out);
    print[format](&snapshot);
    print_flush(&snapshot.out);
    return true;
}
