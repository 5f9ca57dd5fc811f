//! Conditions as written → conditions as evaluated.

use model::Problem;

use super::super::condition::{Condition, KINDS, SEVERITIES, STATUSES, Subject, Test, Wanted};
use super::super::settings::{ConditionSettings, FieldName, Scalar};
use super::{Found, regex};

/// Conditions may nest so deep.
const DEPTH: usize = 16;

/// Reads the conditions of a list at `path`, `depth` groups deep.
pub(super) fn read(
    settings: &[ConditionSettings],
    path: &str,
    depth: usize,
    problems: Found<'_>,
) -> Vec<Condition> {
    let numbered = settings.iter().enumerate();
    numbered
        .filter_map(|(number, one)| condition(one, &format!("{path}[{number}]"), depth, problems))
        .collect()
}

fn condition(
    settings: &ConditionSettings,
    path: &str,
    depth: usize,
    problems: Found<'_>,
) -> Option<Condition> {
    let ConditionSettings { any, all, none, attribute, resource, field, .. } = settings;
    let groups = [("any", any), ("all", all), ("none", none)];
    let mut given: Vec<&str> =
        groups.iter().filter(|(_, group)| group.is_some()).map(|(name, _)| *name).collect();
    let subject = attribute.clone().map(Subject::Attribute);
    let subject = subject.or_else(|| resource.clone().map(Subject::Resource));
    let subject = subject.or_else(|| field.map(Subject::Field));
    given.extend(attribute.as_ref().map(|_| "attribute"));
    given.extend(resource.as_ref().map(|_| "resource"));
    given.extend(field.map(|_| "field"));
    match given[..] {
        [_] => {}
        [] => {
            problems.push(Problem::new(
                path,
                "the condition has no subject",
                "write attribute, resource or field with a test, or any, all or none with conditions",
            ));
            return None;
        }
        _ => {
            problems.push(Problem::new(
                path,
                format!("{} are one too many", given.join(" and ")),
                "write one of them; all: [ … ] holds conditions together",
            ));
            return None;
        }
    }
    let before = problems.len();
    let tests = tests(settings, subject.as_ref(), path, problems);
    let Some(subject) = subject else {
        if !tests.is_empty() {
            problems.push(Problem::new(
                path,
                format!("{} holds conditions and has no test of its own", given[0]),
                "write the test beside its subject, inside the list",
            ));
        }
        return group(&groups, path, depth, problems).filter(|_| problems.len() == before);
    };
    if tests.is_empty() && problems.len() == before {
        problems.push(Problem::new(
            path,
            format!("nothing is said of {}", given[0]),
            "write a test: exists, equals, one_of, prefix, suffix, contains, matches, above, at_least, below or at_most",
        ));
    }
    (problems.len() == before).then_some(Condition::Test(subject, tests))
}

fn group(
    groups: &[(&str, &Option<Vec<ConditionSettings>>)],
    path: &str,
    depth: usize,
    problems: Found<'_>,
) -> Option<Condition> {
    let (name, inner) = groups.iter().find_map(|(name, group)| group.as_ref().map(|inner| (*name, inner)))?;
    let path = format!("{path}.{name}");
    if depth >= DEPTH {
        problems.push(Problem::new(path, format!("conditions nest deeper than {DEPTH}"), "use fewer levels"));
        return None;
    }
    if inner.is_empty() {
        problems.push(Problem::new(path, "there is no condition in it", "write at least one, or remove it"));
        return None;
    }
    let inner = read(inner, &path, depth + 1, problems);
    Some(match name {
        "any" => Condition::Any(inner),
        "all" => Condition::All(inner),
        _ => Condition::None(inner),
    })
}

