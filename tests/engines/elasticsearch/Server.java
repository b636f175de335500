// SPDX-License-Identifier: BSL-1.0
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/** One Elasticsearch node on loopback: `Server HOME NAME=VALUE...`, the values being node settings. Ends at SIGTERM. */
public final class Server {
    private Server() {}

    public static void main(String[] arguments) throws Exception {
        Path home = Path.of(arguments[0]).toAbsolutePath();
        Path config = Files.createDirectories(home.resolve("config"));
        Files.createDirectories(home.resolve("plugins"));
        Settings.Builder settings = Settings.builder();
        settings.put("path.home", home.toString()).put("path.data", home.resolve("data").toString());
        settings.put("path.logs", home.resolve("logs").toString());
        settings.put("discovery.type", "single-node").put("network.host", "127.0.0.1");
        settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
        for (int i = 1; i < arguments.length; ++i) {
            int equals = arguments[i].indexOf('=');
            settings.put(arguments[i].substring(0, equals), arguments[i].substring(equals + 1));
        }
        LogConfigurator.configureESLogging();
        var environment = InternalSettingsPreparer.prepareEnvironment(settings.build(), Map.of(), config, () -> "bulkhead");
        var modules = PluginsLoader.loadModulesBundles(home.resolve("modules"));
        // Without the last `false` it wants the server to be a named Java module, which a class path is not.
        Node node = new Node(environment, PluginsLoader.createPluginsLoader(modules, Set.of(), Map.of(), false));
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
