// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "apm_event.hpp"
#include "error_forwarder.hpp"
#include "options.hpp"

#include <bulkhead/kafka/source.hpp>

#include <memory>
#include <optional>
#include <string>

namespace replay {

/// A Kafka record → one `create` of the document into the data stream of its topic. An exception says why the record is
/// invalid. Events of level error and above also go to the forwarder, if there is one.
class RecordMapper {
public:
    /// The forwarder must outlive the mapper; null: none.
    RecordMapper(const Options& options, ErrorLogForwarder* forwarder);
    bulkhead::Mapped operator()(const bulkhead::Record& record, bulkhead::Batch& out);

private:
    struct Stream {
        std::string topic;
        StreamKey key;
        std::string data_stream;
    };
    [[nodiscard]] const Stream& stream_of(std::string_view topic) const;

    std::vector<Stream> streams_;
    Ids ids_;
    std::string id_prefix_;
    ErrorLogForwarder* forwarder_;
    std::unique_ptr<ApmEventReader> reader_ = std::make_unique<ApmEventReader>();
    std::string document_;
    std::string id_;
};

} // namespace replay
