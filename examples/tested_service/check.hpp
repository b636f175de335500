// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <exception>
#include <initializer_list>
#include <iostream>
#include <stdexcept>
#include <string>

/// As much of a test framework as this example needs. Use your own.
inline void check(bool holds, const std::string& what) {
    if (!holds) throw std::runtime_error{what};
}

struct Case {
    const char* name;
    void (*run)();
};

inline int run_cases(std::initializer_list<Case> cases) {
    int failed = 0;
    for (const auto& [name, run] : cases) {
        try {
            run();
            std::cout << "ok      " << name << '\n';
        } catch (const std::exception& e) {
            std::cout << "FAILED  " << name << ": " << e.what() << '\n';
            ++failed;
        }
    }
    return failed == 0 ? 0 : 1;
}
