//! What is printed at start: one line per endpoint with its full URL, where data is kept, how much it may take.

use std::net::SocketAddr;
use std::path::Path;

use pipeline::settings::Size;

/// What the banner tells.
pub(crate) struct Facts<'a> {
    /// The addresses that are listened on.
    pub(crate) addresses: &'a [SocketAddr],
    /// Paths and what they are for.
    pub(crate) endpoints: Vec<(&'static str, String)>,
    /// The data folder.
    pub(crate) data: &'a Path,
    /// The most bytes of the journal.
    pub(crate) journal_bytes: u64,
    /// Bytes of memory for data on its way.
    pub(crate) memory: u64,
    /// The sinks: name and type.
    pub(crate) sinks: Vec<(String, &'static str)>,
}

/// The banner's text.
pub(crate) fn text(facts: &Facts<'_>) -> String {
    let mut lines = vec![format!("tidegate {} takes", env!("CARGO_PKG_VERSION"))];
    let front = facts.addresses.first().map(ToString::to_string).unwrap_or_default();
    let wide = facts.endpoints.iter().map(|(what, _)| what.chars().count()).max().unwrap_or(0);
    for (what, path) in &facts.endpoints {
        let pad = " ".repeat(wide - what.chars().count());
        lines.push(format!("  {what}{pad}  http://{front}{path}"));
    }
    for address in facts.addresses.iter().skip(1) {
        lines.push(format!("  the same, gRPC included, on http://{address}"));
    }
    lines.push(format!(
        "keeps its data in {}: journal up to {}, memory up to {}",
        facts.data.display(),
        Size(facts.journal_bytes),
        Size(facts.memory)
    ));
    let sinks: Vec<String> = facts
        .sinks
        .iter()
        .map(|(name, kind)| if name == kind { name.clone() } else { format!("{name} ({kind})") })
        .collect();
    lines.push(format!("delivers to {}", sinks.join(", ")));
    lines.push(format!(
        "try: tidegate demo    metrics: http://{front}/metrics    books: http://{front}/api/v1/ledger"
    ));
    lines.join("\n")
}
