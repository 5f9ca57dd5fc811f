//! How a message is described: the row of a field and the look-up by key or number. The rows are in `tables`.

/// A message: the fields that the JSON mapping knows. Fields of the profiles dictionary are left out on purpose.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) fields: &'static [Slot],
}

/// One field of a message.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) number: u32,
    /// The lowerCamelCase key.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) presence: Presence,
}

/// When a field is there, and what a second occurrence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Zero and absent are the same.
    Implicit,
    /// Zero is a value (`optional` in the schema).
    Explicit,
    /// A member of the message's only `oneof`: the last one written wins.
    Choice,
    /// A list.
    Repeated,
}

/// What a field holds, by its wire form.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Bool,
    /// Bytes shown as base64.
    Bytes,
    /// A trace or span id: bytes shown as hex.
    Id,
    Double,
    Fixed64,
    Sfixed64,
    Fixed32,
    Uint32,
    Uint64,
    Int64,
    Sint32,
    Enum(&'static [(&'static str, i32)]),
    Message(&'static Shape),
}

/// The most fields a shape has; the readers keep their places in an array of this size.
pub(super) const MOST_FIELDS: usize = 16;

impl Shape {
    /// The index of the field that `key` names, in lowerCamelCase or snake_case. `hint` is where to look first:
    /// senders write keys in schema order.
    pub(super) fn find_key(&self, key: &str, hint: usize) -> Option<usize> {
        let ahead = (hint..self.fields.len()).chain(0..hint.min(self.fields.len()));
        for i in ahead.clone() {
            if self.fields[i].name == key {
                return Some(i);
            }
        }
        if !key.contains('_') {
            return None;
        }
        ahead.into_iter().find(|&i| is_snake_of(key, self.fields[i].name))
    }

    /// The index of the field with this number.
    pub(super) fn find_number(&self, number: u32) -> Option<usize> {
        self.fields.iter().position(|slot| slot.number == number)
    }
}

fn is_snake_of(snake: &str, camel: &str) -> bool {
    let mut rest = snake.bytes();
    for byte in camel.bytes() {
        if byte.is_ascii_uppercase() && rest.next() != Some(b'_') {
            return false;
        }
        if rest.next() != Some(byte.to_ascii_lowercase()) {
            return false;
        }
    }
    rest.next().is_none()
}
