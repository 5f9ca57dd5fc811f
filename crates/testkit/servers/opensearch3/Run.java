import static org.codelibs.opensearch.runner.OpenSearchRunner.newConfigs;

import org.codelibs.opensearch.runner.OpenSearchRunner;

/** One OpenSearch 3 node. Arguments: base folder, HTTP port, transport port, then any KEY=VALUE settings. Runs until it is ended. */
public class Run {
  /** The runner's modules without the common analysis: its Thai analyzer needs a break iterator that this Java lacks. */
  private static final String MODULES =
      "org.opensearch.cache.common.tier.TieredSpilloverCachePlugin,"
      + "org.opensearch.dashboards.OpenSearchDashboardsModulePlugin,"
      + "org.opensearch.geo.GeoModulePlugin,"
      + "org.opensearch.index.mapper.MapperExtrasModulePlugin,"
      + "org.opensearch.index.rankeval.RankEvalModulePlugin,"
      + "org.opensearch.index.reindex.ReindexModulePlugin,"
      + "org.opensearch.ingest.common.IngestCommonModulePlugin,"
      + "org.opensearch.ingest.useragent.IngestUserAgentModulePlugin,"
      + "org.opensearch.join.ParentJoinModulePlugin,"
      + "org.opensearch.painless.PainlessModulePlugin,"
      + "org.opensearch.percolator.PercolatorModulePlugin,"
      + "org.opensearch.plugin.repository.url.URLRepositoryModulePlugin,"
      + "org.opensearch.script.expression.ExpressionModulePlugin,"
      + "org.opensearch.script.mustache.MustacheModulePlugin,"
      + "org.opensearch.search.aggregations.matrix.MatrixAggregationModulePlugin,"
      + "org.opensearch.search.pipeline.common.SearchPipelineCommonModulePlugin,"
      + "org.opensearch.systemd.SystemdModulePlugin,"
      + "org.opensearch.transport.Netty4ModulePlugin";

  public static void main(String[] args) throws Exception {
    OpenSearchRunner runner = new OpenSearchRunner();
    runner.onBuild((number, settings) -> {
      settings.put("http.host", "127.0.0.1");
      settings.put("http.port", args[1]);
      settings.put("transport.host", "127.0.0.1");
      settings.put("transport.port", args[2]);
      settings.put("discovery.type", "single-node");
      // The runner's own list of roles leaves out "ingest".
      settings.putList("node.roles", "cluster_manager", "data", "ingest");
      settings.put("action.auto_create_index", true);
      settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
      for (int i = 3; i < args.length; i++) {
        String[] pair = args[i].split("=", 2);
        settings.put(pair[0], pair[1]);
      }
    });
    runner.build(newConfigs().basePath(args[0]).clusterName("tidegate").numOfNode(1).moduleTypes(MODULES));
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      try {
        runner.close();
      } catch (Exception e) {
        e.printStackTrace();
      }
    }));
    Thread.currentThread().join();
  }
}
