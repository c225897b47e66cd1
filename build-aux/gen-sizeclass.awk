# SPDX-License-Identifier: MIT
# Writes src/base/sizeclass_table.h:  awk -f build-aux/gen-sizeclass.awk > src/base/sizeclass_table.h
#
# Classes are 16 to 128 bytes in steps of 16, then eight to each doubling up to 128 KiB, so that rounding up wastes
# less than 12.5 % of a request above 128 bytes.  A slab of a class is the fewest 64 KiB units (at most 8) that hold
# three blocks and lose no more than 1/16 to the tail; failing that, the number that loses least.
# A thread's magazine holds at most 128 blocks and about 64 KiB, of blocks above 2 KiB about 32 KiB, or one.

function capacity(size, units) { return int(units * UNIT / size) }
function tail(size, units) { return units * UNIT - capacity(size, units) * size }

function choose_units(size,    best, u) {
    best = 0
    for (u = 1; u <= 8; u++) {
        if (capacity(size, u) < 3)
            continue
        if (tail(size, u) * 16 <= u * UNIT)
            return u
        if (!best || tail(size, u) / u < tail(size, best) / best)
            best = u
    }
    return best
}

# What the offset of the last block that begins in the slab's first unit becomes, modulo 2^32, times the inverse.
function last_product(size, units, inverse,    blocks) {
    blocks = int((UNIT + size - 1) / size)
    if (blocks > capacity(size, units)) blocks = capacity(size, units)
    return (blocks - 1) * (inverse * size - 4294967296)
}

BEGIN {
    UNIT = 65536; SMALL_MAX = 32768; MAG_MOST = 128
    for (s = 16; s <= 128; s += 16)
        size[n++] = s
    for (base = 128; base < 131072; base *= 2)
        for (k = 1; k <= 8; k++)
            size[n++] = base + base / 8 * k

    print "/* SPDX-License-Identifier: MIT */"
    print "/* Made by build-aux/gen-sizeclass.awk, which says how the figures come about; tests/ checks them. */"
    print "#ifndef HAK_SIZECLASS_TABLE_H"
    print "#define HAK_SIZECLASS_TABLE_H"
    print ""
    print "#define HAK_CLASS_COUNT " n
    offset = 0
    for (c = 0; c < n; c++) {
        max = int((size[c] > 2048 ? 32768 : 65536) / size[c]); if (max > MAG_MOST) max = MAG_MOST; if (max < 1) max = 1
        u = choose_units(size[c])
        inverse = int(4294967296 / size[c]) + (4294967296 % size[c] ? 1 : 0)
        row[c] = sprintf("    {%6d, %9d, %8d, %4d, %5d, %3d, %d, %d},", size[c], inverse,
                         last_product(size[c], u, inverse), capacity(size[c], u), offset, max, u,
                         u > 1 && UNIT % size[c] ? 1 : 0)
        offset += max + 1
    }
    print "#define HAK_MAG_MOST " MAG_MOST
    print "#define HAK_MAG_SLOTS " offset
    print ""
    print "/* size, inverse (2^32 / size, rounded up), last, capacity, mag_offset, mag_max, units, uneven */"
    print "#define HAK_CLASS_ROWS \\"
    for (c = 0; c < n; c++)
        print row[c] (c < n - 1 ? " \\" : "")
    print ""
    print "/* The class of a request of `bytes`, at index (bytes + 15) / 16. */"
    print "#define HAK_CLASS_BY_SIZE \\"
    line = "    0,"; c = 0
    for (i = 1; i <= SMALL_MAX / 16; i++) {
        while (size[c] < i * 16) c++
        line = line " " c ","
        if (length(line) > 108) { print line " \\"; line = "   " }
    }
    print line
    print ""
    print "/* 32 times as much: where the class\047s magazine lies in a cache, in bytes. */"
    print "#define HAK_MAG_BY_SIZE \\"
    line = "    0,"; c = 0
    for (i = 1; i <= SMALL_MAX / 16; i++) {
        while (size[c] < i * 16) c++
        line = line " " 32 * c ","
        if (length(line) > 108) { print line " \\"; line = "   " }
    }
    print line
    print ""
    print "#endif"
}
