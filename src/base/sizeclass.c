/* SPDX-License-Identifier: MIT */
/* sizeclass.c - the class tables as data; see sizeclass.h. */
#include "base/sizeclass.h"

const struct hak_class hak_classes[HAK_CLASS_COUNT] = {HAK_CLASS_ROWS};
const uint16_t hak_mag_by_size[HAK_SMALL_MAX / 16 + 1] = {HAK_MAG_BY_SIZE};
const uint8_t hak_class_by_size[HAK_SMALL_MAX / 16 + 1] = {HAK_CLASS_BY_SIZE};
