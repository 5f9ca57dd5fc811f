//! `tidegate correlate`: how a running gateway joined the requests of the last hour, and what would make it better.

use std::fmt::Write as _;

use stitch::correlation::{CauseReport, HopReport, Report, RouteReport};

use crate::client::Client;
use crate::table::{draw, one_line};

/// Routes of a hop that the table shows.
const MOST_ROUTES: usize = 20;
/// Where texts are wrapped.
const WIDTH: usize = 100;

/// Where to ask.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The gateway's front door.
    #[arg(long, default_value = crate::client::DEFAULT_URL)]
    url: String,
    /// Prints the answer of the API instead of tables.
    #[arg(long)]
    json: bool,
}

/// Prints the report.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    let answer = Client::new(&options.url)?.get("/api/v1/correlation").await?.ok()?;
    if options.json {
        crate::say(&answer.text());
        return Ok(());
    }
    let report: Report = answer.read()?;
    crate::say(text(&report).trim_end());
    Ok(())
}

fn text(report: &Report) -> String {
    let mut out = format!("requests of the last {} min, by how each hop is joined\n\n", report.seconds / 60);
    let routes = report.hops.iter().flat_map(|hop| &hop.routes);
    let mut tenants: Vec<&str> = routes.map(|route| route.tenant.as_str()).collect();
    tenants.sort_unstable();
    tenants.dedup();
    let has_tenants = tenants.len() > 1;
    let mut head = vec!["hop", "route", "requests", "exact", "by id", "guessed", "not joined"];
    let right = [&head[2..], &[]].concat();
    if has_tenants {
        head.insert(1, "tenant");
    }
    let rows = report.hops.iter().flat_map(|hop| rows(hop, has_tenants)).collect();
    out.push_str(&draw(&head, &right, rows));
    for hop in &report.hops {
        if let Some(silence) = &hop.silence {
            let _ = write!(out, "\n{}: ", hop.hop.as_str());
            wrap(&mut out, silence, 4, hop.hop.as_str().len() + 2);
        }
    }
    for hop in &report.hops {
        hop.causes.iter().for_each(|one| cause(&mut out, hop, one));
    }
    if report.hops.iter().any(|hop| hop.requests > 0) && report.hops.iter().all(|hop| hop.causes.is_empty()) {
        out.push_str("\nnothing is wrong with how requests are joined\n");
    }
    out
}

/// A hop as a whole, then its routes.
fn rows(hop: &HopReport, has_tenants: bool) -> Vec<Vec<String>> {
    let row = |first: &str, tenant: &str, route: &str, all: u64, parts: [u64; 4]| {
        let mut cells = vec![first.to_owned(), one_line(route), all.to_string()];
        if has_tenants {
            cells.insert(1, one_line(tenant));
        }
        cells.extend(parts.map(|part| share(part, all)));
        cells
    };
    let name = hop.hop.as_str();
    let all = row(name, "", "all", hop.requests, [hop.exact, hop.by_id, hop.guessed, hop.alone]);
    let mut rows = vec![all];
    let of_route = |route: &RouteReport| {
        let parts = [route.exact, route.by_id, route.guessed, route.alone];
        row("", &route.tenant, &route.route, route.requests, parts)
    };
    rows.extend(hop.routes.iter().take(MOST_ROUTES).map(of_route));
    let left_out = hop.routes.len().saturating_sub(MOST_ROUTES);
    if left_out > 0 {
        let rest = &hop.routes[MOST_ROUTES..];
        let sum = |of: fn(&RouteReport) -> u64| rest.iter().map(of).sum();
        let parts = [sum(|r| r.exact), sum(|r| r.by_id), sum(|r| r.guessed), sum(|r| r.alone)];
        rows.push(row("", "", &format!("({left_out} more)"), sum(|r| r.requests), parts));
    }
    rows
}

/// A part in percent; one that is not everything is never shown as such, nor one that is not nothing as nothing.
fn share(part: u64, all: u64) -> String {
    if part == 0 {
        return "-".to_owned();
    }
    if part == all {
        return "100 %".to_owned();
    }
    let percent = part as f64 * 100.0 / all as f64;
    format!("{:.1} %", percent.clamp(0.1, 99.9))
}

