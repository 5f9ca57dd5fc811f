//! What ClickHouse's answer means. The status says little (most errors are 500 or 404): the exception's code says it, from the
//! header, from the text for servers without that header, and from the end of the text where the status was sent too early.

use std::time::Duration;

use model::Failure;

use crate::client::Answer;

/// Why a statement did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Something in the data: without it the same statement would do.
    Data(String),
    /// The table is not as it was thought to be, or the data is at fault: once more with the table as it is now.
    Layout(String),
    /// There is no such table or database.
    NoTable(String),
    /// Everything else: later, or after the operator has mended it.
    Later { after: Option<Duration>, reason: String },
}

/// Codes of errors that single rows cause: values that cannot be read or converted, constraints, expressions that fail.
const DATA: [u32; 32] = [
    6, 7, 25, 26, 27, 32, 34, 38, 41, 43, 69, 70, 72, 125, 128, 131, 153, 190, 321, 349, 376, 395, 407, 441,
    467, 469, 564, 632, 646, 675, 676, 691,
];
/// Codes that also come when columns were altered since they were described.
const LAYOUT: [u32; 8] = [8, 10, 16, 20, 33, 47, 53, 117];
/// No such table, no such database.
const NO_TABLE: [u32; 2] = [60, 81];
/// Wrong password, unknown user, no access, read-only, quota.
const ACCESS: [u32; 8] = [164, 192, 193, 194, 195, 291, 497, 516];
const UNKNOWN_SETTING: u32 = 115;
const TOO_MANY_PARTS: u32 = 252;

/// Judges the answer to one statement.
pub(super) fn verdict(answer: &Answer) -> Result<(), Trouble> {
    let status = answer.status;
    let reason = || match answer.text() {
        text if text.is_empty() => status.to_string(),
        text => format!("{status}: {text}"),
    };
    let later = |reason| Err(Trouble::Later { after: answer.after, reason });
    let Some(code) = code(answer) else {
        return match status.as_u16() {
            200..=299 if answer.whole => Ok(()),
            200..=299 => later("the answer broke off or exceeds 64 KiB".to_owned()),
            300..=399 => later(format!("{status}: redirects are not followed; set the final URL")),
            401 | 403 => later(access(&reason())),
            413 => Err(Trouble::Data(reason())),
            404 | 405 => later(format!("is this ClickHouse's HTTP port? {}", reason())),
            _ => later(reason()),
        };
    };
    let text = String::from_utf8_lossy(&answer.body);
    match code {
        // The limit is on one insert, not on the table: fewer rows lie in fewer partitions.
        TOO_MANY_PARTS if text.contains("partitions for single INSERT block") => Err(Trouble::Data(reason())),
        UNKNOWN_SETTING => {
            later(format!("the server is too old for deduplicate or async_insert: {}", reason()))
        }
        code if NO_TABLE.contains(&code) => Err(Trouble::NoTable(reason())),
        code if ACCESS.contains(&code) => later(access(&reason())),
        code if LAYOUT.contains(&code) => Err(Trouble::Layout(reason())),
        code if DATA.contains(&code) => Err(Trouble::Data(reason())),
        _ => later(reason()),
    }
}

fn access(reason: &str) -> String {
    format!("the peer refuses our credentials, data is held until they are mended: {reason}")
}

/// The exception's code: of the header, else of the text. Behind a good status the text is searched from its end, since what was
/// already sent stands before it.
fn code(answer: &Answer) -> Option<u32> {
    let header = answer.headers.get("x-clickhouse-exception-code");
    if let Some(code) = header.and_then(|code| code.to_str().ok()?.trim().parse().ok())
        && code != 0
    {
        return Some(code);
    }
    let text = String::from_utf8_lossy(&answer.body);
    let read = |at: usize| -> Option<u32> {
        let rest = &text[at + SIGN.len()..];
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let code = rest[..digits].parse().ok()?;
        let rest = &rest[digits..];
        (rest.starts_with(". DB::") || rest.starts_with(", e.displayText()")).then_some(code)
    };
    if answer.status.is_success() { text.rfind(SIGN).and_then(read) } else { text.find(SIGN).and_then(read) }
}

const SIGN: &str = "Code: ";

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Later { after, reason } => Self::Retry { after, reason },
            Trouble::NoTable(reason) => Self::Retry {
                after: None,
                reason: format!("the table does not exist; create it, or set create_schema: true: {reason}"),
            },
            Trouble::Data(reason) | Trouble::Layout(reason) => Self::Retry { after: None, reason },
        }
    }
}
