//! Back ends: one row each, with what it takes, what it cannot hold, and how often it may have an item.

use std::path::Path;

use crate::cannot_hold::CannotHold;
use crate::content::Run;
use crate::item::{Id, Signal};
use crate::read::Found;

/// In which form a back end has items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As spans, log records and points.
    Items,
    /// As Prometheus samples.
    Samples,
}

/// How often a back end may have an item that was acknowledged once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// Once, whatever happens.
    Once,
    /// Again after a fault: its protocol has no identity of an item.
    AtLeastOnce,
}

/// A back end that the auditor knows.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its name in tables, and its sink's in the configuration.
    pub name: &'static str,
    /// What its sink takes.
    pub signals: &'static [Signal],
    /// The form of what is read there.
    pub form: Form,
    /// What it cannot hold.
    pub cannot_hold: &'static [CannotHold],
    /// How often an item may be there.
    pub copies: Copies,
    /// Whether it is slow to start or to install.
    pub is_slow: bool,
    /// Starts it with its files below a folder; the run's own gateway data lie in the other.
    pub start: fn(folder: &Path, data: &Path) -> Box<dyn Server>,
}

/// A running back end.
pub trait Server {
    /// Where it is delivered to, when it is a process that listens; faults are put before this port.
    fn port(&self) -> Option<u16> {
        None
    }

    /// The sink that delivers to it by `port`: a YAML mapping in one line.
    fn sink(&self, port: u16) -> String;

    /// Whether it is a process of its own that can be killed.
    fn is_process(&self) -> bool {
        false
    }

    /// `kill -9`. What has no process of its own does nothing.
    fn kill(&mut self) {}

    /// Starts it again with the same data.
    fn restart(&mut self) {}

    /// Everything that it has. `ids` are all that were ever claimed, for what can only be asked one by one.
    fn read(&self, run: &Run, ids: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String>;
}
