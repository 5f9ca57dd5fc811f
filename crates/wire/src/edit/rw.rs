//! The walk over a remote-write 1.0 request with our private fields. A series is judged as a whole: its labels are all that
//! there is to judge.

use super::{Editor, Fate, How, Item, Kind, Place, Treatment, Walk};
use crate::WireError;
use crate::rw::private;
use crate::walk::{Field, fields};

/// The label that holds the metric's name, which is never changed.
const NAME: &str = "__name__";

impl<E: Editor> Walk<'_, E> {
    pub(super) fn write_request(&mut self, plain: &[u8]) -> Result<(), WireError> {
        for field in fields(plain) {
            let field = field?;
            match field.number {
                1 => self.series(&field)?,
                3 => drop(self.whole(&field, Kind::Metadata, 1)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// Judges a series or metadata entry of `items`; says whether it stays.
    fn whole(&mut self, field: &Field<'_>, kind: Kind, items: u32) -> Result<bool, WireError> {
        let raw = field.bytes()?;
        let fate = self.judge(&Item { kind, raw, resource: &[], scope: &[], metric: &[] })?;
        self.tally.count(fate, items);
        if fate != Fate::Keep {
            self.script.remove(field.start..field.end);
        }
        Ok(fate == Fate::Keep)
    }

    fn series(&mut self, field: &Field<'_>) -> Result<(), WireError> {
        let content = field.bytes()?;
        let mut items = 0;
        for field in fields(content) {
            items += u32::from(matches!(field?.number, 2..=4 | private::CUSTOM_HISTOGRAM));
        }
        if !self.whole(field, Kind::Series, items)? || !self.wants.attributes {
            return Ok(());
        }
        let opened = self.script.open(0, field, content);
        for field in fields(content) {
            let field = field?;
            match field.number {
                1 => self.label(opened.content, &field, Place::Series)?,
                3 => self.exemplar(opened.content, &field)?,
                _ => {}
            }
        }
        self.script.close(&opened);
        Ok(())
    }

    fn exemplar(&mut self, base: usize, field: &Field<'_>) -> Result<(), WireError> {
        let content = field.bytes()?;
        let opened = self.script.open(base, field, content);
        for field in fields(content) {
            let field = field?;
            if field.number == 1 {
                self.label(opened.content, &field, Place::Exemplar)?;
            }
        }
        self.script.close(&opened);
        Ok(())
    }

    fn label(&mut self, base: usize, field: &Field<'_>, place: Place) -> Result<(), WireError> {
        let content = field.bytes()?;
        let mut name = "";
        for field in fields(content) {
            let field = field?;
            if field.number == 1 {
                name = field.text()?;
            }
        }
        if name == NAME {
            return Ok(());
        }
        let how: How = match self.editor.attribute(place, name) {
            Treatment::Ask(how) => how,
            Treatment::Remove if place == Place::Exemplar => {
                self.script.remove(base + field.start..base + field.end);
                return Ok(());
            }
            Treatment::Leave | Treatment::Remove => return Ok(()),
        };
        let opened = self.script.open(base, field, content);
        for field in fields(content) {
            let field = field?;
            if field.number == 2 {
                self.string(opened.content, &field, how)?;
            }
        }
        self.script.close(&opened);
        Ok(())
    }
}
