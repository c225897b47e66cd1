/* SPDX-License-Identifier: MIT */
/*
 * A program linked with libhakmem: malloc and free are libhakmem's, whether or not <hakmem.h> is included.
 *
 *     cc link.c -o link $(pkg-config --cflags --libs hakmem)
 *     cc -static link.c -o link $(pkg-config --cflags --static --libs hakmem)
 */
#include <hakmem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    char *name = malloc(8);

    if (name == NULL) {
        perror("malloc");
        return EXIT_FAILURE;
    }
    strcpy(name, "hakmem");
    printf("%s %s: asked for 8 bytes, may use %zu\n", name, hakmem_version(), hakmem_malloc_usable_size(name));
    /* Both families are one allocator; with another malloc in place this would be reported and end the program. */
    hakmem_free(name);
    return EXIT_SUCCESS;
}
