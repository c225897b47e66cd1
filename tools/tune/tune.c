/* SPDX-License-Identifier: MIT */
/*
 * tune.c - the command `hakmem tune`: lists and explains the knobs of the library that it is linked with, and checks
 * strings of settings.  No knob is named here: all come from hakmem_tune_knob().
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <hakmem.h>

enum { VALID = 0, WRONG = 1, USAGE = 2 };

static const char usage[] =
    "Usage: hakmem tune list [--names]\n"
    "       hakmem tune explain [NAME...]\n"
    "       hakmem tune check [--] STRING\n"
    "\n"
    "Shows and checks the knobs of libhakmem, which HAKMEM_TUNE and hakmem run --tune=STRING set.\n"
    "\n"
    "  list       each knob with its value in this environment and its meaning, and the presets\n"
    "    --names  only the names, those of the presets as preset=NAME\n"
    "  explain    range, default and meaning of the knobs or presets of these names, or of all\n"
    "  check      whether STRING, name=value,name=value, is valid; reports what is wrong on standard error\n"
    "\n"
    "Exit status: 0; 1 if STRING is not valid or a NAME is unknown; 2 for wrong usage.\n";

static int misused(const char *what)
{
    fprintf(stderr, "hakmem: tune: %s; see hakmem help tune\n", what);
    return USAGE;
}

static bool knob_numbered(size_t number, struct hakmem_knob *knob)
{
    return hakmem_tune_knob(number, knob, sizeof *knob) == HAKMEM_TUNE_OK;
}

static bool preset_numbered(size_t number, struct hakmem_preset *preset)
{
    return hakmem_tune_preset(number, preset, sizeof *preset) == HAKMEM_TUNE_OK;
}

static const char *written(const struct hakmem_knob *knob, uint64_t value, char buffer[64])
{
    hakmem_tune_format(knob->name, value, buffer, 64);
    return buffer;
}

static int list(bool names_only)
{
    struct hakmem_knob knob;
    struct hakmem_preset preset;
    char value[64];
    for (size_t i = 0; knob_numbered(i, &knob); i++)
        if (names_only)
            puts(knob.name);
        else
            printf("%-22s %-7s  %s\n", knob.name, written(&knob, knob.value, value), knob.meaning);
    for (size_t i = 0; preset_numbered(i, &preset); i++)
        if (names_only)
            printf("preset=%s\n", preset.name);
        else
            printf("preset=%-23s  %s\n", preset.name, preset.meaning);
    return VALID;
}

/* "no or yes", "0 to 64t" */
static void print_range(const struct hakmem_knob *knob)
{
    char value[64];
    if (!knob->words) {
        printf("%s", written(knob, knob->least, value));
        printf(" to %s", written(knob, knob->most, value));
        return;
    }
    for (uint64_t i = knob->least; i <= knob->most; i++)
        printf("%s%s", i == knob->least ? "" : i == knob->most ? " or " : ", ", written(knob, i, value));
}

static void explain_knob(const struct hakmem_knob *knob)
{
    char value[64];
    printf("%s: %s\n", knob->name, knob->meaning);
    printf("  now      %s\n", written(knob, knob->value, value));
    printf("  default  %s\n", written(knob, knob->initial, value));
    printf("  range    ");
    print_range(knob);
    printf("\n  when     %s\n", knob->when == HAKMEM_KNOB_AT_START ? "at the start" : "any time");
}

static void explain_preset(const struct hakmem_preset *preset)
{
    printf("preset=%s: %s\n", preset->name, preset->meaning);
    for (const char *at = preset->settings, *end; *at; at = *end ? end + 1 : end) {
        end = at + strcspn(at, ",");
        printf("  %.*s\n", (int)(end - at), at);
    }
}

/* Both kinds of that name, or all of both if it is NULL. */
static bool explain(const char *name)
{
    struct hakmem_knob knob;
    struct hakmem_preset preset;
    bool found = false;
    for (size_t i = 0; knob_numbered(i, &knob); i++)
        if (!name || strcmp(name, knob.name) == 0) {
            explain_knob(&knob);
            found = true;
        }
    if (name && strncmp(name, "preset=", 7) == 0)
        name += 7;
    for (size_t i = 0; preset_numbered(i, &preset); i++)
        if (!name || strcmp(name, preset.name) == 0) {
            explain_preset(&preset);
            found = true;
        }
    return found;
}

static void complain(const struct hakmem_tune_problem *problem, void *data)
{
    (void)data;
    fprintf(stderr, "hakmem: tune: %s\n", problem->message);
}

static int explain_each(char *const *names)
{
    int status = VALID;
    if (!*names)
        explain(NULL);
    for (; *names; names++)
        if (!explain(*names)) {
            fprintf(stderr, "hakmem: tune: unknown knob or preset '%s'; see hakmem tune list\n", *names);
            status = WRONG;
        }
    return status;
}

static int check(char *const *arguments)
{
    if (*arguments && strcmp(*arguments, "--") == 0)
        arguments++;
    if (!arguments[0] || arguments[1])
        return misused("check takes one argument");
    return hakmem_tune_check(arguments[0], complain, NULL) == HAKMEM_TUNE_OK ? VALID : WRONG;
}

static int run(char *const *arguments)
{
    if (!arguments[0])
        return misused("no action given: list, explain or check");
    if (strcmp(arguments[0], "--help") == 0)
        return fputs(usage, stdout) < 0;
    if (strcmp(arguments[0], "list") == 0) {
        bool names = arguments[1] && strcmp(arguments[1], "--names") == 0;
        return arguments[1 + names] ? misused("list takes no argument but --names") : list(names);
    }
    if (strcmp(arguments[0], "explain") == 0)
        return explain_each(arguments + 1);
    if (strcmp(arguments[0], "check") == 0)
        return check(arguments + 1);
    return misused("unknown action: not list, explain or check");
}

int main(int argc, char **argv)
{
    (void)argc;
    int status = run(argv + 1);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("hakmem: tune");
        return WRONG;
    }
    return status;
}
