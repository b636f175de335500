// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/text/index_name.hpp>
#include <bulkhead/error.hpp>
#include <bulkhead/operation.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace bulkhead::inline v1 {

struct IndexerEvent; // indexer_event.hpp

/// For a duration option: no limit.
inline constexpr std::chrono::milliseconds unlimited = std::chrono::milliseconds::max();

/// What `enqueue()` does when the budget is used up.
enum class Overflow : std::uint8_t {
    refuse,      ///< the new operation is refused (`Admission::full`)
    drop_oldest, ///< the oldest sealed batch that was never sent is dropped as a whole (`Outcome::dropped`); when there
                 ///< is none, the new operation is refused
};

/// What happens to an operation that the server may have applied without answering, when repeating it could store the
/// document twice (an `index` or `create` without id).
enum class Duplicates : std::uint8_t {
    forbid, ///< it is not repeated: it settles as `Outcome::unknown`. (With an id of its own it is repeated, whatever
            ///< is chosen here.)
    allow,  ///< it is sent again; at worst the document is stored twice
    client_id, ///< it gets an id when it is enqueued and travels as a `create`, so that a repetition meets itself. Not
               ///< for targets that make ids themselves, see `IndexerOptions::target_makes_ids`
};

/// In which order operations on the same document reach it.
enum class Ordering : std::uint8_t {
    none,   ///< a refused operation may be overtaken by a later one while it waits to be sent again
    per_id, ///< of an index and id, one operation at a time is under way, and the next one waits until that has
            ///< settled: the store ends with the last one enqueued, see `Stats::order_uncertain` for when it may not.
            ///< (What a default pipeline or an alias makes of names is not known here: the same document by two names
            ///< is two.)
};

/// What an item's answer means for its operation.
enum class Verdict : std::uint8_t {
    indexed,     ///< proven
    superseded,  ///< proven: this very operation, or a newer one, is already there
    retry,       ///< refused for now; an answer about this operation, which is charged an attempt
    push_back,   ///< the server takes no writes now (busy, a red shard, a full disk, a read-only index): charged to
                 ///< no operation, never thrown away but by `max_age` and `max_blocked`
    environment, ///< not allowed to write there now (its credentials, its privileges): charged to no operation, never
                 ///< thrown away but by `max_age` and `max_blocked`. When *every* item of a bulk has this verdict, or
                 ///< `push_back`, the endpoint itself counts as such: sending pauses, with a probe now and then
                 ///< (`Health::unauthorized`, `backing_off`). When other items are taken, only the refused operation
                 ///< waits, with backoff (`Stats::waiting_for_environment`). It does not delay the others while they
                 ///< are taken.
    reject,      ///< refused for good: a dead letter where there is a sink, else `Outcome::rejected`
    discard,     ///< refused for good, and no dead letter: `Outcome::rejected`
};

/// A line of the table of verdicts: what it means when an item's status lies in `first` to `last` and its error type is
/// `type` (empty: any).
struct VerdictRule {
    /// The lowest status that the rule is for; it must be set. 300 to 599: what is below is a success. When to change:
    /// with each rule.
    std::uint16_t first = 0;
    /// The highest; it must be set. `first` to 599. When to change: with each rule.
    std::uint16_t last = 0;
    /// The item's `error.type`. Empty: any. When to change: when only one kind of error of that status is meant.
    std::string type{};
    /// What it means. When to change: with each rule.
    Verdict verdict = Verdict::reject;
};

/// What travels in the query of every bulk request.
struct RequestDefaults {
    /// Default ingest pipeline (`pipeline`). Empty: not sent. When to change: when all documents go through one
    /// pipeline that is not the index's own default.
    std::string pipeline{};
    /// `true`, `false` or `wait_for`. Empty: not sent, which means `false` to the server. When to change: `wait_for` in
    /// tests that search at once; hardly ever in production: each bulk then waits for a refresh.
    std::string refresh{};
    /// The server's own wait for a primary shard, e.g. `1m`. Empty: a quarter of `request_timeout`, at most 1 min, the
    /// server's own default. One shard without a primary then does not keep the answer from coming, also where the
    /// server waits more than once. When to change: seldom; keep it well below `request_timeout`.
    std::string timeout{};
    /// How many copies of a shard must be there: a number or `all`. Empty: not sent, which means 1 to the server. When
    /// to change: raise it when a write must not begin with too few copies; it is no proof of replication.
    std::string wait_for_active_shards{};
};

