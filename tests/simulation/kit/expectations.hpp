// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <exception>
#include <stdexcept>
#include <string>

/// The promises that a simulation checks, and the first of them that did not hold.
namespace bulkhead::inline v1::test::simulation {

/// A promise did not hold; the text names the promise and where it failed.
class Broken : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline const std::string& describe(const std::string& text) { return text; }

/// Throws `Broken` for the first promise that does not hold, and keeps its text: the library catches exceptions of
/// observers, callbacks and transports, so `rethrow` throws it again outside of them.
class Expectations {
public:
    void operator()(bool holds, const char* promise) const {
        if (!holds) fail(promise);
    }
    /// `about`: what the promise failed for; `describe(about...)` makes a text of it, in its own namespace.
    template <class... About>
    void operator()(bool holds, const char* promise, const About&... about) const {
        if (!holds) fail(std::string{promise} + " (" + describe(about...) + ")");
    }
    [[noreturn]] void fail(const std::string& promise) const {
        note(promise);
        throw Broken{broken_};
    }
    /// The promise did not hold, where nothing may be thrown.
    void note(const std::string& promise) const {
        if (broken_.empty()) broken_ = promise;
    }
    /// Calls `f` where nothing may be thrown.
    template <class F>
    void noting(F f) const noexcept {
        try {
            f();
        } catch (const std::exception& e) {
            note(e.what());
        }
    }
    void rethrow() const {
        if (!broken_.empty()) throw Broken{broken_};
    }

private:
    mutable std::string broken_; ///< the first promise that did not hold
};

} // namespace bulkhead::inline v1::test::simulation
