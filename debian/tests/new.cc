// SPDX-License-Identifier: MIT
// operator new is libhakmem's: hakmem_free takes its blocks, and would end the program for any other.
#include <hakmem.h>
#include <string>

int main()
{
    hakmem_free(new char[100]);
    return std::string(1000, 'x').size() == 1000 ? 0 : 1;
}
