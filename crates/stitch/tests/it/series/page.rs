//! The table of metrics in the reference, written from the rows.

use std::fmt::Write as _;
use std::path::Path;

use tidegate_stitch::series::metric::{Kind, ROWS};

const MARK: &str = "<!-- This table is written by `cargo test -p tidegate-stitch page`. -->\n";

fn table() -> String {
    let mut table = String::from("\n| metric | type | labels | what it counts |\n|---|---|---|---|\n");
    for row in ROWS {
        let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = match row.kind {
            Kind::Counter => "counter",
            Kind::Histogram { .. } => "histogram",
        };
        writeln!(table, "| `{}` | {kind} | {} | {} |", row.name, labels.join(", "), row.help).unwrap();
    }
    table.push_str("\n| histogram | buckets |\n|---|---|\n");
    for row in ROWS {
        if let Kind::Histogram { per_unit, bounds } = row.kind {
            let bounds: Vec<String> =
                bounds.iter().map(|bound| (*bound as f64 / per_unit as f64).to_string()).collect();
            writeln!(table, "| `{}` | {} |", row.name, bounds.join(" ")).unwrap();
        }
    }
    table
}

#[test]
fn the_reference_page_lists_every_metric_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/derived-metrics.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (prose, old) = page.split_once(MARK).expect("the page has its mark");
    let table = table();
    if old != table {
        std::fs::write(&path, [prose, MARK, &table].concat()).unwrap();
        panic!("{} was out of date and is written anew; commit it", path.display());
    }
}
