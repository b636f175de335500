// SPDX-License-Identifier: BSL-1.0
#pragma once

/// Everything that needs neither a Kafka client nor OpenSSL.

#include <bulkhead/version.hpp> // first, since it says what is missing

#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/http/http_transport.hpp>
#include <bulkhead/kafka/source.hpp>
#include <bulkhead/standalone_indexer.hpp>
