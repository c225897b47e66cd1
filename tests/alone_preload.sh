#!/bin/sh
# SPDX-License-Identifier: MIT
# The standalone programs with libhakmem preloaded, alone and among other preloaded libraries.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
need_interposition
need_shared
# shellcheck source-path=SCRIPTDIR source=alone.subr
. "$tests/alone.subr"

preload=$library
with() { env LD_PRELOAD="$preload" "$@"; }
build() { name=$1 && shift && "compile_$1" -o "$scratch/$name" "$tests/alone/$2" || exit 99; }

# Is it really libhakmem that answers?
compile_c -o "$scratch/whose" "$scratch/whose.c" || exit 99
with "$scratch/whose" | grep -q '<total type="fast" count="[0-9]*" size="[0-9]*"/>'
ok $? "the program runs on libhakmem"

shared_library lifetime c lifetime_library.c
compile_c -o "$scratch/lifetime" "$tests/alone/lifetime.c" "$scratch/liblifetime.so" -Wl,-rpath,"$scratch" || exit 99
run lifetime "from before constructors until after destructors" "$scratch/lifetime"

# The resolver calls malloc while its own program is being relocated: what it needs must be relocated before it.
for how in -fno-plt -no-pie; do
    # shellcheck disable=SC2086
    if compile_c $how -o "$scratch/ifunc" "$tests/alone/ifunc.c" 2>/dev/null; then
        run ifunc "malloc in an ifunc resolver ($how)" "$scratch/ifunc"
    else
        skip "malloc in an ifunc resolver ($how)" "the compiler cannot build it"
    fi
done

build tsd c tsd.c
build threads c threads.c
build fork c fork.c
build helper c helper.c
run tsd "destructors of thread-specific data" "$scratch/tsd"
run threads "threads" "$scratch/threads"
run fork "fork" "$scratch/fork"
# core_helper and core_purge test all of the helper; here it is whether there is one, as that looks at who called.
run helper "a helper in a program with threads" "$scratch/helper" only

# Programs that do not tell libc's code from theirs by where it seems to be.
if compile_c -fno-pie -no-pie -DTAKE_ABORT -o "$scratch/fixed" "$tests/alone/helper.c" 2>/dev/null; then
    run fixed "a helper in a program at a fixed place that takes the address of abort" "$scratch/fixed" only
else
    skip "a helper in a program at a fixed place that takes the address of abort" "the compiler cannot build it"
fi
if have readelf; then
    loader=$(readelf -l "$scratch/helper" | sed -n 's/.*interpreter: \(.*\)]$/\1/p')
    run loader "a helper in a program that the dynamic loader was told to run" "$loader" "$scratch/helper" only
else
    skip "a helper in a program that the dynamic loader was told to run" "no readelf"
fi

# Libraries that interpose what the allocator or its init might call.
shared_library hooks c hooks_library.c
shared_library wrapper c wrapper_library.c
for preload in "$library $scratch/libhooks.so" "$scratch/libhooks.so $library" "$scratch/libwrapper.so $library" \
    "$scratch/libwrapper.so $scratch/libhooks.so $library"; do
    others=$(echo "$preload" | sed 's|[^ ]*/||g')
    run lifetime "from before constructors until after destructors, with $others" "$scratch/lifetime"
    HAKMEM_TEST_SHORT=1 run tsd "destructors of thread-specific data, with $others" "$scratch/tsd"
    HAKMEM_TEST_SHORT=1 run threads "threads, with $others" "$scratch/threads"
done
preload=$library

if have "$CXX" && compile_cxx -fPIC -shared -o "$scratch/libnew.so" "$tests/alone/new_library.cc" 2>/dev/null; then
    compile_cxx -o "$scratch/new_delete" "$tests/alone/new_delete.cc" "$scratch/libnew.so" -Wl,-rpath,"$scratch" ||
        exit 99
    run new_delete "operator new and delete" "$scratch/new_delete"
else
    skip "operator new and delete" "no C++ compiler"
fi

# Not preloaded at all, but loaded at run time, behind libraries that have used static TLS.
build dlopen c dlopen.c
for n in 1 2 3; do
    shared_library "late$n" c late_library.c
done
preload=
run dlopen "dlopen" "$scratch/dlopen" "$library" "$scratch/liblate1.so" "$scratch/liblate2.so" "$scratch/liblate3.so"

finish
