/* SPDX-License-Identifier: MIT */
/* ifunc.c - a resolver of the main program allocates: relocation has not ended and no constructor has run. */
#include <dlfcn.h>

#include "../tap.h"
#include "names.h"

static unsigned char *from_resolver;
static int resolver_ran;

static int answer(void) { return 42; }

static int (*resolve(void))(void)
{
    free(NULL);
    unsigned char *block = malloc(1000), *other = calloc(10, 10000);
    if (block && other) {
        memset(block, 0x5a, 1000);
        from_resolver = realloc(block, 50000);
        free(other);
    }
    resolver_ran++;
    return answer;
}

int resolved(void) __attribute__((ifunc("resolve")));

/* Takes the address as data, so that the resolver runs when the program is relocated and not at the first call. */
int (*volatile pointer_to_resolved)(void);
int (*volatile pointer_to_resolved)(void) = resolved;

int main(void)
{
    tap_watchdog(30);
    tap_ok(resolver_ran > 0, "the resolver ran before main");
    tap_ok(pointer_to_resolved() == 42, "its function works");
    int good = from_resolver != NULL;
    for (int i = 0; good && i < 1000; i++)
        good = from_resolver[i] == 0x5a;
    tap_ok(good, "its block is intact");
    free(from_resolver);
    void *block = malloc(1000);
    tap_ok(block != NULL, "malloc in main");
    free(block);
    return tap_end();
}
