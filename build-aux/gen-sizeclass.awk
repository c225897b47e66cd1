# SPDX-License-Identifier: MIT
# Writes src/sizeclass_table.h:  awk -f build-aux/gen-sizeclass.awk > src/sizeclass_table.h
#
# Classes are 16 to 128 bytes in steps of 16, then eight to each doubling up to 128 KiB, so that rounding up wastes
# less than 12.5 % of a request above 128 bytes.  A slab of a class is the fewest 64 KiB units (at most 8) that hold
# eight blocks (four above 32 KiB) and lose no more than 1/32 to the tail; failing that, the number that loses least.
# Each of the two stacks of a thread's magazine holds at most 128 blocks and about 64 KiB.

function capacity(size, units) { return int(units * UNIT / size) }
function tail(size, units) { return units * UNIT - capacity(size, units) * size }

function choose_units(size,    least, best, u) {
    least = size > 32768 ? 4 : 8
    best = 0
    for (u = 1; u <= 8; u++) {
        if (capacity(size, u) < least)
            continue
        if (tail(size, u) * 32 <= u * UNIT)
            return u
        if (!best || tail(size, u) / u < tail(size, best) / best)
            best = u
    }
    return best
}

function power_of_two(n,    p) { for (p = 1; n % 2 == 0; p *= 2) n /= 2; return p }

BEGIN {
    # Of the odd factors that sizes have: inverse_of[m] * m is 1 modulo 2^16.
    inverse_of[1] = 1; inverse_of[3] = 43691; inverse_of[5] = 52429; inverse_of[7] = 28087
    inverse_of[9] = 36409; inverse_of[11] = 35747; inverse_of[13] = 20165; inverse_of[15] = 61167
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
        max = int(65536 / size[c]); if (max > MAG_MOST) max = MAG_MOST; if (max < 1) max = 1
        u = choose_units(size[c])
        # The slot below each stack holds NULL for ever: it is what an empty stack pops.
        two = power_of_two(size[c])
        odd = size[c] / two
        # With an odd factor of 3 or more all products are less than 2^15; with 1 there is nothing to compare.
        row[c] = sprintf("    {%6d, %9d, %5d, %5d, %5d, %4d, %5d, %3d, %d},", size[c],
                         int(4294967296 / size[c]) + (4294967296 % size[c] ? 1 : 0),
                         u > 1 ? 0 : inverse_of[odd], u > 1 ? 0 : odd > 1 ? (capacity(size[c], u) - 1) * two : 32767,
                         u > 1 ? 0 : two - 1 + (odd > 1 ? 32768 : 0), capacity(size[c], u), offset + 1, max, u)
        offset += 2 * (max + 1)
    }
    print "#define HAK_MAG_MOST " MAG_MOST
    print "#define HAK_MAG_SLOTS " offset
    print ""
    print "/* size, inverse (2^32 / size, rounded up), odd_inverse, last, never, capacity, mag_offset, mag_max, units */"
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
