// SPDX-License-Identifier: MIT
// new_library.cc - the library half of new_delete.cc.

#include <cstddef>
#include <new>
#include <string>

void *new_in_library(std::size_t size);
void delete_in_library(void *block);
std::string *string_in_library(const char *text);
bool throws_in_library(std::size_t size);

void *new_in_library(std::size_t size) { return ::operator new(size); }

void delete_in_library(void *block) { ::operator delete(block); }

std::string *string_in_library(const char *text) { return new std::string(text); }

bool throws_in_library(std::size_t size)
{
    try {
        ::operator delete(::operator new(size));
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}
