/* SPDX-License-Identifier: MIT */
/* foreign.c - a pointer that libhakmem did not hand out: from the stack, a static, a mapping, another heap, nowhere. */
#include "misuse.h"

static char static_bytes[256] __attribute__((aligned(64)));

static void given(const void *pointer)
{
    /* Once with a heap that knows nothing, as the first call of all may be this one, is first_call.c's business. */
    void *block = hakmem_malloc(48);
    expect("hakmem: free of %p, which libhakmem did not allocate", pointer);
    hakmem_free(launder(pointer));
    hakmem_malloc_trim(0);
    hakmem_free(block);
}

static void of_stack(size_t offset)
{
    char bytes[256] __attribute__((aligned(64))) = {0};
    given(bytes + offset);
}

static void of_static(size_t offset) { given(static_bytes + offset); }
static void of_literal(size_t offset) { given(&"a string that is longer than the offset is"[offset]); }
static void of_address(size_t address) { given((void *)(uintptr_t)address); }

/* With nothing mapped before it: whoever probes for a header there dies of SIGSEGV instead. */
static void of_mapping(size_t offset)
{
    char *pages = mmap(NULL, 32 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *page = (char *)(((uintptr_t)pages + (16 << 20) - 1) & ~(uintptr_t)((16 << 20) - 1));
    if (mprotect(page, 4096, PROT_READ | PROT_WRITE) == 0)
        given(page + offset);
}

/* A mapping that touches one of ours, if the kernel places it so. */
static void of_neighbouring_mapping(size_t offset)
{
    char *ours = hakmem_malloc(5000000);
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    given(page + offset);
    hakmem_free(ours);
}

static void of_realloc(size_t size)
{
    expect("hakmem: realloc of %p, which libhakmem did not allocate", (void *)static_bytes);
    (void)!hakmem_realloc(launder(static_bytes), size);
}

static void of_usable_size(size_t offset)
{
    expect("hakmem: malloc_usable_size of %p, which libhakmem did not allocate", (void *)(static_bytes + offset));
    (void)hakmem_malloc_usable_size(launder(static_bytes + offset));
}

static void of_free_sized(size_t size)
{
    expect("hakmem: free_sized of %p, which libhakmem did not allocate", (void *)static_bytes);
    hakmem_free_sized(launder(static_bytes), size);
    hakmem_malloc_trim(0);
}

#ifdef __GLIBC__
/* glibc's own heap, which is still there under its internal names. */
extern void *__libc_malloc(size_t size);
static void of_libc(size_t size) { given(__libc_malloc(size)); }
#endif

int main(void)
{
    tap_watchdog(60);
    misuse_each("a variable on the stack", of_stack, {0, 16, 1});
    misuse_each("a static variable", of_static, {0, 16, 1});
    misuse_each("a string literal", of_literal, {0, 16, 1});
    misuse_each("an address", of_address, {1, 8, 16, 4096, 65536, 0x123456789ab0, 0x7fffffffffff, 0x800000000000,
                                           0xffff800000000000, 0xffffffffff600000, 0xffffffffffffffff,
                                           0xfffffffffffffff0, 0x7ffffffffffffff0, 0x8000000000000000});
    misuse_each("a mapping of its own", of_mapping, {0, 16, 100, 4080});
    misuse_each("a mapping next to ours", of_neighbouring_mapping, {0, 16, 4080});
    misuse_each("realloc of a static variable", of_realloc, {16, 100, 5000000});
    misuse_each("malloc_usable_size of a static variable", of_usable_size, {0, 16, 1});
    misuse_each("free_sized of a static variable", of_free_sized, {16, 100, 40000, 300000, 5000000});
#ifdef __GLIBC__
    misuse_each("a block of glibc's heap", of_libc, {16, 48, 1000, 100000, 300000, 5000000});
#endif
    return tap_end();
}
