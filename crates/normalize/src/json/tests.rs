use proptest::prelude::*;

use super::*;

fn whole(text: &[u8]) -> Result<(), JsonError> {
    let at = space(text, 0);
    let (_, end) = value(text, at, 0)?;
    let end = space(text, end);
    if end == text.len() { Ok(()) } else { Err(JsonError::Syntax(end)) }
}

fn said(json: &str) -> (String, bool) {
    let (value, _) = value(json.as_bytes(), 0, 0).unwrap();
    let mut replaced = false;
    (text(value, &mut replaced).into_owned(), replaced)
}

#[test]
fn strings_say_what_they_said_to_serde() {
    for json in [r#""""#, r#""a\/b""#, r#""\"\\\/\b\f\n\r\t""#, r#""é☕""#, r#""😀 x""#, r#""\u0000""#] {
        assert_eq!(said(json), (serde_json::from_str(json).unwrap(), false));
    }
}

#[test]
fn lone_surrogates_and_raw_bytes_are_replaced_and_marked() {
    assert_eq!(said(r#""a\ud800b""#), ("a\u{fffd}b".into(), true));
    assert_eq!(said(r#""\udc00""#), ("\u{fffd}".into(), true));
    assert_eq!(said(r#""\ud800\ud83d\ude00""#), ("\u{fffd}😀".into(), true));
    let mut replaced = false;
    let (raw, _) = value(b"\"x\xc3(\"", 0, 0).unwrap();
    assert_eq!(text(raw, &mut replaced), "x\u{fffd}(");
    assert!(replaced);
}

#[test]
fn limits_hold_without_recursion() {
    let nested = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
    assert_eq!(whole(&nested(DEPTH)), Ok(()));
    assert_eq!(whole(&nested(DEPTH + 1)), Err(JsonError::Deep));
    assert_eq!(whole(&vec![b'['; 1_000_000]), Err(JsonError::Deep));
    let keys = |n: u32| format!("{{{}}}", (0..n).map(|i| format!("\"{i}\":0")).collect::<Vec<_>>().join(","));
    let elements = |n: u32| format!("[{}]", vec!["0"; n as usize].join(","));
    assert_eq!(whole(keys(KEYS).as_bytes()), Ok(()));
    assert_eq!(whole(keys(KEYS + 1).as_bytes()), Err(JsonError::Keys));
    assert_eq!(object(keys(KEYS + 1).as_bytes(), 0, &mut Vec::new()), Err(JsonError::Keys));
    assert_eq!(whole(elements(ELEMENTS).as_bytes()), Ok(()));
    assert_eq!(whole(elements(ELEMENTS + 1).as_bytes()), Err(JsonError::Elements));
}

#[test]
fn numbers_are_exact_at_any_size() {
    let check = |text: &str, shift, expected| {
        assert_eq!(decimal(text.as_bytes()).and_then(|d| d.scaled(shift)), expected, "{text}");
    };
    check("1772438400123000200", 0, Some(1_772_438_400_123_000_200));
    check("1.7724384001451e+18", 0, Some(1_772_438_400_145_100_000));
    check("1772438400.123456789", 9, Some(1_772_438_400_123_456_789));
    check("2e2", 0, Some(200));
    check("-0", 0, Some(0));
    check("37.5", 0, Some(37));
    check("1e400", 0, None);
    check("99999999999999999999999999", 0, None);
    check("0e999999999", 0, Some(0));
    check("1e99999999999", 0, None);
    check("5e-400", 0, Some(0));
    assert_eq!(decimal(b"37.5").and_then(Decimal::whole), None);
    assert_eq!(decimal(b"37.0").and_then(Decimal::whole), Some(37));
}

/// Bytes that look like JSON, often almost right.
fn near_json() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&str; 22] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\n",
        "\"a\"",
        "\"b\":",
        "\"\\u00e9\\n\"",
        "\"\\x\"",
        "\"\t\"",
        "-1.5e+3",
        "01",
        "1.",
        "true",
        "nul",
        "null",
        "NaN",
        "-",
        "\"long text without end 0123456789",
    ];
    prop::collection::vec(prop::sample::select(&PIECES), 0..24)
        .prop_map(|pieces| pieces.concat().into_bytes())
}

fn real_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "\\PC{0,20}|[\\x00-\\x7f]{0,20}".prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::hash_map("\\PC{0,9}", inner, 0..8)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_serde_takes_is_taken_and_what_it_refuses_is_refused(text in near_json()) {
        let serde = serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(whole(&text).is_ok(), serde, "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn values_read_back_as_serde_reads_them(json in real_json(), pretty: bool) {
        let written = if pretty { serde_json::to_vec_pretty(&json) } else { serde_json::to_vec(&json) }.unwrap();
        let (found, end) = value(&written, 0, 0).unwrap();
        prop_assert_eq!(end, written.len());
        same(found, &json)?;
    }
}

fn same(found: Value<'_>, json: &serde_json::Value) -> Result<(), TestCaseError> {
    match json {
        serde_json::Value::Object(map) => {
            prop_assert_eq!(found.members().count(), map.len());
            for (member, (key, expected)) in found.members().zip(map) {
                let key_value = Value { raw: member.key, kind: member.key_kind };
                prop_assert_eq!(text(key_value, &mut false).into_owned(), key.clone());
                same(member.value, expected)?;
            }
        }
        serde_json::Value::Array(array) => {
            prop_assert_eq!(found.elements().count(), array.len());
            for (element, expected) in found.elements().zip(array) {
                same(element, expected)?;
            }
        }
        serde_json::Value::String(expected) => {
            prop_assert_eq!(text(found, &mut false).into_owned(), expected.clone());
        }
        other => prop_assert_eq!(String::from_utf8_lossy(found.raw).into_owned(), other.to_string()),
    }
    Ok(())
}
