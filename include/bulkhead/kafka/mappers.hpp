// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/record.hpp>

#include <charconv>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

/// Ids made of records, and ready mappers.
namespace bulkhead::inline v1 {

/// Appends `[prefix-]topic-partition-offset@timestamp`, without `@timestamp` when the record has none: an id that names
/// one record for ever, so that a record that is delivered again finds its document. Use it with `Action::create` and
/// `OnConflict::already_there`.
///
/// The timestamp (milliseconds since the epoch) is the record's own: it stays the same when the record is delivered
/// again. It tells apart the records of a topic that was deleted and created again, whose offsets begin at 0 again.
/// Where the producers set timestamps that repeat, e.g. all 0, or where several clusters feed one stream with topics of
/// the same name, give a prefix.
inline void append_record_id(std::string& out, const Record& record, std::string_view prefix = {}) {
    const auto number = [&out](std::int64_t value) {
        char digits[std::numeric_limits<std::int64_t>::digits10 + 3];
        out.append(digits, std::to_chars(std::begin(digits), std::end(digits), value).ptr);
    };
    if (!prefix.empty()) out.append(prefix).append("-");
    out.append(record.topic).append("-");
    number(record.partition);
    out.append("-");
    number(record.offset);
    if (record.timestamp_ms < 0) return;
    out.append("@"); // in no topic's name
    number(record.timestamp_ms);
}
/// The same as a new string.
[[nodiscard]] inline std::string record_id(const Record& record, std::string_view prefix = {}) {
    std::string id;
    append_record_id(id, record, prefix);
    return id;
}

/// A mapper for topics whose records are the latest state of what their key names (e.g. compacted ones): the payload, a
/// JSON object, is stored under the key as id; a tombstone deletes it. The external version is the offset plus one, so
/// whatever is repeated, or arrives in another order, the newest record of a key wins.
///
/// A record without a key is invalid. The version only rises while a key stays in its partition and the topic is not
/// deleted and created again. After that the server takes the new records for older ones, whose versions are lower:
/// then give a `version_base` above the highest offset of the old topic, or write a mapper of your own with a version
/// of the data's. A deleted document's version is remembered by the server for `index.gc_deletes` (60 s by default).
class KeyedDocuments {
public:
    /// `index`: empty means `IndexerOptions::index`. `version_base`: added to each version; from 0 on.
    explicit KeyedDocuments(std::string index = {}, std::int64_t version_base = 0)
        : index_{std::move(index)}, version_base_{version_base} {}
    /// Appends the document under its key.
    Mapped operator()(const Record& record, Batch& out) const {
        return append(Action::index, record, record.payload.value_or(""), out);
    }
    /// Appends its delete.
    Mapped tombstone(const Record& record, Batch& out) const { return append(Action::delete_, record, {}, out); }

private:
    Mapped append(Action action, const Record& record, std::string_view source, Batch& out) const {
        Operation op;
        op.action = action;
        op.id = record.key.value_or("");
        op.version = version_base_ + record.offset + 1;
        op.source = source;
        return out.append(op, index_) ? Mapped::invalid : Mapped::operations;
    }
    std::string index_;
    std::int64_t version_base_;
};
static_assert(TombstoneMapper<KeyedDocuments>);

} // namespace bulkhead::inline v1
