//! Trace contexts as headers: written here, and read again as their specifications say, without the code that is judged.

use fastrand::Rng;

/// How a context is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// `traceparent`.
    W3c,
    /// `traceparent` in upper case.
    Upper,
    /// `b3` in one header.
    B3,
    /// `x-b3-…`.
    Multi,
    /// `x-datadog-…`.
    Datadog,
    /// `x-amzn-trace-id`.
    Xray,
    /// `x-trace-id`, as a UUID.
    Custom,
    /// A `traceparent` that is none; which one is the span's lowest bits.
    Malformed,
}

/// A trace context on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// How it is written.
    pub notation: Notation,
    /// The trace; of B3 the upper half is left out when it is zero.
    pub trace: u128,
    /// The span that sends it.
    pub span: u64,
    /// That span's parent, where the notation has room for it; 0 for none.
    pub grand: u64,
    /// The decision.
    pub sampled: bool,
}

/// What somebody who reads headers takes from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The best of the contexts.
    pub best: Context,
    /// How good its notation is; less is better.
    pub rank: u8,
    /// Other trace ids.
    pub beside: Vec<u128>,
}

/// A number that is not zero.
pub fn id64(rng: &mut Rng) -> u64 {
    rng.u64(1..)
}

/// A number that is not zero.
pub fn id128(rng: &mut Rng) -> u128 {
    rng.u128(1 << 100..)
}

impl Context {
    /// A new trace in a notation of chance.
    pub fn draw(rng: &mut Rng) -> Self {
        let notation = match rng.u8(..100) {
            0..50 => Notation::W3c,
            50..56 => Notation::Upper,
            56..66 => Notation::B3,
            66..74 => Notation::Multi,
            74..80 => Notation::Datadog,
            80..86 => Notation::Xray,
            86..92 => Notation::Custom,
            _ => Notation::Malformed,
        };
        let is_short = match notation {
            Notation::B3 | Notation::Multi => rng.u8(..3) == 0,
            Notation::Datadog => true,
            _ => false,
        };
        let trace = if is_short { id64(rng).into() } else { id128(rng) };
        Self { notation, trace, span: id64(rng), grand: 0, sampled: rng.u8(..20) > 0 }
    }

    /// A new trace as W3C has it.
    pub fn new(rng: &mut Rng) -> Self {
        Self { notation: Notation::W3c, trace: id128(rng), span: id64(rng), grand: 0, sampled: true }
    }

    /// The same trace, sent by another span, in the same notation.
    pub fn next(&self, rng: &mut Rng) -> Self {
        let grand = if matches!(self.notation, Notation::B3 | Notation::Multi) { self.span } else { 0 };
        Self { span: id64(rng), grand, ..*self }
    }

    /// Whether anybody can read it.
    pub fn is_readable(&self) -> bool {
        self.notation != Notation::Malformed
    }

    /// Whether it names the span that sends it.
    pub fn has_span(&self) -> bool {
        !matches!(self.notation, Notation::Custom | Notation::Malformed)
    }

    /// The headers.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let Self { trace, span, grand, .. } = *self;
        let short =
            |trace: u128| if trace >> 64 == 0 { format!("{trace:016x}") } else { format!("{trace:032x}") };
        let bit = u8::from(self.sampled);
        match self.notation {
            Notation::W3c => vec![("traceparent", format!("00-{trace:032x}-{span:016x}-0{bit}"))],
            Notation::Upper => vec![("traceparent", format!("00-{trace:032X}-{span:016X}-0{bit}"))],
            Notation::B3 => {
                let parent = if grand == 0 { String::new() } else { format!("-{grand:016x}") };
                vec![("b3", format!("{}-{span:016x}-{bit}{parent}", short(trace)))]
            }
            Notation::Multi => {
                let mut headers = vec![
                    ("x-b3-traceid", short(trace)),
                    ("x-b3-spanid", format!("{span:016x}")),
                    ("x-b3-sampled", bit.to_string()),
                ];
                if grand != 0 {
                    headers.push(("x-b3-parentspanid", format!("{grand:016x}")));
                }
                headers
            }
            Notation::Datadog => vec![
                ("x-datadog-trace-id", trace.to_string()),
                ("x-datadog-parent-id", span.to_string()),
                ("x-datadog-sampling-priority", bit.to_string()),
            ],
            Notation::Xray => {
                let text = format!("{trace:032x}");
                let (time, unique) = text.split_at(8);
                vec![("x-amzn-trace-id", format!("Root=1-{time}-{unique};Parent={span:016x};Sampled={bit}"))]
            }
            Notation::Custom => {
                let text = format!("{trace:032x}");
                let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
                vec![("x-trace-id", parts.join("-"))]
            }
            Notation::Malformed => {
                let text = match span % 6 {
                    0 => format!("00-{trace:032x}-{span:016x}"),
                    1 => format!("ff-{trace:032x}-{span:016x}-01"),
                    2 => format!("00-{:032x}-{span:016x}-01", 0),
                    3 => format!("00-{trace:032x}-{:016x}-01", 0),
                    4 => "undefined".to_owned(),
                    _ => format!("00-{trace:031x}g-{span:016x}-01"),
                };
                vec![("traceparent", text)]
            }
        }
    }

    fn rank(&self) -> (u8, u8) {
        match self.notation {
            Notation::W3c | Notation::Upper => (0, 0),
            Notation::B3 => (1, 0),
            Notation::Multi => (1, 1),
            Notation::Datadog => (2, 0),
            Notation::Xray => (2, 1),
            Notation::Custom => (3, 0),
            Notation::Malformed => (9, 0),
        }
    }
}

/// Reads the headers of one record.
pub fn read(contexts: &[Context]) -> Option<Read> {
    let readable = || contexts.iter().filter(|context| context.is_readable());
    let best = *readable().min_by_key(|context| context.rank())?;
    let is_same = |id: u128| {
        id == best.trace || (id as u64 == best.trace as u64 && (id >> 64 == 0 || best.trace >> 64 == 0))
    };
    let beside = readable().map(|context| context.trace).filter(|id| !is_same(*id)).collect();
    Some(Read { best, rank: best.rank().0, beside })
}
