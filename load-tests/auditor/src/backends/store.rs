//! The embedded store.

use std::path::PathBuf;

use crate::backend::{Copies, Form, Row, Server};
use crate::content::Run;
use crate::item::{Id, Signal};
use crate::read::{Found, store};

/// The row.
pub(crate) const ROW: Row = Row {
    name: "store",
    signals: &Signal::ALL,
    form: Form::Items,
    cannot_hold: &[],
    copies: Copies::Once,
    is_slow: false,
    start: |_, data| Box::new(Store { folder: data.join("sinks/store") }),
};

struct Store {
    folder: PathBuf,
}

impl Server for Store {
    fn sink(&self, _: u16) -> String {
        "{ type: store, flush_age: 1s }".to_owned()
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        store::read(run, &self.folder, each)
    }
}
