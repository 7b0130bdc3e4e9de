//! What a guest logs, through the contract's `log` or by writing to stdout and stderr: capped,
//! escaped, one record a line.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasq_core::message::MessageId;

use super::bindings::wasq::worker::log::Level;
use super::job::Job;
use super::last_words::LastWords;
use super::text::sanitize;
use crate::config::Limits;
use crate::telemetry::spans::Span;

/// A line of stdout or stderr, or a record's text, is cut here. No setting, as those below:
/// `log_bytes` bounds them all together.
const LINE_MAX_BYTES: usize = 4 * 1024;
/// A record's target, its fields, and their names and values are cut here.
const TARGET_MAX_BYTES: usize = 128;
const FIELDS_MAX: usize = 32;
const FIELD_NAME_MAX_BYTES: usize = 64;
const FIELD_VALUE_MAX_BYTES: usize = 1024;

/// The log of one run.
pub struct GuestLog {
    kind: String,
    plugin: String,
    message_id: MessageId,
    attempt: u32,
    span: Span,
    budget: Mutex<Budget>,
    output: Mutex<Output>,
}

/// What the guest has written to stdout and stderr.
#[derive(Default)]
struct Output {
    /// The line of each that has not ended.
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    last_words: LastWords,
}

/// One of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    /// The target of its records.
    fn target(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl Output {
    fn line(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// The line ends here.
    fn end_line(&mut self, stream: Stream) -> String {
        let line = std::mem::take(self.line(stream));
        let line = String::from_utf8_lossy(&line).into_owned();
        if stream == Stream::Stderr {
            self.last_words.read(&line);
        }
        line
    }
}

/// What the run may still log.
struct Budget {
    bytes: usize,
    records: usize,
    exhausted: Option<&'static str>,
    /// Records that it was asked for.
    asked: u32,
}

impl Budget {
    /// Takes a record out of it; or says by which limit it is the first that is dropped.
    fn take(&mut self, size: usize) -> Result<(), Option<&'static str>> {
        self.asked = self.asked.saturating_add(1);
        if self.exhausted.is_some() {
            return Err(None);
        }
        self.exhausted = match (self.records.checked_sub(1), self.bytes.checked_sub(size)) {
            (Some(records), Some(bytes)) => {
                (self.records, self.bytes) = (records, bytes);
                return Ok(());
            }
            (None, _) => Some("limits.log_records"),
            (Some(_), None) => Some("limits.log_bytes"),
        };
        Err(self.exhausted)
    }
}

impl GuestLog {
    pub fn new(job: &Job, limits: &Limits) -> Self {
        Self {
            kind: job.message.kind.0.clone(),
            plugin: job.policy.plugin.clone(),
            message_id: job.message_id.clone(),
            attempt: job.attempt,
            span: job.span.clone(),
            budget: Mutex::new(Budget {
                bytes: limits.log_bytes,
                records: limits.log_records,
                exhausted: None,
                asked: 0,
            }),
            output: Mutex::default(),
        }
    }

    /// Whether somebody takes records of this level. A trace has what a handler says from `info`
    /// on, whatever the log has.
    pub fn takes(&self, level: Level) -> bool {
        let in_span = self.span.is_recording();
        match level {
            Level::Trace => tracing::enabled!(target: "guest", tracing::Level::TRACE),
            Level::Debug => tracing::enabled!(target: "guest", tracing::Level::DEBUG),
            Level::Info => in_span || tracing::enabled!(target: "guest", tracing::Level::INFO),
            Level::Warn => in_span || tracing::enabled!(target: "guest", tracing::Level::WARN),
            Level::Error => in_span || tracing::enabled!(target: "guest", tracing::Level::ERROR),
        }
    }

    /// How many records the guest has written, those that were dropped included.
    pub fn records(&self) -> u32 {
        self.budget.lock().asked
    }

    /// What the guest wrote to stderr last, or what says there why it failed.
    pub fn last_words(&self) -> Option<String> {
        self.output.lock().last_words.text().map(str::to_owned)
    }

    /// The guest writes no more: what it wrote without a newline is a line, too.
    pub fn end(&self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mut output = self.output.lock();
            if !output.line(stream).is_empty() {
                let line = output.end_line(stream);
                drop(output);
                self.line(stream, &line);
            }
        }
    }

    /// One record, if the budget has room; the first that has none says so. What counts is what
    /// would be written.
    pub fn record(&self, level: Level, target: &str, text: &str, fields: &[(String, String)]) {
        let message = sanitize(text, LINE_MAX_BYTES);
        let target = sanitize(target, TARGET_MAX_BYTES);
        let left_out = fields.len().saturating_sub(FIELDS_MAX);
        let field = |(name, value): &(String, String)| {
            format!("{}={}", sanitize(name, FIELD_NAME_MAX_BYTES), sanitize(value, FIELD_VALUE_MAX_BYTES))
        };
        let mut fields: Vec<String> = fields.iter().take(FIELDS_MAX).map(field).collect();
        if left_out > 0 {
            fields.push(format!("… and {left_out} more"));
        }
        let size = message.len() + target.len() + fields.iter().map(String::len).sum::<usize>();
        let taken = self.budget.lock().take(size.max(1));
        match taken {
            Ok(()) => self.emit(level, &target, &message, &fields),
            Err(Some(limit)) => {
                let text = format!("this message's handler logged more than its limit ({limit}); the rest is dropped");
                self.emit(Level::Warn, "wasq", &text, &[]);
            }
            Err(None) => {}
        }
    }

    fn emit(&self, level: Level, target: &str, message: &str, fields: &[String]) {
        let Self { kind, plugin, message_id, attempt, .. } = self;
        let fields = (!fields.is_empty()).then(|| fields.join(" "));
        macro_rules! event {
            ($level:ident) => {
                tracing::$level!(target: "guest", %message_id, "type" = kind, plugin, attempt, guest_target = target, fields, "{message}")
            };
        }
        self.span.logged(severity(level), target, message);
        match level {
            Level::Trace => event!(trace),
            Level::Debug => event!(debug),
            Level::Info => event!(info),
            Level::Warn => event!(warn),
            Level::Error => event!(error),
        }
    }

    /// Takes bytes of stdout or stderr, a record a line.
    fn write(&self, stream: Stream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            let mut output = self.output.lock();
            let line = output.line(stream);
            let room = LINE_MAX_BYTES - line.len();
            line.extend_from_slice(&part[..part.len().min(room)]);
            bytes = &rest[rest.len().min(1)..];
            if end.is_some() {
                let line = output.end_line(stream);
                drop(output);
                self.line(stream, &line);
            }
        }
    }

    fn line(&self, stream: Stream, line: &str) {
        if !line.trim().is_empty() {
            self.record(Level::Info, stream.target(), line, &[]);
        }
    }
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::Trace => "TRACE",
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
    }
}

