//! Attributes and their values, down to every text in them.

use super::{Editor, How, Place, Treatment, Walk};
use crate::WireError;
use crate::otlp::attributes::MAX_DEPTH;
use crate::walk::{Field, fields};

/// The smallest number of digits that `How::Search` looks for in a number: shorter ones name nobody.
const DIGITS: u64 = 100_000_000_000;

impl<E: Editor> Walk<'_, E> {
    /// The attribute in `field`: a key and a value.
    pub(super) fn attribute(
        &mut self,
        base: usize,
        field: &Field<'_>,
        place: Place,
    ) -> Result<(), WireError> {
        if self.wants.attributes { self.pair(base, field, place, None, 0) } else { Ok(()) }
    }

    /// The body of a log record.
    pub(super) fn body(&mut self, base: usize, field: &Field<'_>) -> Result<(), WireError> {
        if self.wants.texts { self.value(base, field, How::Search, 0) } else { Ok(()) }
    }

    /// A text that is no attribute.
    pub(super) fn text(&mut self, base: usize, field: &Field<'_>) -> Result<(), WireError> {
        if self.wants.texts { self.string(base, field, How::Search) } else { Ok(()) }
    }

    /// A key and a value, below `above`: what is to happen to all that it stands in.
    fn pair(
        &mut self,
        base: usize,
        field: &Field<'_>,
        place: Place,
        above: Option<How>,
        depth: usize,
    ) -> Result<(), WireError> {
        let content = field.bytes()?;
        let mut key = "";
        for field in fields(content) {
            let field = field?;
            if field.number == 1 {
                key = field.text()?;
            }
        }
        let how = match (above, self.editor.attribute(place, key)) {
            (Some(how @ How::Seal(_)), _) => how,
            (_, Treatment::Ask(how)) => how,
            (_, Treatment::Remove) if !matches!(place, Place::Inside | Place::Series) => {
                self.script.remove(base + field.start..base + field.end);
                return Ok(());
            }
            (Some(how), _) => how,
            (None, _) => return Ok(()),
        };
        let opened = self.script.open(base, field, content);
        for field in fields(content) {
            let field = field?;
            if field.number == 2 {
                self.value(opened.content, &field, how, depth)?;
            }
        }
        self.script.close(&opened);
        Ok(())
    }

    /// The `AnyValue` in `field`, `depth` arrays and maps deep.
    fn value(&mut self, base: usize, field: &Field<'_>, how: How, depth: usize) -> Result<(), WireError> {
        if depth > MAX_DEPTH {
            return Err(WireError::TooDeep(MAX_DEPTH));
        }
        let content = field.bytes()?;
        let opened = self.script.open(base, field, content);
        let base = opened.content;
        for field in fields(content) {
            let field = field?;
            match field.number {
                1 => self.string(base, &field, how)?,
                2 if how != How::Search => {
                    let text = if field.varint()? == 0 { "false" } else { "true" };
                    self.scalar(base, &field, how, text);
                }
                3 => {
                    let number = field.varint()? as i64;
                    if how != How::Search || number.unsigned_abs() >= DIGITS {
                        self.scalar(base, &field, how, &number.to_string());
                    }
                }
                4 if how != How::Search => {
                    self.scalar(base, &field, how, &f64::from_bits(field.fixed64()?).to_string());
                }
                5 => self.values(base, &field, how, depth)?,
                6 => self.map(base, &field, how, depth)?,
                7 => self.scalar(base, &field, how, &String::from_utf8_lossy(field.bytes()?)),
                _ => {}
            }
        }
        self.script.close(&opened);
        Ok(())
    }

    fn values(&mut self, base: usize, field: &Field<'_>, how: How, depth: usize) -> Result<(), WireError> {
        let content = field.bytes()?;
        let opened = self.script.open(base, field, content);
        for field in fields(content) {
            let field = field?;
            if field.number == 1 {
                self.value(opened.content, &field, how, depth + 1)?;
            }
        }
        self.script.close(&opened);
        Ok(())
    }

    fn map(&mut self, base: usize, field: &Field<'_>, how: How, depth: usize) -> Result<(), WireError> {
        let content = field.bytes()?;
        let opened = self.script.open(base, field, content);
        for field in fields(content) {
            let field = field?;
            if field.number == 1 {
                self.pair(opened.content, &field, Place::Inside, Some(how), depth + 1)?;
            }
        }
        self.script.close(&opened);
        Ok(())
    }

    /// A string field.
    pub(super) fn string(&mut self, base: usize, field: &Field<'_>, how: How) -> Result<(), WireError> {
        if let Some(text) = self.editor.text(how, field.text()?) {
            self.script.replace(base + field.start..base + field.end, field.number, text.as_bytes());
        }
        Ok(())
    }

    /// A value that is no string becomes one when it is changed.
    fn scalar(&mut self, base: usize, field: &Field<'_>, how: How, text: &str) {
        if let Some(text) = self.editor.text(how, text) {
            self.script.replace(base + field.start..base + field.end, 1, text.as_bytes());
        }
    }
}