fn cause(out: &mut String, hop: &HopReport, cause: &CauseReport) {
    let name = serde_json::to_value(cause.cause).ok();
    let name = name.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().replace('_', " ");
    let _ = writeln!(
        out,
        "\n{}: {name}, {} of {} requests ({})",
        hop.hop.as_str(),
        cause.requests,
        hop.requests,
        share(cause.requests, hop.requests)
    );
    for (head, text) in [("seen    ", &cause.evidence), ("do      ", &cause.remedy)] {
        let _ = write!(out, "  {head}");
        wrap(out, text, 10, 10);
    }
    let routes: Vec<String> = cause.routes.iter().map(|route| one_line(route)).collect();
    let _ = writeln!(out, "  routes  {}", routes.join(", "));
    let _ = writeln!(out, "  look at {}", cause.examples.join(" "));
}

/// Writes words in lines, the first of which has begun at `column`, the others at `indent`.
fn wrap(out: &mut String, text: &str, indent: usize, mut column: usize) {
    for (at, word) in one_line(text).split_whitespace().enumerate() {
        let width = word.chars().count();
        if at > 0 && column + 1 + width > WIDTH {
            let _ = write!(out, "\n{:indent$}", "");
            column = indent;
        } else if at > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use stitch::correlation::{Cause, Hop};

    use super::*;

    fn hop(hop: Hop) -> HopReport {
        HopReport {
            hop,
            requests: 0,
            exact: 0,
            by_id: 0,
            guessed: 0,
            alone: 0,
            shares: None,
            last_came_seconds: None,
            silence: None,
            routes: Vec::new(),
            causes: Vec::new(),
        }
    }

    fn route(tenant: &str, name: &str) -> RouteReport {
        let (tenant, route) = (tenant.to_owned(), name.to_owned());
        RouteReport {
            tenant,
            route,
            requests: 1000,
            exact: 999,
            by_id: 0,
            guessed: 0,
            alone: 1,
            shares: None,
        }
    }

    fn kong(routes: Vec<RouteReport>) -> HopReport {
        let cause = CauseReport {
            cause: Cause::EdgeSilent,
            requests: 1,
            evidence: "it names a ray".into(),
            remedy: "word ".repeat(30),
            routes: vec!["a\u{1b}[2Jb".into()],
            examples: vec!["0af7".into()],
        };
        HopReport { requests: 1000, exact: 999, alone: 1, routes, causes: vec![cause], ..hop(Hop::Kong) }
    }

    #[test]
    fn a_report_shows_shares_silence_and_what_to_do() {
        let edge = HopReport { silence: Some("nothing has ever come: do this".into()), ..hop(Hop::Edge) };
        let report = Report { seconds: 3600, hops: vec![edge, kong(vec![route("default", "a\u{1b}[2Jb")])] };
        let expected = "\
requests of the last 60 min, by how each hop is joined

hop   route   requests   exact  by id  guessed  not joined
edge  all            0       -      -        -           -
kong  all         1000  99.9 %      -        -       0.1 %
      a [2Jb      1000  99.9 %      -        -       0.1 %

edge: nothing has ever come: do this

kong: edge silent, 1 of 1000 requests (0.1 %)
  seen    it names a ray
  do      word word word word word word word word word word word word word word word word word word
          word word word word word word word word word word word word
  routes  a [2Jb
  look at 0af7
";
        assert_eq!(text(&report), expected);
    }

    #[test]
    fn tenants_are_shown_where_there_are_several_and_the_rest_of_many_routes_is_summed() {
        let mut routes: Vec<RouteReport> =
            (0..22).map(|number| route("one", &format!("r{number}"))).collect();
        routes.push(route("two", "last"));
        let shown = text(&Report { seconds: 3600, hops: vec![kong(routes)] });
        assert!(shown.contains("hop   tenant  route"), "{shown}");
        assert!(shown.contains("(3 more)      3000"), "{shown}");
        assert!(!shown.contains("r20"), "{shown}");
    }

    #[test]
    fn what_is_not_everything_is_not_shown_as_such() {
        for (part, all, expected) in [
            (0, 7, "-"),
            (7, 7, "100 %"),
            (1, 100_000, "0.1 %"),
            (99_999, 100_000, "99.9 %"),
            (1, 4, "25.0 %"),
        ] {
            assert_eq!(share(part, all), expected);
        }
    }
}