/// The tests of a condition, as they are for its subject.
fn tests(
    settings: &ConditionSettings,
    subject: Option<&Subject>,
    path: &str,
    problems: Found<'_>,
) -> Vec<Test> {
    let mut tests = Vec::new();
    tests.extend(settings.exists.map(Test::Exists));
    let equals = settings.equals.as_ref().map(|value| ("equals", std::slice::from_ref(value)));
    for (key, values) in equals.into_iter().chain(settings.one_of.as_deref().map(|values| ("one_of", values)))
    {
        if values.is_empty() {
            problems.push(Problem::new(format!("{path}.{key}"), "names no value", "write at least one"));
        }
        tests.extend(is(values, subject, &format!("{path}.{key}"), problems));
    }
    let texts = [
        ("prefix", &settings.prefix, Test::Prefix as fn(String) -> Test),
        ("suffix", &settings.suffix, Test::Suffix),
        ("contains", &settings.contains, Test::Contains),
    ];
    for (key, text, test) in texts {
        if let Some(text) = text {
            needs_text(subject, &format!("{path}.{key}"), problems);
            tests.push(test(text.clone()));
        }
    }
    if let Some(pattern) = &settings.matches {
        let path = format!("{path}.matches");
        needs_text(subject, &path, problems);
        tests.extend(regex(pattern, &path, problems).map(Test::Matches));
    }
    // Of the numbers that a word stands for, the first and the last.
    let numbers = [
        ("above", &settings.above, (|_, last| Test::Above(last)) as fn(f64, f64) -> Test),
        ("at_least", &settings.at_least, |first, _| Test::AtLeast(first)),
        ("below", &settings.below, |first, _| Test::Below(first)),
        ("at_most", &settings.at_most, |_, last| Test::AtMost(last)),
    ];
    for (key, value, test) in numbers {
        if let Some(value) = value {
            let path = format!("{path}.{key}");
            needs_number(subject, &path, problems);
            tests.extend(number(value, subject, &path, problems).map(|(first, last)| test(first, last)));
        }
    }
    tests
}

fn is(values: &[Scalar], subject: Option<&Subject>, path: &str, problems: Found<'_>) -> Option<Test> {
    match subject {
        Some(Subject::Field(FieldName::Severity | FieldName::Duration)) => {
            let ranges = values.iter().filter_map(|value| number(value, subject, path, problems)).collect();
            return Some(Test::Within(ranges));
        }
        Some(Subject::Field(FieldName::Kind)) => known(values, &KINDS, path, problems),
        Some(Subject::Field(FieldName::Status)) => known(values, &STATUSES, path, problems),
        Some(Subject::Field(FieldName::Signal)) => {
            known(values, &["traces", "logs", "metrics"], path, problems);
        }
        _ => {}
    }
    let wanted = |value: &Scalar| match value {
        Scalar::Bool(bool) => Wanted::Bool(*bool),
        Scalar::Number(number) => Wanted::Number(*number),
        Scalar::Text(text) => Wanted::Text(text.clone()),
    };
    for value in values {
        // From here on doubles skip whole numbers, and two would be taken for one.
        if let Scalar::Number(number) = value
            && number.abs() >= 9_007_199_254_740_992.0
        {
            problems.push(Problem::new(
                path,
                format!("{number} is too large to be exact"),
                "write it in quotes",
            ));
        }
    }
    Some(Test::Is(values.iter().map(wanted).collect()))
}

fn known(values: &[Scalar], words: &[&str], path: &str, problems: Found<'_>) {
    for value in values {
        if !matches!(value, Scalar::Text(text) if words.contains(&text.as_str())) {
            let shown = shown(value);
            problems.push(Problem::new(
                path,
                format!("{shown} is not known"),
                format!("write one of {}", words.join(", ")),
            ));
        }
    }
}

fn needs_text(subject: Option<&Subject>, path: &str, problems: Found<'_>) {
    if let Some(Subject::Field(FieldName::Severity | FieldName::Duration)) = subject {
        problems.push(Problem::new(
            path,
            "the field is a number",
            "write equals, one_of, above, at_least, below or at_most",
        ));
    }
}

fn needs_number(subject: Option<&Subject>, path: &str, problems: Found<'_>) {
    if let Some(Subject::Field(field)) = subject
        && !matches!(field, FieldName::Severity | FieldName::Duration | FieldName::Body)
    {
        problems.push(Problem::new(
            path,
            "the field is a text",
            "write equals, one_of, prefix, suffix, contains or matches",
        ));
    }
}

/// A number, or for the severity all numbers that a word stands for.
fn number(value: &Scalar, subject: Option<&Subject>, path: &str, problems: Found<'_>) -> Option<(f64, f64)> {
    if let Scalar::Number(number) = value {
        return Some((*number, *number));
    }
    let is_severity = subject == Some(&Subject::Field(FieldName::Severity));
    if let (true, Scalar::Text(word)) = (is_severity, value)
        && let Some((_, first)) = SEVERITIES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word))
    {
        return Some((*first as f64, *first as f64 + 3.0));
    }
    let remedy = match is_severity {
        true => "write 1 to 24, or trace, debug, info, warn, error or fatal",
        false => "write a number",
    };
    problems.push(Problem::new(path, format!("{} is no number", shown(value)), remedy));
    None
}

fn shown(value: &Scalar) -> String {
    match value {
        Scalar::Bool(bool) => bool.to_string(),
        Scalar::Number(number) => number.to_string(),
        Scalar::Text(text) => format!("{text:?}"),
    }
}
