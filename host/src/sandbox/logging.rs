//! What a guest logs, through the contract's `log` or by writing to stdout and stderr: capped, escaped, one record a line.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use super::bindings::wasq::worker::log::{Host, Level};
use super::state::State;
use super::text::sanitize;
use crate::config::Limits;
use crate::message::MessageId;

/// A line of stdout or stderr is cut here.
const LINE_MAX_BYTES: usize = 4 * 1024;
/// Last words kept for a trap's reason.
const LAST_WORDS_MAX_BYTES: usize = 1024;

/// The log of one run.
pub struct GuestLog {
    plugin: String,
    message_id: MessageId,
    attempt: u32,
    bytes_left: AtomicUsize,
    records_left: AtomicUsize,
    last_words: Mutex<LastWords>,
}

#[derive(Default)]
struct LastWords {
    line: Vec<u8>,
    panic: Option<String>,
}

impl GuestLog {
    pub fn new(plugin: &str, message_id: MessageId, attempt: u32, limits: &Limits) -> Self {
        Self {
            plugin: plugin.to_owned(),
            message_id,
            attempt,
            bytes_left: AtomicUsize::new(limits.log_bytes),
            records_left: AtomicUsize::new(limits.log_records),
            last_words: Mutex::default(),
        }
    }

    /// What the guest last wrote when it panicked.
    pub fn last_words(&self) -> Option<String> {
        self.lines().panic.clone()
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, LastWords> {
        self.last_words.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// One record, if the budget has room; the first that has none says so.
    fn record(&self, level: Level, target: &str, text: &str, fields: &[(String, String)]) {
        let size = text.len() + fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let had_records =
            self.records_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        let had_bytes =
            self.bytes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(size.max(1)));
        match (had_records, had_bytes) {
            (Ok(_), Ok(_)) => self.emit(level, target, text, fields),
            (Ok(_), Err(_)) => {
                self.records_left.store(0, Ordering::Relaxed);
                self.emit(
                    Level::Warn,
                    "wasq",
                    "this message's handler logged more than its limit; the rest is dropped",
                    &[],
                );
            }
            (Err(_), _) => {}
        }
    }

    fn emit(&self, level: Level, target: &str, text: &str, fields: &[(String, String)]) {
        let message = sanitize(text, LINE_MAX_BYTES);
        let target = sanitize(target, 128);
        let fields: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", sanitize(name, 64), sanitize(value, 1024))).collect();
        let (plugin, message_id, attempt) = (&self.plugin, &self.message_id, self.attempt);
        let fields = (!fields.is_empty()).then(|| fields.join(" "));
        macro_rules! event {
            ($level:ident) => {
                tracing::$level!(target: "guest", plugin, %message_id, attempt, guest_target = target, fields, "{message}")
            };
        }
        match level {
            Level::Trace => event!(trace),
            Level::Debug => event!(debug),
            Level::Info => event!(info),
            Level::Warn => event!(warn),
            Level::Error => event!(error),
        }
    }

    /// Takes bytes of stdout or stderr, a record a line.
    fn write(&self, bytes: &[u8]) {
        for &byte in bytes {
            let mut lines = self.lines();
            if byte != b'\n' && lines.line.len() < LINE_MAX_BYTES {
                lines.line.push(byte);
                continue;
            }
            if byte == b'\n' {
                let line = String::from_utf8_lossy(&lines.line).into_owned();
                lines.line.clear();
                // Rust's panic message has its text on the line after the place.
                let is_place = line.contains("panicked at");
                match &mut lines.panic {
                    None if is_place => lines.panic = Some(sanitize(line.trim(), LAST_WORDS_MAX_BYTES)),
                    Some(panic) if panic.ends_with(':') => {
                        panic.push(' ');
                        panic.push_str(&sanitize(&line, LAST_WORDS_MAX_BYTES));
                    }
                    Some(_) | None => {}
                }
                drop(lines);
                if !line.trim().is_empty() {
                    self.record(Level::Info, "stdio", &line, &[]);
                }
            }
        }
    }
}

impl Host for State {
    fn enabled(&mut self, level: Level) -> bool {
        match level {
            Level::Trace => tracing::enabled!(target: "guest", tracing::Level::TRACE),
            Level::Debug => tracing::enabled!(target: "guest", tracing::Level::DEBUG),
            Level::Info => tracing::enabled!(target: "guest", tracing::Level::INFO),
            Level::Warn => tracing::enabled!(target: "guest", tracing::Level::WARN),
            Level::Error => tracing::enabled!(target: "guest", tracing::Level::ERROR),
        }
    }

    fn write(&mut self, level: Level, target: String, message: String, fields: Vec<(String, String)>) {
        self.log.record(level, &target, &message, &fields);
    }
}

/// A guest's stdout or stderr.
#[derive(Clone)]
pub struct Stdio(Arc<GuestLog>);

impl Stdio {
    pub fn new(log: Arc<GuestLog>) -> Self {
        Self(log)
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
        self.0.write(&bytes);
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
        self.0.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
