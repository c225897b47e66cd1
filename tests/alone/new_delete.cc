// SPDX-License-Identifier: MIT
// new_delete.cc - every form of operator new and delete, in the program and in a library: alignment, the exception,
// the new_handler, and blocks that cross between the forms where C++ lets them.

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <list>
#include <malloc.h>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

extern "C" {
#include "../tap.h"
}

void *new_in_library(std::size_t size);
void delete_in_library(void *block);
std::string *string_in_library(const char *text);
bool throws_in_library(std::size_t size);

namespace {

// Too much for any machine, and unknown to the compiler.
volatile std::size_t impossible = static_cast<std::size_t>(PTRDIFF_MAX) - 100;
volatile std::size_t beyond = SIZE_MAX - 10;

int handler_calls;
void *reserve;

void handler()
{
    // As in the textbook: frees a reserve first, throws when there is none.
    ++handler_calls;
    if (handler_calls >= 3) {
        std::set_new_handler(nullptr);
        return;
    }
    std::free(reserve);
    reserve = nullptr;
}

struct special {};

void throwing_handler() { throw special(); }

template <class Function> bool throws_bad_alloc(Function function)
{
    try {
        function();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

struct alignas(128) overaligned {
    char bytes[300];
    overaligned() { std::memset(bytes, 1, sizeof(bytes)); }
    ~overaligned() { bytes[0] = 0; }
};

struct throwing {
    char bytes[100];
    throwing() { throw special(); }
};

bool good(void *block, std::size_t size, std::size_t alignment = 16)
{
    if (!block || reinterpret_cast<std::uintptr_t>(block) % alignment || malloc_usable_size(block) < size)
        return false;
    std::memset(block, 0x5c, size);
    return true;
}

void test_forms(std::size_t size)
{
    bool all = true;
    const std::nothrow_t &quiet = std::nothrow;
    void *block;
    errno = 0;
    all &= good(block = ::operator new(size), size), ::operator delete(block);
    all &= good(block = ::operator new(size), size), ::operator delete(block, size);
    all &= good(block = ::operator new(size, quiet), size), ::operator delete(block, quiet);
    all &= good(block = ::operator new[](size), size), ::operator delete[](block);
    all &= good(block = ::operator new[](size), size), ::operator delete[](block, size);
    all &= good(block = ::operator new[](size, quiet), size), ::operator delete[](block, quiet);
    for (std::size_t power = 16; power <= 4194304; power *= 4) {
        auto alignment = static_cast<std::align_val_t>(power);
        all &= good(block = ::operator new(size, alignment), size, power), ::operator delete(block, alignment);
        all &= good(block = ::operator new(size, alignment), size, power), ::operator delete(block, size, alignment);
        all &= good(block = ::operator new(size, alignment, quiet), size, power),
            ::operator delete(block, alignment, quiet);
        all &= good(block = ::operator new[](size, alignment), size, power), ::operator delete[](block, alignment);
        all &= good(block = ::operator new[](size, alignment), size, power),
            ::operator delete[](block, size, alignment);
        all &= good(block = ::operator new[](size, alignment, quiet), size, power),
            ::operator delete[](block, alignment, quiet);
    }
    tap_ok(all && errno == 0, "all forms of new and delete, %zu bytes", size);
}

void test_null()
{
    const std::nothrow_t &quiet = std::nothrow;
    ::operator delete(nullptr);
    ::operator delete(nullptr, 100);
    ::operator delete(nullptr, quiet);
    ::operator delete[](nullptr);
    ::operator delete[](nullptr, 100);
    ::operator delete[](nullptr, quiet);
    ::operator delete(nullptr, std::align_val_t{64});
    ::operator delete(nullptr, 100, std::align_val_t{64});
    ::operator delete[](nullptr, std::align_val_t{64});
    ::operator delete[](nullptr, 100, std::align_val_t{64});
    void *a = ::operator new(0), *b = ::operator new(0);
    tap_ok(a && b && a != b, "delete of null, new of 0 bytes is unique");
    ::operator delete(a, static_cast<std::size_t>(0));
    ::operator delete(b);
}

void test_failure()
{
    const std::nothrow_t &quiet = std::nothrow;
    auto alignment = std::align_val_t{64};
    tap_ok(throws_bad_alloc([] { ::operator delete(::operator new(impossible)); }), "new throws bad_alloc");
    tap_ok(throws_bad_alloc([] { ::operator delete(::operator new(beyond)); }), "new above PTRDIFF_MAX throws");
    tap_ok(throws_bad_alloc([] { ::operator delete[](::operator new[](impossible)); }), "new[] throws bad_alloc");
    tap_ok(throws_bad_alloc([=] { ::operator delete(::operator new(impossible, alignment), alignment); }),
           "aligned new throws bad_alloc");
    // libstdc++ rounds the size up to the alignment, and does not see that it overflows.
    if (!std::getenv("NEW_OF_LIBSTDCXX")) {
        tap_ok(throws_bad_alloc([=] { ::operator delete[](::operator new[](beyond, alignment), alignment); }),
               "aligned new[] throws bad_alloc");
        tap_ok(!::operator new[](beyond, alignment, quiet), "aligned nothrow new[] returns null");
    }
    tap_ok(throws_bad_alloc([] { std::vector<char> vector(impossible / 2); }), "a vector throws bad_alloc");
    tap_ok(!::operator new(impossible, quiet) && !::operator new[](beyond, quiet), "nothrow new returns null");
    tap_ok(!::operator new(impossible, alignment, quiet), "aligned nothrow new returns null");

    std::set_new_handler(handler);
    reserve = std::malloc(1000);
    tap_ok(throws_bad_alloc([] { ::operator delete(::operator new(impossible)); }) && handler_calls == 3,
           "new calls the handler until there is none");
    handler_calls = 0;
    std::set_new_handler(handler);
    tap_ok(!::operator new(impossible, quiet) && handler_calls == 3, "nothrow new calls it");
    handler_calls = 0;
    std::set_new_handler(handler);
    tap_ok(!::operator new[](impossible, alignment, quiet) && handler_calls == 3, "aligned new calls it");
    std::set_new_handler(throwing_handler);
    bool caught = false;
    try {
        ::operator delete(::operator new(impossible));
    } catch (const special &) {
        caught = true;
    }
    tap_ok(caught, "what the handler throws comes through new");
    std::set_new_handler(nullptr);
    void *block = ::operator new(100);
    tap_ok(block != nullptr, "new works after all that");
    ::operator delete(block, 100);
}

void test_objects()
{
    overaligned *one = new overaligned, *many = new overaligned[10];
    tap_ok(reinterpret_cast<std::uintptr_t>(one) % 128 == 0 && reinterpret_cast<std::uintptr_t>(many) % 128 == 0,
           "objects aligned beyond malloc");
    delete one;
    delete[] many;
    int caught = 0;
    for (int i = 0; i < 1000; i++)
        try {
            delete new throwing;
        } catch (const special &) {
            ++caught;
        }
    tap_ok(caught == 1000, "a constructor that throws");
    std::map<std::string, std::unique_ptr<std::vector<int>>> map;
    std::list<std::shared_ptr<std::string>> list;
    for (int i = 0; i < 5000; i++) {
        map["a key that is long enough not to be kept inline " + std::to_string(i)] =
            std::make_unique<std::vector<int>>(i % 100, i);
        list.push_back(std::make_shared<std::string>(i % 300, 'x'));
        if (i % 3 == 0)
            map.erase(map.begin());
    }
    tap_ok(!map.empty() && list.size() == 5000, "containers");
}

void test_crossings()
{
    void *block = new_in_library(1000);
    bool all = good(block, 1000);
    ::operator delete(block);
    block = ::operator new(300000);
    all &= good(block, 300000);
    delete_in_library(block);
    std::string *text = string_in_library("text that does not fit into the object itself, whichever library it is");
    all &= text->size() > 30;
    delete text;
    tap_ok(all, "between the program and a library");
    tap_ok(throws_in_library(impossible), "a library catches its bad_alloc");
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; i++)
        threads.emplace_back([] {
            for (int k = 0; k < 2000; k++)
                if (throws_bad_alloc([] { ::operator delete(::operator new(impossible)); }))
                    delete new std::string(200, 'y');
        });
    for (auto &thread : threads)
        thread.join();
    tap_ok(true, "threads that catch");
}

thread_local std::string late(100, 'z');
std::string *early = new std::string(5000, 'e');

} // namespace

int main()
{
    tap_watchdog(60);
    static const std::size_t sizes[] = {1, 16, 100, 1000, 40000, 200000, 1048577, 5000000};
    for (std::size_t size : sizes)
        test_forms(size);
    test_null();
    test_failure();
    test_objects();
    test_crossings();
    tap_ok(early->size() == 5000 && late.size() == 100, "static and thread_local objects");
    delete early;
    return tap_end();
}
