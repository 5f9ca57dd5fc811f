//! The generated pages: one for the settings, one for each receiver and sink, and the schema for editors. Made from the types
//! and rows, so that a component cannot be without its page and its example.

use std::fmt::Write as _;

use pipeline::rules::settings::{ConditionSettings, RedactSettings};
use schemars::schema_for;
use serde_json::{Map, Value, json};

use crate::schema;
use crate::settings::{CourierSettings, Settings};

/// Every generated file's text, by its path in the repository.
pub(crate) fn pages() -> Value {
    let mut pages = Map::new();
    let mut put = |path: String, text: String| {
        pages.insert(path, json!(text.trim_end().to_owned() + "\n"));
    };
    put("docs/reference/settings.md".into(), settings());
    for row in schema::receiver_rows() {
        let paths: Vec<String> = row.paths.iter().map(|path| format!("`{path}`")).collect();
        let table = config::page(&Value::from((row.schema)()));
        put(
            format!("docs/reference/receivers/{}.md", row.name),
            format!(
                "# Receiver `{}`\n\n{}\n\nServed on the front door at {}. On unless `enabled: false`.\n\n{table}\n## Example\n\n```yaml\nreceivers:\n{}```\n",
                row.name,
                row.summary,
                paths.join(", "),
                indented(row.example, 2),
            ),
        );
    }
    for row in schema::sink_rows() {
        let table = config::page(&Value::from((row.schema)()));
        put(
            format!("docs/reference/sinks/{}.md", row.name),
            format!(
                "# Sink `{}`\n\n{}\n\nBeside these settings every sink takes those of its [courier](../settings.md#every-sink).\n\n{table}\n## Example\n\n```yaml\nsinks:\n{}```\n\n{}\n",
                row.name,
                row.summary,
                indented(row.example, 2),
                row.page.trim(),
            ),
        );
    }
    let schema =
        serde_json::to_string_pretty(&schema::document()).expect("a value of text keys can be written");
    put("config/schema.json".into(), schema);
    Value::Object(pages)
}

fn settings() -> String {
    let mut out = String::from(
        "# Settings\n\nA configuration is YAML. Unknown settings are errors. Durations and sizes carry units (`30s`, `64MiB`). In text, `${VAR}` is an \
         environment variable, `${file:PATH}` the content of a file, `$$` a dollar sign. `tidegate check FILE` names every problem.\n\n",
    );
    let mut section = |title: &str, text: &str, schema: &Value| {
        let _ = write!(out, "## {title}\n\n{text}\n\n{}\n", config::page(schema));
    };
    section("General", "At the top of the file.", &Value::from(schema_for!(Settings)));
    section(
        "front_door",
        "Where to listen and whom to let in.",
        &Value::from(schema_for!(receivers::Settings)),
    );
    section(
        "Every sink",
        "Beside `type` and its type's own settings each sink takes these; they are its courier's.",
        &Value::from(schema_for!(CourierSettings)),
    );
    section(
        "Conditions",
        "The entries of `rules.keep` and `rules.drop` of a sink, and of `any`, `all` and `none` in them: one subject with its tests, or one group. \
         [The guide](../guides/rules.md) has examples.",
        &Value::from(schema_for!(ConditionSettings)),
    );
    section(
        "Redactions",
        "The entries of `rules.redact` of a sink: one of `preset`, `attribute` and `pattern`.",
        &Value::from(schema_for!(RedactSettings)),
    );
    out.push_str("## Receivers\n\n");
    for row in schema::receiver_rows() {
        let _ = writeln!(out, "- [`{0}`](receivers/{0}.md): {1}", row.name, row.summary);
    }
    out.push_str("\n## Sinks\n\n");
    for row in schema::sink_rows() {
        let _ = writeln!(out, "- [`{0}`](sinks/{0}.md): {1}", row.name, row.summary);
    }
    out
}

fn indented(text: &str, by: usize) -> String {
    text.lines()
        .map(|line| if line.is_empty() { "\n".into() } else { format!("{:by$}{line}\n", "") })
        .collect()
}
