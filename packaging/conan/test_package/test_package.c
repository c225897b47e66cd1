/* SPDX-License-Identifier: MIT */
#include <hakmem.h>
#include <stdlib.h>

/* hakmem_free ends the program for a block of any other malloc. */
int main(void)
{
    hakmem_free(malloc(100));
    return 0;
}