/// When and how often refused operations are sent again.
struct RetryOptions {
    /// How many answers about one operation may be retryable refusals (408, 425, 500, a conflict that is not about the
    /// version) before it settles as `rejected`. What the endpoint says about itself is charged to nobody, also when it
    /// says so item by item (429, 503). 1 to 1000; 1: never again. When to change: 1 when you repeat by yourself.
    std::uint32_t max_attempts = 10;
    /// An operation that meets a fault of the server (5xx), or that fails whenever it travels alone while others are
    /// taken, is given up only when this time has passed as well since it was first charged. More than `max_age` counts
    /// as `max_age`; it does not hold for `max_attempts` 1. 0 to 24 h. When to change: raise it above the longest
    /// restart of your nodes; lower it when a document that fails for ever should be a dead letter sooner.
    std::chrono::milliseconds min_retry_time{std::chrono::minutes{5}};
    /// Upper bound of the first wait; each further one doubles it up to `max_backoff`. The wait itself is drawn
    /// uniformly between a tenth of this and the bound (full jitter, but no hot loop). 1 ms to 1 h. When to change:
    /// raise it when many clients share a small cluster.
    std::chrono::milliseconds initial_backoff{100};
    /// The longest wait. `initial_backoff` to 24 h. Also the cap of a server's `Retry-After`. When to change: lower it
    /// to notice sooner that a server is back; raise it to bother a sick one less.
    std::chrono::milliseconds max_backoff{30'000};
    /// An operation older than this is not sent again: it settles as `undelivered`, or as `unknown` when an earlier
    /// attempt was sent and not answered. `unlimited` for no bound, which is what a Kafka source wants. When to change:
    /// `unlimited` for a `KafkaSource`, and where nobody else has the data; shorter where old data are worthless.
    std::chrono::milliseconds max_age{std::chrono::minutes{10}};
    /// An operation that the server has refused for this long as blocked, item by item (429, 503, a red shard, a
    /// read-only index, a missing permission), is refused for good: a dead letter where there is a sink, else
    /// `rejected`. Only an answer about the operation decides this. 1 ms to `unlimited`. When to change: where several
    /// indices share an indexer and one that stays blocked must not fill the buffer of the others.
    std::chrono::milliseconds max_blocked = unlimited;
    /// The retry budget: each proven operation allows so many hundredths of one to be sent again, saved up to
    /// `max_batch_operations` times `max_in_flight`. While it is used up, one request at a time repeats operations, so
    /// that a sick cluster is not met by a storm (the idea is Finagle's, and so is the default). 0 to 10,000. When to
    /// change: raise it when a cluster that refuses a lot for good reason (bulk queues) recovers too slowly.
    std::uint32_t budget_percent = 20;
};

/// When a flood of dead letters is rather a fault of the cluster (a broken mapping, a missing pipeline): then nothing
/// more goes to the sink, everything waits, and one request at a time looks whether it is over (`Health::flooded`).
struct FloodOptions {
    /// Share of the operations refused for good above which it is a flood. 0: never. 0 to 100. When to change: 0 when
    /// most documents may rightly be refused (an import of doubtful data).
    std::uint32_t percent = 50;
    /// Over so many operations, at least: some batches, so that a single bad one is not a flood. 1 to 1,000,000,000.
    /// When to change: lower it when batches are small and a fault of the mapping should be noticed sooner.
    std::size_t operations = 10'000;
};

/// Everything that a `BulkIndexer` lets its user choose. Checked at construction (`InvalidOption`).
struct IndexerOptions {
    /// Index, alias or data stream for operations that name none; a name that Elasticsearch allows. Empty: each must
    /// name its own. When to change: your index; leave it empty where each operation names its own.
    std::string index{};

