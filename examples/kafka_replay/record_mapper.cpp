// SPDX-License-Identifier: BSL-1.0
#include "record_mapper.hpp"

#include <bulkhead/kafka/mappers.hpp>

#include <chrono>

namespace replay {

RecordMapper::RecordMapper(const Options& options, ErrorLogForwarder* forwarder)
    : ids_{options.ids}, id_prefix_{options.id_prefix}, forwarder_{forwarder} {
    streams_.push_back({options.topic, StreamKey::apm_logs, options.streams.name(StreamKey::apm_logs)});
    if (!options.span_topic.empty())
        streams_.push_back({options.span_topic, StreamKey::apm_spans, options.streams.name(StreamKey::apm_spans)});
}

const RecordMapper::Stream& RecordMapper::stream_of(std::string_view topic) const {
    for (const auto& stream : streams_)
        if (stream.topic == topic) return stream;
    throw std::invalid_argument{"no stream key for topic " + std::string{topic}};
}

bulkhead::Mapped RecordMapper::operator()(const bulkhead::Record& record, bulkhead::Batch& out) {
    const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
    const auto& stream = stream_of(record.topic);
    if (!reader_->read(stream.key, *record.payload, record.timestamp_ms, now.time_since_epoch().count(), document_))
        throw std::invalid_argument{std::string{reader_->problem()}};

    bulkhead::Operation operation;
    operation.action = bulkhead::Action::create;
    operation.index = stream.data_stream;
    operation.source = document_;
    if (ids_ == Ids::record) {
        id_.clear();
        bulkhead::append_record_id(id_, record, id_prefix_);
        operation.id = id_;
        operation.on_conflict = bulkhead::OnConflict::already_there; // the id is the record's own
    }
    if (const auto wrong = out.append(operation)) throw std::invalid_argument{wrong->message()};
    if (forwarder_ != nullptr && reader_->error_or_above()) forwarder_->forward(record.key, *record.payload);
    return bulkhead::Mapped::operations;
}

} // namespace replay
