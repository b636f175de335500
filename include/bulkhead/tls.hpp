// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/tls/tls_connector.hpp>

/// HTTPS by OpenSSL 3: link `bulkhead::tls`.