    /// A bulk is flushed when it holds this many operations. 1 to 1,000,000. When to change: raise it for documents far
    /// below 1 KB, where bulks end by count; lower it when one bulk takes the server longer than some seconds.
    std::size_t max_batch_operations = 1000;
    /// A bulk is flushed before it would grow beyond this many bytes (uncompressed, as Elasticsearch's and OpenSearch's
    /// `http.max_content_length` counts). An operation larger than this travels alone. 1 KiB to 1 GiB. When to change:
    /// seldom. Lower it when a proxy or the server answers 413 (it is learnt, at the price of a refused request); raise
    /// it when the round trip is long.
    std::size_t max_batch_bytes = std::size_t{5} << 20;
    /// A bulk is flushed at the latest this long after its first operation was enqueued. 1 ms to 1 h. When to change:
    /// lower it when documents must be searchable sooner (the index's `refresh_interval` comes on top); raise it when
    /// there are few documents, to send fewer requests.
    std::chrono::milliseconds flush_interval{1000};

    /// Bulk requests under way at once; fewer while the endpoint pushes back or fails (halved each time, and back up by
    /// one for each round of answers without trouble, down to `min_in_flight`). 1 to 1024. When to change: raise it
    /// when the server is idle, `pending` grows and health is `ok`. Lower it to
    /// leave the server room for searches.
    std::size_t max_in_flight = 4;
    /// To this `max_in_flight` may shrink while the endpoint pushes back. 1 to `max_in_flight`. When to change: raise
    /// it when a few refusals among many nodes slow everything down.
    std::size_t min_in_flight = 1;
    /// How long one bulk request may take in all. 1 ms to 1 h. When to change: raise it when ingest pipelines take
    /// long; lower it when a hung node is to be noticed sooner. After it an operation that cannot be repeated is
    /// `unknown`, so do not go near the server's own time.
    std::chrono::milliseconds request_timeout{60'000};

    /// The byte budget: the open batch, the sealed queue, requests in flight, retries, settlements not yet delivered
    /// and spare buffers, counted by capacity. At least 64 KiB. When to change: as long as an outage may last without a
    /// refusal, times your bytes a second; bounded by the memory you can spare. At least room for `max_in_flight` + 2
    /// full batches.
    std::size_t max_buffered_bytes = std::size_t{64} << 20;
    /// Operations accepted and not yet settled. At least 1. When to change: seldom: bytes are the better limit. Lower
    /// it to bound what is lost by a crash.
    std::size_t max_buffered_operations = 1'000'000;
    /// One operation as encoded may not be larger than this; also limited by `max_buffered_bytes`, all of which one may
    /// use up by default: others are then refused until it has settled. 64 B to 1 GiB. When to change: lower it where
    /// documents come from others, and to refuse those that your cluster would refuse anyway.
    std::size_t max_operation_bytes = std::size_t{64} << 20;
    /// How closely a document is looked at before it is accepted; what does not pass is `Admission::invalid`. `full`
    /// parses each document, which costs more than everything else together. A `Batch` checks the framing when it is
    /// filled, whatever is chosen here. When to change: `full` where documents come from others and one that is no JSON
    /// should be refused before it travels; `off` where they were checked before.
    Validation validate = Validation::framing;
    /// What `enqueue()` does when the budget is used up. When to change: `drop_oldest` where the newest data matter
    /// most (metrics), never where nothing may be lost. Not under `KafkaSource`.
    Overflow overflow = Overflow::refuse;

    /// What travels in the query of every request.
    RequestDefaults request{};
    /// When and how often refused operations are sent again.
    RetryOptions retry{};
    /// What becomes of an operation without id that was sent and never answered. When to change: `client_id` for an
    /// index of your own, where nothing may be missing or doubled; `allow` where a double does no harm.
    Duplicates duplicates = Duplicates::forbid;
    /// Says that the target takes no ids of its clients' making: time series data streams, OpenSearch's append-only
    /// indices, some serverless collections. It cannot be seen from here: such a target refuses a document with an id
    /// when it gets it, one by one. With this, `Duplicates::client_id` is refused at construction, where it would end
    /// in nothing but refusals. When to change: when you write to one of these: it turns a wrong `duplicates` into an
    /// error at construction.
    bool target_makes_ids = false;
    /// Whether an operation that grows older than `retry.max_age` goes to the dead-letter sink, where there is one,
    /// instead of settling as `undelivered` or `unknown`. What `Overflow::drop_oldest` drops is not handed to the sink,
    /// since it must give its room at once; its settlement `dropped` names the ticket. When to change: true where
    /// nothing may get lost and nobody else has the data.
    bool expired_to_sink = false;
    /// In which order operations on the same document reach it. When to change: `per_id` when you update or delete
    /// documents and the last one must win.
    Ordering ordering = Ordering::none;
    /// Looked at before the library's own table (`detail/judge/verdicts.hpp`); the first rule that fits decides. When
    /// to change: when your cluster, a plugin or a proxy answers an error of its own that should be retried, or thrown
    /// away.
    std::vector<VerdictRule> verdicts{};
    /// When refusals are no dead letters any more, but a reason to stop.
    FloodOptions flood{};
    /// Called with an `IndexerEvent` for an operator's log: a change of health, and what failed, ended or was refused,
    /// counted by class. Each class is reported at most once a second, so that an outage is a line a second and not a
    /// flood. Each failure, end and refusal is counted exactly once, the last of it before a close completes. A health
    /// that lasted less than that second is reported only by its failures. Runs on the indexer's strand, so its time
    /// delays the indexer: it must not block, and may call the indexer. An exception is swallowed. What it refers to
    /// must live until a close has completed or the context is gone. When to change: always in production; `to_text`
    /// makes a line of an event.
    std::function<void(const IndexerEvent&)> on_event{};
};

/// Limits to change while the indexer runs; what is absent stays as it is. See `BulkIndexer::change_limits`.
struct Limits {
    /// See `IndexerOptions::max_batch_operations`.
    std::optional<std::size_t> max_batch_operations{};
    /// See `IndexerOptions::max_batch_bytes`.
    std::optional<std::size_t> max_batch_bytes{};
    /// See `IndexerOptions::flush_interval`.
    std::optional<std::chrono::milliseconds> flush_interval{};
    /// See `IndexerOptions::max_in_flight`.
    std::optional<std::size_t> max_in_flight{};
    /// See `IndexerOptions::min_in_flight`.
    std::optional<std::size_t> min_in_flight{};
    /// See `IndexerOptions::max_buffered_bytes`.
    std::optional<std::size_t> max_buffered_bytes{};
    /// See `IndexerOptions::max_buffered_operations`.
    std::optional<std::size_t> max_buffered_operations{};

