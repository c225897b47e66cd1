/* SPDX-License-Identifier: MIT */
/*
 * wrapper_library.c - a malloc tracer as many programs have one: preloaded in front of libhakmem, it counts calls and
 * passes them on to the next malloc, which dlsym finds at the first call, before any constructor.
 */
#include <dlfcn.h>
#include <stdlib.h>

unsigned long wrapper_calls;

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static void (*next_free)(void *);

static void find(void)
{
    *(void **)&next_malloc = dlsym(RTLD_NEXT, "malloc");
    *(void **)&next_calloc = dlsym(RTLD_NEXT, "calloc");
    *(void **)&next_realloc = dlsym(RTLD_NEXT, "realloc");
    *(void **)&next_free = dlsym(RTLD_NEXT, "free");
    if (!dlsym(RTLD_NEXT, "no_library_defines_this"))
        (void)dlerror();
}

void *malloc(size_t size)
{
    if (!next_malloc)
        find();
    wrapper_calls++;
    return next_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    if (!next_calloc)
        find();
    wrapper_calls++;
    return next_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    if (!next_realloc)
        find();
    wrapper_calls++;
    return next_realloc(block, size);
}

void free(void *block)
{
    if (!next_free)
        find();
    next_free(block);
}
