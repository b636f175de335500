// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::detail {

/// Requests in flight, and requests that have ended whose memory is used again. Pure. `Request` has `bool alone`.
template <class Request>
class InFlight {
public:
    using Ptr = std::shared_ptr<Request>;

    [[nodiscard]] std::size_t size() const noexcept { return requests_.size(); }
    [[nodiscard]] bool empty() const noexcept { return requests_.empty(); }
    /// How many carry operations that were sent before.
    [[nodiscard]] std::size_t repeating() const noexcept { return repeating_; }
    [[nodiscard]] const Ptr& front() const noexcept { return requests_.front(); }
    template <class F>
    void for_each(const F& f) const {
        for (const auto& request : requests_) f(*request);
    }
    /// The first for which `wanted` holds; null when there is none.
    template <class Wanted>
    [[nodiscard]] Ptr find(const Wanted& wanted) const noexcept {
        const auto found =
            std::find_if(requests_.begin(), requests_.end(), [&](const Ptr& one) { return wanted(*one); });
        return found == requests_.end() ? nullptr : *found;
    }

    /// A request to be filled in and added. Throws `std::bad_alloc`; afterwards `add`, `remove` and `recycle` need no
    /// memory for it.
    [[nodiscard]] Ptr acquire() {
        Ptr request;
        if (spares_.empty()) {
            request = std::make_shared<Request>();
        } else {
            request = std::move(spares_.back());
            spares_.pop_back();
        }
        requests_.reserve(requests_.size() + 1);
        spares_.reserve(requests_.size() + 1);
        return request;
    }
    /// The request is in flight. `repeats`: its operations were sent before.
    void add(Ptr request, bool repeats) noexcept {
        request->alone = requests_.empty();
        for (auto& other : requests_) other->alone = false;
        add_again(std::move(request), repeats);
    }
    /// It counts as in flight still, and was removed before.
    void add_again(Ptr request, bool repeats) noexcept {
        requests_.push_back(std::move(request));
        repeating_ += repeats ? 1U : 0U;
    }
    /// The request has ended. False when it is not here.
    bool remove(const Ptr& request, bool repeats) noexcept {
        if (std::erase(requests_, request) == 0) return false;
        repeating_ -= repeats ? 1U : 0U;
        return true;
    }
    /// Keeps its memory for another one.
    void recycle(Ptr request) noexcept {
        if (spares_.size() < spares_.capacity()) spares_.push_back(std::move(request));
    }
    /// Keeps memory for one.
    void trim() noexcept {
        if (spares_.size() > 1) spares_.erase(spares_.begin() + 1, spares_.end());
    }

private:
    std::vector<Ptr> requests_;
    std::vector<Ptr> spares_;
    std::size_t repeating_ = 0;
};

} // namespace bulkhead::inline v1::detail
