// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace bulkhead::inline v1::test::detail {

/// A document, also one that was deleted.
struct Document {
    std::string_view source;
    std::int64_t version = 1;
    std::int64_t seq_no = 0;
    std::uint32_t writes = 0;
    bool live = true; ///< false: deleted; its version still counts
};

/// Bytes that live as long as the model, in blocks: a document costs no allocation of its own.
class Arena {
public:
    std::string_view keep(std::string_view bytes) {
        if (bytes.size() > left_) {
            const auto size = std::max(bytes.size(), std::size_t{1} << 20);
            blocks_.push_back(std::unique_ptr<char[]>{new char[size]}); // libc++ 14 lacks make_unique_for_overwrite
            at_ = blocks_.back().get();
            left_ = size;
        }
        if (!bytes.empty()) std::memcpy(at_, bytes.data(), bytes.size());
        const std::string_view kept{at_, bytes.size()};
        at_ += bytes.size();
        left_ -= bytes.size();
        return kept;
    }

private:
    std::vector<std::unique_ptr<char[]>> blocks_; // NOLINT
    char* at_ = nullptr;
    std::size_t left_ = 0;
};

/// The documents of one index, by id.
struct Index {
    std::unordered_map<std::string_view, Document> documents;
    Arena arena;
    std::int64_t next_seq_no = 0;
    std::size_t live = 0;
    std::uint64_t writes = 0;
};

[[nodiscard]] inline bool is_valid_index_name(std::string_view name) {
    if (name.empty() || name.size() > 255 || name == "." || name == "..") return false;
    if (std::string_view{"-_+"}.find(name[0]) != std::string_view::npos) return false;
    return std::none_of(name.begin(), name.end(), [](char c) {
        return (c >= 'A' && c <= 'Z') || std::string_view{"\\/*?\"<>| ,#:"}.find(c) != std::string_view::npos;
    });
}

/// The indices of a model server: documents with their versions and sequence numbers.
class DocumentStore {
public:
    /// Null when there is no such index.
    [[nodiscard]] Index* find(std::string_view index) {
        const auto found = indices_.find(index);
        return found == indices_.end() ? nullptr : &found->second;
    }
    [[nodiscard]] const Index* find(std::string_view index) const {
        const auto found = indices_.find(index);
        return found == indices_.end() ? nullptr : &found->second;
    }
    /// Also a deleted one; null when there was none ever.
    [[nodiscard]] const Document* find(std::string_view index, std::string_view id) const {
        const auto* const in = find(index);
        if (in == nullptr) return nullptr;
        const auto found = in->documents.find(id);
        return found == in->documents.end() ? nullptr : &found->second;
    }
    [[nodiscard]] Index& create(std::string_view index) { return indices_[std::string{index}]; }
    /// False: there is no such index.
    bool remove(std::string_view index) {
        const auto found = indices_.find(index);
        if (found == indices_.end()) return false;
        indices_.erase(found);
        return true;
    }
    [[nodiscard]] std::vector<std::string> names() const {
        std::vector<std::string> names;
        for (const auto& [name, index] : indices_) names.push_back(name);
        return names;
    }
    /// Writes a document, or that it is deleted. `version`: an external one.
    static const Document& write(Index& index, std::string_view id, std::string_view source, bool live,
                                 std::optional<std::int64_t> version) {
        auto found = index.documents.find(id);
        const bool is_new = found == index.documents.end();
        if (is_new) found = index.documents.try_emplace(index.arena.keep(id)).first;
        auto& document = found->second;
        const bool was_live = !is_new && document.live;
        document.live = live;
        document.version = version ? *version : is_new ? 1 : document.version + 1;
        document.seq_no = index.next_seq_no++;
        if (document.live) document.source = index.arena.keep(source);
        if (document.live || was_live) { // deleting what was not there changes nothing
            ++document.writes;
            ++index.writes;
        }
        index.live += document.live ? 1U : 0U;
        index.live -= was_live ? 1U : 0U;
        return document;
    }

private:
    std::map<std::string, Index, std::less<>> indices_;
};

} // namespace bulkhead::inline v1::test::detail
