//! Which field of the Elastic Common Schema an attribute of OpenTelemetry's semantic conventions is.

/// Attributes whose name the schema spells otherwise.
const RENAMED: &[(&str, &str)] = &[
    ("cloud.platform", "cloud.service.name"),
    ("container.image.tags", "container.image.tag"),
    ("deployment.environment", "service.environment"),
    ("deployment.environment.name", "service.environment"),
    ("enduser.id", "user.id"),
    ("exception.message", "error.message"),
    ("exception.stacktrace", "error.stack_trace"),
    ("exception.type", "error.type"),
    ("faas.instance", "faas.id"),
    ("faas.trigger", "faas.trigger.type"),
    ("host.arch", "host.architecture"),
    ("http.request.size", "http.request.bytes"),
    ("http.request.body.size", "http.request.body.bytes"),
    ("http.response.size", "http.response.bytes"),
    ("http.response.body.size", "http.response.body.bytes"),
    ("k8s.cluster.name", "orchestrator.cluster.name"),
    ("k8s.container.name", "kubernetes.container.name"),
    ("k8s.cronjob.name", "kubernetes.cronjob.name"),
    ("k8s.daemonset.name", "kubernetes.daemonset.name"),
    ("k8s.deployment.name", "kubernetes.deployment.name"),
    ("k8s.job.name", "kubernetes.job.name"),
    ("k8s.namespace.name", "kubernetes.namespace"),
    ("k8s.node.name", "kubernetes.node.name"),
    ("k8s.pod.name", "kubernetes.pod.name"),
    ("k8s.pod.uid", "kubernetes.pod.uid"),
    ("k8s.replicaset.name", "kubernetes.replicaset.name"),
    ("k8s.statefulset.name", "kubernetes.statefulset.name"),
    ("network.protocol.name", "network.protocol"),
    ("network.protocol.version", "http.version"),
    ("os.description", "host.os.full"),
    ("os.name", "host.os.name"),
    ("os.type", "host.os.platform"),
    ("os.version", "host.os.version"),
    ("process.executable.path", "process.executable"),
    ("process.runtime.name", "service.runtime.name"),
    ("process.runtime.version", "service.runtime.version"),
    ("service.instance.id", "service.node.name"),
    ("telemetry.sdk.language", "service.language.name"),
    ("thread.id", "process.thread.id"),
    ("thread.name", "process.thread.name"),
];

/// The schema's field sets that attributes may go to under their own names, and the gateway's own.
const ROOTS: &[&str] = &[
    "client",
    "cloud",
    "cloudflare",
    "container",
    "destination",
    "device",
    "dns",
    "error",
    "event",
    "faas",
    "file",
    "geo",
    "group",
    "host",
    "http",
    "kong",
    "kubernetes",
    "log",
    "network",
    "observer",
    "openfaas",
    "orchestrator",
    "organization",
    "process",
    "server",
    "service",
    "source",
    "tidegate",
    "tls",
    "url",
    "user",
    "user_agent",
];

/// The field for the attribute `key`; `None` when it is a label.
pub(super) fn field(key: &str) -> Option<&str> {
    if let Some((_, name)) = RENAMED.iter().find(|(from, _)| *from == key) {
        return Some(name);
    }
    let (root, _) = key.split_once('.')?;
    ROOTS.contains(&root).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_has_the_schemas_name_its_own_or_is_a_label() {
        for (key, expected) in [
            ("service.name", Some("service.name")),
            ("service.instance.id", Some("service.node.name")),
            ("http.request.size", Some("http.request.bytes")),
            ("cloudflare.ray_id", Some("cloudflare.ray_id")),
            ("kong.latency.request", Some("kong.latency.request")),
            ("k8s.pod.name", Some("kubernetes.pod.name")),
            ("k8s.pod.label.app", None),
            ("source", None),
            ("message", None),
            ("@timestamp", None),
            ("trace.id", None),
            ("labels.a", None),
            ("", None),
        ] {
            assert_eq!(field(key), expected, "{key}");
        }
    }
}
