//! A folder of OTLP/JSON lines.

use std::path::PathBuf;

use crate::backend::{Copies, Form, Row, Server};
use crate::cannot_hold::CannotHold;
use crate::content::Run;
use crate::item::{Id, Signal};
use crate::read::{Found, lines};

/// The row.
pub(crate) const ROW: Row = Row {
    name: "file",
    signals: &Signal::ALL,
    form: Form::Items,
    cannot_hold: &[CannotHold::NanPayloads],
    copies: Copies::Once,
    is_slow: false,
    start: |folder, _| Box::new(Archive { folder: folder.to_owned() }),
};

struct Archive {
    folder: PathBuf,
}

impl Server for Archive {
    fn sink(&self, _: u16) -> String {
        format!("{{ type: file, folder: {}, rotate_bytes: 1MiB }}", self.folder.join("archive").display())
    }

    fn has_disk(&self) -> bool {
        true
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        lines::read(run, &self.folder.join("archive"), each)
    }
}
