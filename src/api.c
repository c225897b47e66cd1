/* SPDX-License-Identifier: MIT */
/* api.c - the functions of hakmem.h.  Owns nothing.  Calls all layers below it, mostly through family.h. */
#include "hakmem.h"

#define HAK_NAME(f) hakmem_##f
#include "family.h"

const char *hakmem_version(void)
{
    return HAKMEM_VERSION_STRING;
}
