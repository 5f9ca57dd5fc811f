//! The walk over an OTLP request of any signal.

use super::{Editor, Fate, Item, Kind, Place, Walk};
use crate::walk::{Field, fields};
use crate::{Signal, WireError};

/// What stands above an item.
#[derive(Clone, Copy, Default)]
struct Above<'a> {
    resource: &'a [u8],
    scope: &'a [u8],
    metric: &'a [u8],
}

/// Where the attributes and exemplars of a metric's points stand, by the field that holds its data.
#[derive(Clone, Copy)]
struct PointFields {
    attributes: u32,
    exemplars: u32,
}

impl PointFields {
    const fn of(data: u32) -> Self {
        match data {
            9 => Self { attributes: 9, exemplars: 8 },
            10 => Self { attributes: 1, exemplars: 11 },
            11 => Self { attributes: 7, exemplars: 0 },
            _ => Self { attributes: 7, exemplars: 5 },
        }
    }
}

/// The last occurrence of a singular message, which may stand behind what it describes.
fn last(message: &[u8], number: u32) -> Result<&[u8], WireError> {
    let mut found: &[u8] = &[];
    for field in fields(message) {
        let field = field?;
        if field.number == number {
            found = field.bytes()?;
        }
    }
    Ok(found)
}

impl<E: Editor> Walk<'_, E> {
    pub(super) fn request(&mut self, signal: Signal, plain: &[u8]) -> Result<(), WireError> {
        for field in fields(plain) {
            let field = field?;
            if field.number == 1 {
                self.wrapper(0, &field, |walk, base, content| walk.resource(signal, base, content))?;
            }
        }
        Ok(())
    }

    /// Walks a message above items, and takes it out when all of its items go.
    fn wrapper(
        &mut self,
        base: usize,
        field: &Field<'_>,
        inside: impl FnOnce(&mut Self, usize, &[u8]) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let content = field.bytes()?;
        let opened = self.script.open(base, field, content);
        let before = self.tally.mark();
        inside(self, opened.content, content)?;
        match self.tally.emptied(before) {
            true => self.script.close_removed(&opened),
            false => self.script.close(&opened),
        }
        Ok(())
    }

    fn resource(&mut self, signal: Signal, base: usize, message: &[u8]) -> Result<(), WireError> {
        let above = Above { resource: last(message, 1)?, ..Above::default() };
        for field in fields(message) {
            let field = field?;
            match field.number {
                1 => self.attributes_of(base, &field, 1, Place::Resource)?,
                2 => self
                    .wrapper(base, &field, |walk, base, content| walk.scope(signal, base, content, above))?,
                _ => {}
            }
        }
        Ok(())
    }

    fn scope(
        &mut self,
        signal: Signal,
        base: usize,
        message: &[u8],
        above: Above<'_>,
    ) -> Result<(), WireError> {
        let above = Above { scope: last(message, 1)?, ..above };
        for field in fields(message) {
            let field = field?;
            match (field.number, signal) {
                (1, _) => self.attributes_of(base, &field, 3, Place::Scope)?,
                (2, Signal::Metrics) => {
                    self.wrapper(base, &field, |walk, base, content| walk.metric(base, content, above))?;
                }
                (2, Signal::Traces) => self.item(base, &field, Kind::Span, above)?,
                (2, Signal::Logs) => self.item(base, &field, Kind::Log, above)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn metric(&mut self, base: usize, message: &[u8], above: Above<'_>) -> Result<(), WireError> {
        let above = Above { metric: message, ..above };
        let mut data = 0;
        for field in fields(message) {
            let number = field?.number;
            if matches!(number, 5 | 7 | 9 | 10 | 11) {
                data = number;
            }
        }
        for field in fields(message) {
            let field = field?;
            match field.number {
                number if number == data => self.points(base, &field, above)?,
                5 | 7 | 9 | 10 | 11 => self.script.remove(base + field.start..base + field.end),
                12 => self.attribute(base, &field, Place::Series)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn points(&mut self, base: usize, data: &Field<'_>, above: Above<'_>) -> Result<(), WireError> {
        let kind = Kind::Point(PointFields::of(data.number).attributes);
        let content = data.bytes()?;
        let opened = self.script.open(base, data, content);
        for field in fields(content) {
            let field = field?;
            if field.number == 1 {
                self.point(opened.content, &field, kind, data.number, above)?;
            }
        }
        self.script.close(&opened);
        Ok(())
    }

    fn point(
        &mut self,
        base: usize,
        field: &Field<'_>,
        kind: Kind,
        data: u32,
        above: Above<'_>,
    ) -> Result<(), WireError> {
        if !self.stays(base, field, kind, above)? || !self.wants.attributes {
            return Ok(());
        }
        let numbers = PointFields::of(data);
        let content = field.bytes()?;
        let opened = self.script.open(base, field, content);
        for field in fields(content) {
            let field = field?;
            if field.number == numbers.attributes {
                self.attribute(opened.content, &field, Place::Series)?;
            } else if field.number == numbers.exemplars {
                self.attributes_of(opened.content, &field, 7, Place::Exemplar)?;
            }
        }
        self.script.close(&opened);
        Ok(())
    }

    /// Judges an item; one that goes is taken out.
    fn stays(
        &mut self,
        base: usize,
        field: &Field<'_>,
        kind: Kind,
        above: Above<'_>,
    ) -> Result<bool, WireError> {
        let Above { resource, scope, metric } = above;
        let fate = self.judge(&Item { kind, raw: field.bytes()?, resource, scope, metric })?;
        self.tally.count(fate, 1);
        if fate != Fate::Keep {
            self.script.remove(base + field.start..base + field.end);
        }
        Ok(fate == Fate::Keep)
    }

    /// A span or a log record.
    fn item(
        &mut self,
        base: usize,
        field: &Field<'_>,
        kind: Kind,
        above: Above<'_>,
    ) -> Result<(), WireError> {
        if !self.stays(base, field, kind, above)? || !(self.wants.attributes || self.wants.texts) {
            return Ok(());
        }
        let content = field.bytes()?;
        let opened = self.script.open(base, field, content);
        let base = opened.content;
        for field in fields(content) {
            let field = field?;
            match (kind, field.number) {
                (Kind::Span, 5) => self.text(base, &field)?,
                (Kind::Span, 9) | (Kind::Log, 6) => self.attribute(base, &field, Place::Item)?,
                (Kind::Span, 11) => self.event(base, &field)?,
                (Kind::Span, 13) => self.attributes_of(base, &field, 4, Place::Item)?,
                (Kind::Span, 15) => self.status(base, &field)?,
                (Kind::Log, 5) => self.body(base, &field)?,
                _ => {}
            }
        }
        self.script.close(&opened);
        Ok(())
    }

    fn event(&mut self, base: usize, field: &Field<'_>) -> Result<(), WireError> {
        let content = field.bytes()?;
        let opened = self.script.open(base, field, content);
        for field in fields(content) {
            let field = field?;
            match field.number {
                2 => self.text(opened.content, &field)?,
                3 => self.attribute(opened.content, &field, Place::Item)?,
                _ => {}
            }
        }
        self.script.close(&opened);
        Ok(())
    }

    fn status(&mut self, base: usize, field: &Field<'_>) -> Result<(), WireError> {
        if !self.wants.texts {
            return Ok(());
        }
        let content = field.bytes()?;
        let opened = self.script.open(base, field, content);
        for field in fields(content) {
            let field = field?;
            if field.number == 2 {
                self.text(opened.content, &field)?;
            }
        }
        self.script.close(&opened);
        Ok(())
    }

    /// The attributes in field `number` of the message in `field`.
    fn attributes_of(
        &mut self,
        base: usize,
        field: &Field<'_>,
        number: u32,
        place: Place,
    ) -> Result<(), WireError> {
        if !self.wants.attributes {
            return Ok(());
        }
        let content = field.bytes()?;
        let opened = self.script.open(base, field, content);
        for field in fields(content) {
            let field = field?;
            if field.number == number {
                self.attribute(opened.content, &field, place)?;
            }
        }
        self.script.close(&opened);
        Ok(())
    }
}
