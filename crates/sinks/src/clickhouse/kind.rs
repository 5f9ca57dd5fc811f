//! What a column of the server's table holds, as far as rows are written to it in binary.

/// A type of ClickHouse's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text or bytes.
    String,
    /// A whole number of so many bytes.
    Int { bytes: usize, signed: bool },
    /// `Float32`.
    Float32,
    /// `Float64`.
    Float64,
    /// Seconds since 1970 in 32 bits.
    DateTime,
    /// Ticks since 1970 in 64 bits, so many digits behind the second.
    DateTime64(u32),
    /// Text by text.
    Map,
    /// Several of a kind.
    Array(Box<Self>),
    /// One of a kind, or none.
    Nullable(Box<Self>),
    /// Any other: it is left to the server to read it from text.
    Other,
}

/// What a column of ours has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Text,
    Number,
    Time,
    Map,
    Texts,
    Numbers,
    Times,
    Maps,
}

impl Kind {
    /// Reads the type as `DESCRIBE TABLE` writes it.
    pub(super) fn parse(text: &str) -> Self {
        let text = text.trim();
        let inside = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(inner) = inside("LowCardinality") {
            return Self::parse(inner);
        }
        if let Some(inner) = inside("Nullable") {
            return Self::Nullable(Box::new(Self::parse(inner)));
        }
        if let Some(inner) = inside("Array") {
            return Self::Array(Box::new(Self::parse(inner)));
        }
        if let Some(inner) = inside("Map") {
            let texts = inner.split_once(',').is_some_and(|(key, value)| {
                Self::parse(key) == Self::String && Self::parse(value) == Self::String
            });
            return if texts { Self::Map } else { Self::Other };
        }
        if let Some(inner) = inside("DateTime64") {
            let digits = inner.split(',').next().unwrap_or_default().trim().parse();
            return digits.ok().filter(|digits| *digits <= 9).map_or(Self::Other, Self::DateTime64);
        }
        if inside("DateTime").is_some() {
            return Self::DateTime;
        }
        let int = |bits: &str, signed| match bits {
            "8" | "16" | "32" | "64" => Self::Int { bytes: bits.parse::<usize>().unwrap_or(64) / 8, signed },
            _ => Self::Other,
        };
        match text {
            "String" => Self::String,
            "Bool" => Self::Int { bytes: 1, signed: false },
            "Float32" => Self::Float32,
            "Float64" => Self::Float64,
            "DateTime" => Self::DateTime,
            _ => match (text.strip_prefix("UInt"), text.strip_prefix("Int")) {
                (Some(bits), _) => int(bits, false),
                (None, Some(bits)) => int(bits, true),
                _ => Self::Other,
            },
        }
    }

    /// Whether a column of this type takes in binary what a column of ours says.
    pub(super) fn takes(&self, class: Class) -> bool {
        match (self, class) {
            (Self::Nullable(inner), class) => inner.takes(class),
            (Self::String, Class::Text)
            | (Self::Int { .. } | Self::Float32 | Self::Float64, Class::Number)
            | (Self::DateTime | Self::DateTime64(_), Class::Time)
            | (Self::Map, Class::Map) => true,
            (Self::Array(inner), Class::Texts) => inner.takes(Class::Text),
            (Self::Array(inner), Class::Numbers) => inner.takes(Class::Number),
            (Self::Array(inner), Class::Times) => inner.takes(Class::Time),
            (Self::Array(inner), Class::Maps) => inner.takes(Class::Map),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_the_server_writes_them() {
        let int = |bytes, signed| Kind::Int { bytes, signed };
        for (text, kind) in [
            ("String", Kind::String),
            ("LowCardinality(String)", Kind::String),
            ("LowCardinality(Nullable(String))", Kind::Nullable(Box::new(Kind::String))),
            ("UInt8", int(1, false)),
            ("Int32", int(4, true)),
            ("UInt64", int(8, false)),
            ("Bool", int(1, false)),
            ("Int256", Kind::Other),
            ("Float64", Kind::Float64),
            ("DateTime", Kind::DateTime),
            ("DateTime('Europe/Berlin')", Kind::DateTime),
            ("DateTime64(9)", Kind::DateTime64(9)),
            ("DateTime64(3, 'UTC')", Kind::DateTime64(3)),
            ("Map(LowCardinality(String), String)", Kind::Map),
            ("Map(String, UInt64)", Kind::Other),
            ("Array(Map(LowCardinality(String), String))", Kind::Array(Box::new(Kind::Map))),
            ("Enum8('a' = 1)", Kind::Other),
            ("JSON(max_dynamic_paths=8)", Kind::Other),
            ("Array(", Kind::Other),
            ("", Kind::Other),
        ] {
            assert_eq!(Kind::parse(text), kind, "{text}");
        }
    }

    #[test]
    fn a_column_of_another_class_is_not_written_in_binary() {
        for (text, class, takes) in [
            ("Nullable(String)", Class::Text, true),
            ("UInt32", Class::Text, false),
            ("String", Class::Time, false),
            ("UInt64", Class::Time, false),
            ("Float64", Class::Number, true),
            ("Array(DateTime64(9))", Class::Times, true),
            ("Array(String)", Class::Numbers, false),
            ("JSON", Class::Map, false),
        ] {
            assert_eq!(Kind::parse(text).takes(class), takes, "{text}");
        }
    }
}
