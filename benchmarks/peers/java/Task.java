// SPDX-License-Identifier: BSL-1.0

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Consumer;

/** What a peer is asked to do by its command line and environment; the documents, the clock, and the report. */
final class Task {
    final int port;
    final long count;
    final long batchBytes = number("BATCH_BYTES", 5 << 20);
    /** 0: as many as the client takes by itself. */
    final int workers = (int) number("WORKERS", 0);
    final boolean gzip = number("GZIP", 0) == 1;
    final LongAdder indexed = new LongAdder();
    final LongAdder failed = new LongAdder();

    private final boolean timed = number("LAT", 0) == 1;
    private final List<byte[]> documents = new ArrayList<>();
    private final Histogram times = new Histogram();
    private long began;
    private long cpuBefore;

    Task(String[] arguments) throws IOException {
        if (arguments.length != 3) throw new IllegalArgumentException("usage: PORT DOCUMENTS DOCUMENT_BYTES");
        port = Integer.parseInt(arguments[0]);
        count = Long.parseLong(arguments[1]);
        final String file = System.getenv("DOCS_FILE");
        final List<String> lines = file == null
            ? List.of("{\"m\":\"" + "x".repeat(Integer.parseInt(arguments[2]) - 8) + "\"}")
            : Files.readAllLines(Path.of(file));
        for (final String line : lines) documents.add(line.getBytes(StandardCharsets.UTF_8));
    }

    private static long number(String name, long otherwise) {
        final String text = System.getenv(name);
        return text == null || text.isEmpty() ? otherwise : Long.parseLong(text);
    }

    private static long cpuNanoseconds() {
        final var system = ManagementFactory.getOperatingSystemMXBean();
        return ((com.sun.management.OperatingSystemMXBean) system).getProcessCpuTime();
    }

    private static String peakMemory() throws IOException {
        for (final String line : Files.readAllLines(Path.of("/proc/self/status")))
            if (line.startsWith("VmHWM:")) return line.replaceAll("[^0-9]", "");
        return "0";
    }

    /** Hands every document to {@code add}, and starts the clock. */
    void send(Consumer<byte[]> add) {
        cpuBefore = cpuNanoseconds();
        began = System.nanoTime();
        long last = began;
        for (long i = 0; i < count; ++i) {
            add.accept(documents.get((int) (i % documents.size())));
            if (!timed) continue;
            final long now = System.nanoTime();
            times.add(now - last);
            last = now;
        }
    }

    /** Stops the clock, prints the report, and ends: some clients leave threads behind. */
    void report(String peer) throws IOException {
        final double wall = (System.nanoTime() - began) / 1e9;
        final double cpu = (cpuNanoseconds() - cpuBefore) / 1e9;
        System.out.printf(Locale.ROOT,
            "{\"peer\":\"%s\",\"docs\":%d,\"wall_s\":%.3f,\"cpu_s\":%.3f,\"rss_kb\":%s,"
                + "\"indexed\":%d,\"failed\":%d%s}%n",
            peer, count, wall, cpu, peakMemory(), indexed.sum(), failed.sum(), timed ? times.asMember() : "");
        System.exit(0);
    }

    /** Counts durations in nanoseconds, in buckets some 6 % wide. */
    private static final class Histogram {
        private static final int PER_DOUBLING = 16;
        private final long[] buckets = new long[1024];
        private long all;
        private long longest;

        void add(long duration) {
            int bucket = (int) duration;
            if (duration >= PER_DOUBLING) {
                final int shift = 59 - Long.numberOfLeadingZeros(duration);
                bucket = shift * PER_DOUBLING + (int) (duration >> shift);
            }
            ++buckets[bucket];
            ++all;
            longest = Math.max(longest, duration);
        }

        double microseconds(double share) {
            long left = (long) (share * all);
            for (int bucket = 0; bucket < buckets.length; ++bucket) {
                left -= buckets[bucket];
                if (left >= 0) continue;
                if (bucket < 2 * PER_DOUBLING) return bucket / 1e3;
                final int shift = bucket / PER_DOUBLING - 1;
                return ((long) (bucket % PER_DOUBLING + PER_DOUBLING + 1) << shift) / 1e3;
            }
            return longest / 1e3;
        }

        String asMember() {
            return String.format(Locale.ROOT, ",\"add_us\":{\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.1f}",
                microseconds(0.5), microseconds(0.99), microseconds(0.999), longest / 1e3);
        }
    }
}
