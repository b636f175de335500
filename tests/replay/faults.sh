#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Bad input and faults: kafka_replay says in one clear line what is wrong and where, with exit status 2 for wrong usage
# and 1 for everything else. Argument: the path of kafka_replay.
set -uo pipefail

replay=${1:?usage: faults.sh PATH_OF_KAFKA_REPLAY}
work=$(mktemp -d)
failures=0
demo=""
trap 'if [[ -n $demo ]]; then kill "$demo" 2>/dev/null; fi; rm -rf "$work"' EXIT

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    failures=$((failures + 1))
}

# expect STATUS TEXT ARGUMENTS...: the last line on standard error is kafka_replay's own, and says TEXT.
expect() {
    local status=$1 text=$2 found line
    shift 2
    timeout 60 "$replay" "$@" >"$work/out" 2>"$work/err"
    found=$?
    line=$(tail -n 1 "$work/err")
    if [[ $found -ne $status ]]; then fail "$*: exit status $found, expected $status: $line"; fi
    if [[ $line != "kafka_replay: "*"$text"* ]]; then fail "$*: said '$line', expected '$text'"; fi
    if [[ -s $work/out ]]; then fail "$*: wrote to standard output"; fi
    printf '%s\n' "$line"
}

# Wrong usage: nothing is started at all.
expect 2 "--bogus" --bogus
expect 2 "--batch-size" --batch-size many
expect 2 "--batch-size: expected 1 to 1000000, found 0" --batch-size 0
expect 2 "--concurrency: expected 1 to 1024, found 9999" --concurrency 9999
expect 2 "--format" --format xml
expect 2 "--url: expected http[s]://HOST[:PORT][/PATH], found 127.0.0.1:9200" --url 127.0.0.1:9200
expect 2 "--url: expected" --url http://127.0.0.1:99999
expect 2 "--topic: expected" --topic 'no such/topic'
expect 2 "--input" --input file --brokers 127.0.0.1:9092 --url embedded
expect 2 "librdkafka does not know the property no.such.setting" --messages 10 -X no.such.setting=1 # [F273]
expect 2 "librdkafka does not take this value for fetch.min.bytes" --messages 10 -X fetch.min.bytes=many # [F273]
expect 2 "enable.auto.commit" --messages 10 -X enable.auto.commit=false
BULK_BATCH_SIZE=lots expect 2 "BULK_BATCH_SIZE"

expect 2 "--from: expected stored, beginning" --brokers 127.0.0.1:1 --url embedded --from yesterday
expect 2 "--from" --from beginning
expect 2 "--dry-run" --dry-run
expect 2 "--dead-letter-topic" --on-invalid dead_letter
expect 2 "--dead-letter-topic" --dead-letter-topic apm.logs

# Both addresses or neither, by option or by variable; the embedded halves by name. [F265][F266]
expect 2 "--url (or ELASTICSEARCH_URL): expected beside --brokers" --brokers 127.0.0.1:1 --group g2 --until-end
expect 2 "--brokers (or KAFKA_BROKERS): expected beside --url" --url http://127.0.0.1:1
KAFKA_BROKERS=127.0.0.1:1 expect 2 "--url (or ELASTICSEARCH_URL): expected beside --brokers" --quiet
ELASTICSEARCH_URL=http://127.0.0.1:1 expect 2 "--brokers (or KAFKA_BROKERS): expected beside --url"
KAFKA_BROKER=prod:9092 expect 2 "KAFKA_BROKER is set, but KAFKA_BROKERS is what is read" --url http://127.0.0.1:1
ELASTIC_URL=http://prod:9200 expect 2 "ELASTIC_URL is set, but ELASTICSEARCH_URL is what is read" --brokers 127.0.0.1:1
KAFKA_BROKER=prod:9092 ELASTIC_URL=http://prod:9200 expect 2 "--brokers and --url: expected both"
KAFKA_BROKERS="" expect 2 "KAFKA_BROKERS: expected an address" --url http://127.0.0.1:1
expect 2 "--brokers: expected an address or 'embedded', found nothing" --brokers "" --url ""

# Nobody there.
expect 4 "search server 127.0.0.1:1: cannot be reached: Connection refused" --messages 10 --brokers embedded --url http://127.0.0.1:1
expect 3 "no Kafka broker can be reached at 127.0.0.1:1" --brokers 127.0.0.1:1 --url embedded --exit-at-end

# A report that cannot be written is found out before anything is started. [F274]
expect 1 "--report /nowhere/report: No such file or directory" --messages 10 --report /nowhere/report
expect 1 "--report $work: Is a directory" --messages 10 --report "$work"

