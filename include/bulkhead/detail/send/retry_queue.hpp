// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::detail {

/// Bulks that wait to be sent again, by when they are due and by when they were opened. Pure. `Bulk` has `opened` and
/// moves without throwing.
template <class Bulk, class TimePoint>
class RetryQueue {
    using Due = std::multimap<TimePoint, Bulk>;
    using Ages = std::multiset<TimePoint>;

public:
    /// A place with all the memory that it needs.
    class Place {
    public:
        Place() = default;
        /// Throws `std::bad_alloc`.
        Place(TimePoint due, TimePoint opened) {
            Due bulks;
            Ages ages;
            bulks.emplace(due, Bulk{});
            ages.insert(opened);
            bulk_ = bulks.extract(bulks.begin());
            age_ = ages.extract(ages.begin());
        }

    private:
        friend class RetryQueue;
        typename Due::node_type bulk_;
        typename Ages::node_type age_;
    };

    [[nodiscard]] bool empty() const noexcept { return bulks_.empty(); }
    /// When the first one is due. Not when the queue is empty.
    [[nodiscard]] TimePoint next_due() const noexcept { return bulks_.begin()->first; }
    /// When the oldest one was opened; `max()` when there is none.
    [[nodiscard]] TimePoint oldest() const noexcept { return ages_.empty() ? TimePoint::max() : *ages_.begin(); }

    /// Behind what is due at the same time.
    void push(Place place, Bulk&& bulk) noexcept {
        fill(place, std::move(bulk));
        bulks_.insert(std::move(place.bulk_));
    }
    /// Before what is due at the same time. Halves so travel in depth: the first culprit stands alone after log2(N)
    /// requests, not after N.
    void push_front(Place place, Bulk&& bulk) noexcept {
        fill(place, std::move(bulk));
        bulks_.insert(bulks_.lower_bound(place.bulk_.key()), std::move(place.bulk_));
    }
    /// The first one, due or not. Not when the queue is empty.
    [[nodiscard]] Bulk pop() noexcept { return take(bulks_.begin()); }
    /// Passes those that `wanted` accepts to `f`, one at a time, in the order of being due. `f` may push others; it may
    /// throw when it has moved the bulk away.
    template <class Wanted, class F>
    void pop_all(const Wanted& wanted, const F& f) {
        for (auto it = bulks_.begin(); it != bulks_.end();) {
            const auto at = it++;
            if (wanted(std::as_const(at->second))) f(take(at));
        }
    }
    /// Chooses among the first `most_looked_at` that are due by `now`: `choose` accepts one, passes over it or ends the
    /// search. Many that do not fit together so cost no quadratic time. The chosen ones stay until `pop_chosen`. Throws
    /// `std::bad_alloc`. Returns whether any was chosen.
    enum class Choice { accept, pass, stop };
    template <class Choose>
    [[nodiscard]] bool choose_due(TimePoint now, const Choose& choose) {
        constexpr std::size_t most_looked_at = 256;
        chosen_.clear();
        std::size_t looked_at = 0;
        for (auto it = bulks_.begin(); it != bulks_.end() && it->first <= now; ++it) {
            if (++looked_at > most_looked_at) break;
            const auto choice = choose(it->second);
            if (choice == Choice::stop) break;
            if (choice == Choice::accept) chosen_.push_back(it);
        }
        return !chosen_.empty();
    }
    /// Takes the chosen ones out, in order.
    template <class F>
    void pop_chosen(const F& f) {
        for (const auto it : chosen_) f(take(it));
        chosen_.clear();
    }
    /// Frees memory for more than so many choices.
    void trim(std::size_t worth_keeping) noexcept {
        if (chosen_.capacity() > worth_keeping) decltype(chosen_){}.swap(chosen_);
    }

private:
    void fill(Place& place, Bulk&& bulk) noexcept {
        place.bulk_.mapped() = std::exchange(bulk, Bulk{});
        ages_.insert(std::move(place.age_));
    }
    [[nodiscard]] Bulk take(typename Due::iterator it) noexcept {
        auto bulk = std::move(it->second);
        if (const auto age = ages_.find(bulk.opened); age != ages_.end()) ages_.erase(age);
        bulks_.erase(it);
        return bulk;
    }

    Due bulks_;
    Ages ages_; ///< when each was opened
    std::vector<typename Due::iterator> chosen_;
};

} // namespace bulkhead::inline v1::detail
