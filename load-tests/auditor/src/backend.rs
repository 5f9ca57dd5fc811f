//! Back ends: one row each, with what it takes, what it cannot hold, and how often it may have an item.

use std::path::Path;

use testkit::proxy::Proxy;

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

/// How a back end refuses an item that is poison to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It becomes a dead letter, whose reason has this text.
    Letter(&'static str),
    /// It is booked as refused by the peer, which names no items.
    Booked,
}

/// What a back end's sink shows it, so that it may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    /// The environment variable that the sink's configuration takes it from.
    pub variable: &'static str,
    /// The right one.
    pub right: &'static str,
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
pub trait Server: Send {
    /// Where it is delivered to, when it is a process that listens; faults are put before this port.
    fn port(&self) -> Option<u16> {
        None
    }

    /// The way to it, when it tells clients where to come and so has one of its own.
    fn way(&self) -> Option<&Proxy> {
        None
    }

    /// The sink that delivers to it by `port`: a YAML mapping in one line.
    fn sink(&self, port: u16) -> String;

    /// `kill -9`. What has no process of its own does nothing.
    fn kill(&mut self) {}

    /// Starts it again with the same data.
    fn restart(&mut self) {}

    /// The secret that it checks, if it does.
    fn secret(&self) -> Option<Secret> {
        None
    }

    /// Whether it keeps its data in the folder that it was started with, and feels it when the disk below is full.
    fn has_disk(&self) -> bool {
        false
    }

    /// Whether it stops taking items at once when its disk is full.
    fn stops_when_full(&self) -> bool {
        true
    }

    /// The disk has room again: what an operator does then.
    fn disk_emptied(&mut self) {}

    /// Makes it refuse what is poison to it, before anything is sent.
    fn make_picky(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// How it refuses an item, once it is picky; `None` for what it takes.
    fn refuses(&self, run: &Run, id: Id) -> Option<Refusal> {
        let _ = (run, id);
        None
    }

    /// Everything that it has. `ids` are all that were ever claimed, for what can only be asked one by one.
    fn read(&self, run: &Run, ids: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String>;
}
