/* SPDX-License-Identifier: MIT */
/* hakmem.c - the functions of hakmem.h, most of which family.h defines.  Owns nothing.  Calls all layers below. */
#include "hakmem.h"

#define HAK_NAME(f) hakmem_##f
#include "api/family.h"
#include "purge/pressure.h"
#include "purge/trim.h"

size_t hakmem_purge(void)
{
    return hak_ready() ? hak_trim(0) : 0;
}

void hakmem_on_pressure(hakmem_pressure_callback *callback, void *data)
{
    hak_pressure_set(callback, data);
}

const char *hakmem_version(void)
{
    return HAKMEM_VERSION_STRING;
}
