//! The macros of `tracing` and of `log`, into the host's log.

use std::fmt::Debug;

use tracing::field::{Field, Visit};
use tracing::span;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::backend::{log_enabled, log_write};
use crate::failure::chain_text;

/// One line of a handler's log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Its level.
    pub level: Level,
    /// Where it was written, as a module path, unless the macro named another target.
    pub target: String,
    /// Its text.
    pub message: String,
    /// The fields of a `tracing` event, in the order in which they were written.
    pub fields: Vec<(String, String)>,
}

/// Makes the macros of both crates write to the host, unless the handler's own code was there
/// first.
pub(crate) fn install() {
    // Both fail only when something is installed already: our own, or what the handler chose
    // instead.
    if log::set_logger(&Lines).is_ok() {
        log::set_max_level(log::LevelFilter::Trace);
    }
    let _taken = tracing::subscriber::set_global_default(Events);
}

/// Forwards each event of `tracing`. Spans are accepted and not recorded: an instance handles one
/// message, which the host's own span already names.
struct Events;

impl Subscriber for Events {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && log_enabled(*metadata.level())
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut record = Record {
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut record);
        log_write(record);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            name => self.fields.push((name.to_owned(), value.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &chain_text(value));
    }
}

/// Forwards each line of `log`.
struct Lines;

impl log::Log for Lines {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        log_enabled(level(metadata.level()))
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            log_write(Record {
                level: level(record.level()),
                target: record.target().to_owned(),
                message: record.args().to_string(),
                fields: Vec::new(),
            });
        }
    }

    fn flush(&self) {}
}

fn level(level: log::Level) -> Level {
    match level {
        log::Level::Error => Level::ERROR,
        log::Level::Warn => Level::WARN,
        log::Level::Info => Level::INFO,
        log::Level::Debug => Level::DEBUG,
        log::Level::Trace => Level::TRACE,
    }
}
