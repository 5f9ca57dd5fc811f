use proptest::prelude::*;

use super::*;
use crate::fixture::checkout;

#[test]
fn queries_pass_the_spans_that_they_describe() {
    for (text, expected) in [
        ("{}", true),
        (" { } ", true),
        ("{ true }", true),
        ("{ false }", false),
        ("{ resource.service.name = \"checkout\" }", true),
        ("{resource.service.name=\"checkout\"&&name=\"POST /pay\"&&status=error&&duration>10ms}", true),
        ("{ resource.service.name = \"cart\" }", false),
        ("{ resource.service.name != \"cart\" }", true),
        ("{ resource.service.name =~ \"cart|checkout\" }", true),
        ("{ resource.service.name =~ \"check\" }", false),
        ("{ resource.service.name !~ \"check\" }", true),
        ("{ name =~ `POST /\\w+` }", true),
        ("{ name = \"POST /pay\" || status = ok }", true),
        ("{ status = ok || (kind = server && duration <= 15ms) }", true),
        ("{ status = ok || kind = server && duration > 15ms }", false),
        ("{ status != error }", false),
        ("{ statusMessage = \"card declined\" }", true),
        ("{ span:status = error && span:name = \"POST /pay\" }", true),
        ("{ duration >= 0.015s && duration < 1m }", true),
        ("{ span.http.response.status_code = 502 }", true),
        ("{ span.http.response.status_code >= 500 }", true),
        ("{ span.http.response.status_code = \"502\" }", true),
        ("{ span.http.response.status_code > 502 }", false),
        ("{ span.text > 1 }", false),
        ("{ span.text != 1 }", false),
        ("{ span.\"a b\" = 1 }", true),
        ("{ .k8s.namespace.name = \"shop\" }", true),
        ("{ span.k8s.namespace.name = \"shop\" }", false),
        ("{ .both = \"own\" }", true),
        ("{ .both = \"above\" }", false),
        ("{ .flag }", true),
        ("{ span.flag = true && span.flag != false }", true),
        ("{ span.nope != \"x\" }", false),
        ("{ span.nope = nil && .nope = nil && span.flag != nil }", true),
        ("{ .both = nil }", false),
        ("{ .k8s.namespace.name = nil }", false),
        ("{ status = error } | select(span.flag, resource.service.name)", true),
    ] {
        let query = query(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(query.filter.passes(&checkout()), expected, "{text}");
    }
}

#[test]
fn what_is_not_supported_is_named() {
    for (text, named) in [
        ("", "expected {"),
        ("status = error", "expected {, not \"status\""),
        ("{", "the end at byte 1"),
        ("{ status = error", "expected }"),
        ("{ status error }", "\"error\" at byte 9"),
        ("{ status = 5 }", "\"5\""),
        ("{ status = weird }", "\"weird\""),
        ("{ duration > 10 }", "10ms"),
        ("{ duration = \"10ms\" }", "10ms"),
        ("{ duration = nil }", "10ms"),
        ("{ name = checkout }", "\"checkout\" at byte 9"),
        ("{ name }", "expected a comparison"),
        ("{ rootServiceName = \"x\" }", "rootServiceName"),
        ("{ parent.name = \"x\" }", "parent.name"),
        ("{ event.name = \"x\" }", "event.name"),
        ("{ span. = 1 }", "span."),
        ("{ !span.x }", "\"!\" at byte 2"),
        ("{ span.x + 1 = 2 }", "\"+\""),
        ("{} | rate()", "\"rate\""),
        ("{} | select()", "expected an attribute"),
        ("{} | select(name", "the end"),
        ("{} >> {}", "\">>\" at byte 3"),
        ("{} && {}", "\"&&\" at byte 3"),
        ("{ name =~ \"(\" }", "expression"),
        ("{ name =~ \"a)|(b\" }", "expression"),
        ("{ name =~ \"(\\\\w{500}){500}\" }", "larger"),
        ("{ name =~ 5 }", "in quotes"),
        ("{ name = \"x }", "closing quote"),
        ("{ name = `x }", "closing `"),
        ("{ name = \"\\q\" }", "escape \\q"),
        ("{ span.x = inf }", "\"inf\""),
        ("{ name = { }", "expected a value"),
    ] {
        let error = query(text).unwrap_err();
        assert!(error.contains(named), "{text}: {error}");
    }
}

#[test]
fn what_would_cost_too_much_is_refused() {
    let deep = format!("{{ {}true{} }}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(query(&deep).unwrap_err().contains("nest"), "parentheses");
    let long = format!("{{ {} }}", vec!["span.a = 1"; 65].join(" && "));
    assert!(query(&long).unwrap_err().contains("64"), "comparisons");
    assert!(query(&format!("{{ {} }}", vec!["span.a = 1"; 64].join(" && "))).is_ok());
    let many = |count| format!("{{ {} }}", vec!["name =~ \"a\""; count].join(" || "));
    assert!(query(&many(8)).is_ok());
    assert!(query(&many(9)).unwrap_err().contains("8 regular expressions"));
    let long = format!("{{ name =~ \"{}\" }}", "a".repeat(1025));
    assert!(query(&long).unwrap_err().contains("1024 bytes"));
}

#[test]
fn what_a_query_names_is_shown_once_and_in_order() {
    let query = query("{ status = error && (.a = 1 || status = ok) } | select(.b, .a, resource.c)").unwrap();
    assert_eq!(query.fields.iter().map(Field::name).collect::<Vec<_>>(), ["status", "a", "b", "c"]);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>(), words in prop::collection::vec(0usize..24, 0..20)) {
        const WORDS: [&str; 24] = [
            "{", "}", "(", ")", "&&", "||", "=", "!=", "=~", ">", "span.a", ".", "span.", "\"x", "\"x\"", "`", "name",
            "duration", "10ms", "nil", "|", "select", ",", "\"\\",
        ];
        let _ = query(&text);
        let _ = query(&format!("{{{text}}}"));
        let _ = query(&words.iter().map(|word| WORDS[*word]).collect::<Vec<_>>().join(" "));
        let _ = query(&words.iter().map(|word| WORDS[*word]).collect::<String>());
    }
}