# Files that are not what they should be.
expect 1 "--dead-letter-file: /nowhere/dead: No such file" --messages 10 --dead-letter-file /nowhere/dead
expect 1 "/nowhere/events.ndjson: No such file" --input /nowhere/events.ndjson
printf '\n\nDear diary,\n' >"$work/diary"
expect 1 "$work/diary:3: neither an NDJSON event nor an access-log line" --input "$work/diary"
: >"$work/empty"
expect 1 "$work/empty: empty" --input "$work/empty"
for ((i = 0; i < 2000; i++)); do printf '{"service_name":"s","message":"%s"}\n' "$RANDOM$RANDOM"; done | gzip >"$work/whole.gz"
head -c 5000 "$work/whole.gz" >"$work/damaged.gz"
expect 1 "$work/damaged.gz: damaged gzip data" --input "$work/damaged.gz"

# Secrets stay secret, wherever something is written, when all goes well and when it does not.
for more in "" "-X sasl.password.typo=hunter2" "-X sasl.pasword=hunter2" "-X ssl.key.passphrase=hunter2" "-X no.such=hunter2" \
    "-X ssl.key.pem=hunter2 -X security.protocol=ssl"; do
    # shellcheck disable=SC2086 # words
    timeout 60 "$replay" --messages 100 -X sasl.username=hunter2 -X sasl.password=hunter2 -X ssl.key.password=hunter2 $more \
        --report "$work/report" >"$work/out" 2>"$work/err"
    found=$?
    if [[ -z $more && $found -ne 0 ]]; then fail "secrets: exit status $found: $(tail -n 1 "$work/err")"; fi
    if [[ -z $more && ! -s $work/report ]]; then fail "secrets: no report"; fi
    if [[ -n $more && $found -eq 0 ]]; then fail "secrets: $more is accepted"; fi
    if grep -q hunter2 "$work/out" "$work/err" "$work/report"; then fail "secrets: $(grep -h hunter2 "$work/out" "$work/err" "$work/report")"; fi
done
printf 'no secret is written anywhere\n'

# A full disk.
if [[ -w /dev/full ]]; then
    timeout 60 "$replay" --messages 1000 --quiet >/dev/full 2>"$work/err"
    found=$?
    line=$(tail -n 1 "$work/err")
    if [[ $found -ne 1 || $line != *"standard output: No space left on device" ]]; then fail "full disk: $found: $line"; fi
    if ! grep -q '"consumed":1000' "$work/err"; then fail "full disk: the summary is lost"; fi
    printf '%s\n' "$line"
fi

# A demonstration in the background lends its broker and its server's port, then Ctrl-C ends it.
# One document a request: slow enough to be interrupted in the middle.
"$replay" --messages 500000 --batch-size 1 --max-buffered-items 2 --flush-interval-ms 1 >"$work/demo.out" 2>"$work/demo.err" &
demo=$!
for ((i = 0; i < 300; i++)); do
    if grep -q "joining consumer group" "$work/demo.err"; then break; fi
    sleep 0.1
done
broker=$(sed -n 's/.*joining consumer group .* at \([0-9.:]*\).*/\1/p' "$work/demo.err" | head -n 1)
port=$(sed -n 's|.*search server: http://[^:]*:\([0-9]*\).*|\1|p' "$work/demo.err" | head -n 1)
if [[ -z $broker || -z $port ]]; then
    fail "the demonstration did not start: $(cat "$work/demo.err")"
else
    expect 3 "topic apm.nonsense does not exist at $broker" --brokers "$broker" --url embedded --topic apm.nonsense --exit-at-end
    expect 1 "$port" --messages 10 --server-port "$port"
fi
for ((i = 0; i < 300; i++)); do
    if grep -q "consumed [1-9]" "$work/demo.err"; then break; fi
    sleep 0.1
done
kill -USR1 "$demo" 2>/dev/null
for ((i = 0; i < 300; i++)); do
    if grep -q "buffer: .* health " "$work/demo.err"; then break; fi
    sleep 0.1
done
if ! grep -Eq "apm.logs-[0-9]+: next [0-9]+, watermark [0-9]+, stored [0-9-]+, end [0-9]+, lag [0-9]+, span [0-9]+" "$work/demo.err"; then
    fail "SIGUSR1: $(tail -n 5 "$work/demo.err")"
fi
kill -INT "$demo" 2>/dev/null
wait "$demo"
found=$?
demo=""
if [[ $found -ne 0 ]]; then fail "interrupted demonstration: exit status $found: $(tail -n 1 "$work/demo.err")"; fi
if ! grep -q "interrupted: draining, at most 30 s" "$work/demo.err"; then fail "Ctrl-C: draining is not announced"; fi
if ! grep -q "interrupted: everything under way is settled" "$work/demo.err"; then fail "Ctrl-C: no word on the end"; fi
if ! grep -q "consumed  *[1-9]" "$work/demo.out" || ! grep -q "pending  *0 " "$work/demo.out"; then fail "Ctrl-C: $(cat "$work/demo.out")"; fi

if [[ $failures -gt 0 ]]; then
    printf '%s checks failed\n' "$failures" >&2
    exit 1
fi
echo "all faults are reported as they should be"
