#!/bin/sh
# SPDX-License-Identifier: MIT
# The standalone programs linked with libhakmem.so, by the linker's word order before and after other libraries.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
need_interposition
need_shared
# shellcheck source-path=SCRIPTDIR source=alone.subr
. "$tests/alone.subr"

export HAKMEM_TEST_SHORT=1
with() { "$@"; }
folder=$(dirname "$library")
link() { name=$1 && shift && "compile_$1" -o "$scratch/$name" "$tests/alone/$2" "$library" -Wl,-rpath,"$folder" || exit 99; }

compile_c -o "$scratch/whose" "$scratch/whose.c" "$library" -Wl,-rpath,"$folder" || exit 99
"$scratch/whose" | grep -q '<total type="fast" count="[0-9]*" size="[0-9]*"/>'
ok $? "the program runs on libhakmem"

shared_library lifetime c lifetime_library.c
for order in "$library $scratch/liblifetime.so" "$scratch/liblifetime.so $library"; do
    # shellcheck disable=SC2086
    compile_c -o "$scratch/lifetime" "$tests/alone/lifetime.c" $order -Wl,-rpath,"$folder:$scratch" || exit 99
    run lifetime "from before constructors until after destructors, linked with $(echo "$order" | sed 's|[^ ]*/||g')" \
        "$scratch/lifetime"
done
link tsd c tsd.c
link threads c threads.c
link fork c fork.c
link helper c helper.c
run tsd "destructors of thread-specific data" "$scratch/tsd"
run threads "threads" "$scratch/threads"
run fork "fork" "$scratch/fork"
run helper "a helper in a program with threads" "$scratch/helper" only

if have "$CXX" && compile_cxx -fPIC -shared -o "$scratch/libnew.so" "$tests/alone/new_library.cc" 2>/dev/null; then
    compile_cxx -o "$scratch/new_delete" "$tests/alone/new_delete.cc" "$scratch/libnew.so" "$library" \
        -Wl,-rpath,"$folder:$scratch" || exit 99
    run new_delete "operator new and delete" "$scratch/new_delete"
    # With libstdc++ first its new and delete are called, and call our malloc and free.
    compile_cxx -nodefaultlibs -o "$scratch/new_delete" "$tests/alone/new_delete.cc" "$scratch/libnew.so" -lstdc++ \
        "$library" -lm -lgcc_s -lgcc -lc -Wl,-rpath,"$folder:$scratch" || exit 99
    NEW_OF_LIBSTDCXX=1 run new_delete "operator new and delete of libstdc++" "$scratch/new_delete"
else
    skip "operator new and delete" "no C++ compiler"
fi
finish