    /// All the limits of these options.
    [[nodiscard]] static Limits of(const IndexerOptions& o) {
        return {o.max_batch_operations, o.max_batch_bytes,    o.flush_interval,         o.max_in_flight,
                o.min_in_flight,        o.max_buffered_bytes, o.max_buffered_operations};
    }
    /// Puts what is given into `options`.
    void apply_to(IndexerOptions& options) const {
        const auto set = [](auto& option, const auto& value) {
            if (value) option = *value;
        };
        set(options.max_batch_operations, max_batch_operations);
        set(options.max_batch_bytes, max_batch_bytes);
        set(options.flush_interval, flush_interval);
        set(options.max_in_flight, max_in_flight);
        set(options.min_in_flight, min_in_flight);
        set(options.max_buffered_bytes, max_buffered_bytes);
        set(options.max_buffered_operations, max_buffered_operations);
    }
};

namespace detail {
template <class T>
std::optional<FieldError> out_of_range(const char* field, T value, T low, T high) {
    if (value >= low && value <= high) return std::nullopt;
    return FieldError{field, std::to_string(low) + " to " + std::to_string(high), std::to_string(value)};
}
inline std::optional<FieldError> out_of_range(const char* field, std::chrono::milliseconds value,
                                              std::chrono::milliseconds low, std::chrono::milliseconds high) {
    if (value >= low && value <= high) return std::nullopt;
    return FieldError{field, std::to_string(low.count()) + " ms to " + std::to_string(high.count()) + " ms",
                      std::to_string(value.count()) + " ms"};
}
} // namespace detail

/// The first option that is out of its range, if any. `BulkIndexer` throws it as `InvalidOption`.
[[nodiscard]] inline std::optional<FieldError> validate(const IndexerOptions& o) {
    using namespace std::chrono_literals;
    using detail::out_of_range;
    constexpr std::size_t gib = std::size_t{1} << 30;
    constexpr std::size_t any = static_cast<std::size_t>(-1);
    if (!o.index.empty())
        if (auto e = check_index_name(o.index)) return e;
    if (auto e = out_of_range<std::size_t>("max_batch_operations", o.max_batch_operations, 1, 1'000'000)) return e;
    if (auto e = out_of_range<std::size_t>("max_batch_bytes", o.max_batch_bytes, 1024, gib)) return e;
    if (auto e = out_of_range("flush_interval", o.flush_interval, 1ms, 1h)) return e;
    if (auto e = out_of_range<std::size_t>("max_in_flight", o.max_in_flight, 1, 1024)) return e;
    if (auto e = out_of_range<std::size_t>("min_in_flight", o.min_in_flight, 1, o.max_in_flight)) return e;
    if (auto e = out_of_range("request_timeout", o.request_timeout, 1ms, 1h)) return e;
    if (auto e = out_of_range<std::size_t>("max_buffered_bytes", o.max_buffered_bytes, 64 * 1024, any)) return e;
    if (auto e = out_of_range<std::size_t>("max_buffered_operations", o.max_buffered_operations, 1, any)) return e;
    if (auto e = out_of_range<std::size_t>("max_operation_bytes", o.max_operation_bytes, 64, gib)) return e;
    if (auto e = out_of_range<std::uint32_t>("retry.max_attempts", o.retry.max_attempts, 1, 1000)) return e;
    if (auto e = out_of_range("retry.min_retry_time", o.retry.min_retry_time, 0ms, 24h)) return e;
    if (auto e = out_of_range("retry.max_blocked", o.retry.max_blocked, 1ms, unlimited)) return e;
    if (auto e = out_of_range("retry.initial_backoff", o.retry.initial_backoff, 1ms, 1h)) return e;
    if (auto e = out_of_range("retry.max_backoff", o.retry.max_backoff, o.retry.initial_backoff, 24h)) return e;
    if (auto e = out_of_range("retry.max_age", o.retry.max_age, 1ms, unlimited)) return e;
    if (auto e = out_of_range<std::uint32_t>("retry.budget_percent", o.retry.budget_percent, 0, 10'000)) return e;
    if (auto e = out_of_range<std::uint32_t>("flood.percent", o.flood.percent, 0, 100)) return e;
    if (auto e = out_of_range<std::size_t>("flood.operations", o.flood.operations, 1, 1'000'000'000)) return e;
    for (const auto& rule : o.verdicts) {
        if (auto e = out_of_range<unsigned>("verdicts.first", rule.first, 300, 599)) return e;
        if (auto e = out_of_range<unsigned>("verdicts.last", rule.last, rule.first, 599)) return e;
    }
    if (o.target_makes_ids && o.duplicates == Duplicates::client_id)
        return FieldError{"duplicates", "anything but client_id beside target_makes_ids", "client_id"};
    const auto& refresh = o.request.refresh;
    if (!refresh.empty() && refresh != "true" && refresh != "false" && refresh != "wait_for")
        return FieldError{"request.refresh", "true, false, wait_for or empty", refresh};
    return std::nullopt;
}

} // namespace bulkhead::inline v1
