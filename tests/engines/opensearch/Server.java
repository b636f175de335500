// SPDX-License-Identifier: BSL-1.0
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.opensearch.Version;
import org.opensearch.common.settings.Settings;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.PluginInfo;

/** One OpenSearch node on loopback: `Server HOME NAME=VALUE...`, the values being node settings. Ends at SIGTERM. */
public final class Server extends Node {
    // The constructor takes the plugins as classes in 2.x and as descriptions in 3.x: raw types fit both.
    @SuppressWarnings({"unchecked", "rawtypes"})
    private Server(Settings settings, Path config, Collection plugins) {
        super(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), config, () -> "bulkhead"), plugins, false);
    }

    private static Object transport() throws ClassNotFoundException {
        if (Version.CURRENT.major < 3) return Class.forName("org.opensearch.transport.Netty4Plugin");
        String name = "org.opensearch.transport.Netty4ModulePlugin";
        return new PluginInfo(name, "transport", "NA", Version.CURRENT, "21", name, null, List.of(), false);
    }

    public static void main(String[] arguments) throws Exception {
        Path home = Path.of(arguments[0]).toAbsolutePath();
        Path config = Files.createDirectories(home.resolve("config"));
        Settings.Builder settings = Settings.builder();
        settings.put("path.home", home).put("path.data", home.resolve("data")).put("path.logs", home.resolve("logs"));
        settings.put("discovery.type", "single-node").put("network.host", "127.0.0.1");
        settings.put("transport.type", "netty4").put("http.type", "netty4");
        settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
        for (int i = 1; i < arguments.length; ++i) {
            int equals = arguments[i].indexOf('=');
            settings.put(arguments[i].substring(0, equals), arguments[i].substring(equals + 1));
        }
        Node node = new Server(settings.build(), config, List.of(transport()));
        CountDownLatch ended = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try (node) {
                ended.countDown();
            } catch (Exception error) {
                error.printStackTrace();
            }
        }));
        node.start();
        ended.await();
    }
}
