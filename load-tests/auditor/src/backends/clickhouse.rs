//! ClickHouse: the engine of today with the tables that the gateway creates, and 18.16 with tables of its own, since it has
//! neither maps nor times below the second.

use testkit::server::{Chdb, ClickHouse};

use crate::backend::{Copies, Form, Refusal, Row, Secret, Server};
use crate::cannot_hold::CannotHold;
use crate::content::Run;
use crate::content::poison::{NO_NUMBER, Poison, poison};
use crate::item::{Id, Signal};
use crate::read::{Found, clickhouse};

/// The row of the engine of today.
pub(crate) const TODAY: Row = Row {
    name: "clickhouse",
    signals: &Signal::ALL,
    form: Form::Items,
    cannot_hold: &[
        CannotHold::Kinds,
        CannotHold::WholeNumbers,
        CannotHold::MissingNumbers,
        CannotHold::Field("zero_threshold"),
        CannotHold::SpanField("flags"),
        CannotHold::Field("observed"),
    ],
    copies: Copies::Once,
    is_slow: true,
    start: |folder, _| Box::new(Today(Chdb::start(folder))),
};

/// The row of ClickHouse 18.16: without points, since it reads the least doubles as 0 from JSON, and without a memory of what was inserted.
pub(crate) const OLD: Row = Row {
    name: "clickhouse-18",
    signals: &[Signal::Traces, Signal::Logs],
    form: Form::Items,
    cannot_hold: &[CannotHold::Kinds, CannotHold::SpanField("flags"), CannotHold::Field("observed")],
    copies: Copies::AtLeastOnce,
    is_slow: false,
    start: |folder, _| {
        let server = ClickHouse::start(folder);
        for table in [LOGS, TRACES] {
            server.query(table);
        }
        Box::new(Old(server))
    },
};

const LOGS: &str = "CREATE TABLE otel_logs (Timestamp UInt64, TimestampTime DateTime, TraceId String, SpanId String, TraceFlags UInt8, \
    SeverityText String, SeverityNumber UInt8, ServiceName String, Body String, ResourceSchemaUrl String, ResourceAttributes String, \
    ScopeSchemaUrl String, ScopeName String, ScopeVersion String, ScopeAttributes String, LogAttributes String, EventName String) \
    ENGINE = MergeTree ORDER BY (ServiceName, Timestamp)";
const TRACES: &str = "CREATE TABLE otel_traces (Timestamp UInt64, TraceId String, SpanId String, ParentSpanId String, TraceState String, \
    SpanName String, SpanKind String, ServiceName String, ResourceAttributes String, ScopeName String, ScopeVersion String, \
    SpanAttributes String, Duration UInt64, StatusCode String, StatusMessage String, `Events.Timestamp` Array(UInt64), \
    `Events.Name` Array(String), `Events.Attributes` Array(String), `Links.TraceId` Array(String), `Links.SpanId` Array(String), \
    `Links.TraceState` Array(String), `Links.Attributes` Array(String)) ENGINE = MergeTree ORDER BY (ServiceName, Timestamp)";

struct Today(Chdb);

impl Server for Today {
    fn port(&self) -> Option<u16> {
        Some(self.0.port)
    }

    fn sink(&self, port: u16) -> String {
        format!("{{ type: clickhouse, url: 'http://127.0.0.1:{port}', create_schema: true }}")
    }

    fn kill(&mut self) {
        self.0.process.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    fn has_disk(&self) -> bool {
        true
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        clickhouse::read(run, self.0.port, TODAY.signals, each)
    }
}

struct Old(ClickHouse);

impl Server for Old {
    fn port(&self) -> Option<u16> {
        Some(self.0.port)
    }

    fn sink(&self, port: u16) -> String {
        let user = ClickHouse::USER;
        format!(
            "{{ type: clickhouse, url: 'http://127.0.0.1:{port}', user: {user}, password: '${{AUDIT_CLICKHOUSE}}', format: json_each_row, deduplicate: false, signals: [traces, logs] }}"
        )
    }

    fn kill(&mut self) {
        self.0.process.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    fn secret(&self) -> Option<Secret> {
        Some(Secret { variable: "AUDIT_CLICKHOUSE", right: ClickHouse::PASSWORD })
    }

    fn has_disk(&self) -> bool {
        true
    }

    /// By columns that are computed of each row and cannot be of some.
    fn make_picky(&mut self) -> Result<(), String> {
        for (table, column) in [("otel_logs", "LogAttributes"), ("otel_traces", "SpanAttributes")] {
            self.0.query(&format!(
                "ALTER TABLE {table} ADD COLUMN Guard UInt8 MATERIALIZED throwIf(position({column}, '{NO_NUMBER}') > 0)"
            ));
        }
        Ok(())
    }

    fn refuses(&self, run: &Run, id: Id) -> Option<Refusal> {
        (poison(run, id) == Some(Poison::Conflict)).then_some(Refusal::Letter("throwIf"))
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        clickhouse::read(run, self.0.port, OLD.signals, each)
    }
}