/// A guest's stdout or stderr.
#[derive(Clone)]
pub struct Stdio(Arc<GuestLog>, Stream);

impl Stdio {
    pub fn stdout(log: &Arc<GuestLog>) -> Self {
        Self(log.clone(), Stream::Stdout)
    }

    pub fn stderr(log: &Arc<GuestLog>) -> Self {
        Self(log.clone(), Stream::Stderr)
    }
}

impl IsTerminal for Stdio {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stdio {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn wasmtime_wasi::p2::OutputStream> {
        Box::new(self.clone())
    }
}

/// A synchronous stream: what a guest wrote before it trapped is there when its trap is read.
#[async_trait::async_trait]
impl wasmtime_wasi::p2::Pollable for Stdio {
    async fn ready(&mut self) {}
}

impl wasmtime_wasi::p2::OutputStream for Stdio {
    fn write(&mut self, bytes: bytes::Bytes) -> wasmtime_wasi::p2::StreamResult<()> {
        self.0.write(self.1, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> wasmtime_wasi::p2::StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> wasmtime_wasi::p2::StreamResult<usize> {
        Ok(LINE_MAX_BYTES)
    }
}

impl AsyncWrite for Stdio {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.write(self.1, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_record_over_a_limit_says_so_and_the_others_are_dropped() {
        let check = |records, bytes, sizes: &[usize], expect: &str| {
            let mut budget = Budget { bytes, records, exhausted: None, asked: 0 };
            let said: Vec<_> = sizes.iter().map(|size| budget.take(*size)).collect();
            let kept = said.iter().take_while(|said| said.is_ok()).count();
            assert_eq!(said[kept], Err(Some(expect)), "{records} records, {bytes} bytes");
            assert!(said[kept + 1..].iter().all(|said| *said == Err(None)), "{said:?}");
            assert_eq!(budget.asked as usize, sizes.len());
        };
        check(2, 100, &[1, 1, 1, 1], "limits.log_records");
        check(9, 100, &[60, 60, 1, 1], "limits.log_bytes");
        check(0, 100, &[1, 1], "limits.log_records");
        check(1, 0, &[1, 1], "limits.log_bytes");
    }
}
