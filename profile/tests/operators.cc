// SPDX-License-Identifier: MIT
// Makes a known number of C++ allocations of each kind, one of which fails; test_count.py compares the counts.
#include <cstddef>
#include <new>

namespace
{
struct alignas(256) Wide {
    char bytes[256];
};

template <class T> void use(T *p)
{
    asm volatile("" : : "r"(p) : "memory");
}
} // namespace

int main()
{
    for (int i = 0; i < 1000; i++) {
        int *one = new int;
        use(one);
        delete one;
        char *many = new char[600];
        use(many);
        delete[] many;
        Wide *wide = new Wide;
        use(wide);
        delete wide;
        int *gentle = new (std::nothrow) int;
        use(gentle);
        delete gentle;
    }
    bool caught = false;
    try {
        std::size_t volatile too_much = static_cast<std::size_t>(1) << 62;
        char *p = new char[too_much];
        use(p);
        delete[] p;
    } catch (const std::bad_alloc &) {
        caught = true;
    }
    return caught ? 0 : 1;
}
