//! A call that the demo's sink has answered.

use axum::http::StatusCode;
use tokio::time::Instant;

/// Most calls that are remembered; further ones are answered 507.
pub const MAX_CALLS: usize = 1_000_000;

/// A call that the sink answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The method, such as `POST`.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The header `Idempotency-Key`, if it was there and text.
    pub idempotency_key: Option<String>,
    /// The order's, the image's or the video's id that the call was about, if it told; of an
    /// analytics event, the order's time, and of a report, its tick.
    pub id: Option<String>,
    /// The body's length in bytes.
    pub body_bytes: usize,
    /// The body's blake3, in hexadecimal digits.
    pub body_blake3: String,
    /// The status that was answered.
    pub status: u16,
    /// When it was answered.
    pub at: Instant,
}

impl Effect {
    /// Whether the call changed anything. The sink answers 201 to those and to no others: a read,
    /// an audit entry that was there already and a failure change nothing.
    pub fn is_done(&self) -> bool {
        self.status == StatusCode::CREATED.as_u16()
    }
}
