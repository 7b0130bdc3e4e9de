//! What the outside world answers, and what it remembers. No I/O here.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use serde_json::Value;
use wasq_core::clock;

use super::super::orders::{RENDITIONS, order_id_in};
use super::super::picture;
use super::audit::{Append, Audit};
use super::effect::{Effect, MAX_CALLS};

/// How long a clip is.
const CLIP_BYTES: usize = 32 * 1024;

/// One call, as the server read it.
#[derive(Debug)]
pub struct Call<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub idempotency_key: Option<String>,
    pub body: &'a Bytes,
}

/// What the server sends back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub retry_after_s: Option<u32>,
    pub content_type: &'static str,
    pub body: Bytes,
}

/// The state behind the server.
#[derive(Debug, Default)]
pub struct World {
    effects: Vec<Effect>,
    faults: BTreeMap<String, Fault>,
    latencies: BTreeMap<String, Duration>,
    audit: Audit,
    /// Tokens of those who wait for the moderators' word.
    waiting: Vec<String>,
}

#[derive(Debug)]
struct Fault {
    status: StatusCode,
    retry_after_s: Option<u32>,
    /// Calls yet to fail; without it, all.
    left: Option<u32>,
}

impl World {
    pub fn fail(&mut self, prefix: &str, status: u16, retry_after_s: Option<u32>, calls: Option<u32>) {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.faults.insert(prefix.to_owned(), Fault { status, retry_after_s, left: calls });
    }

    pub fn heal(&mut self, prefix: &str) {
        self.faults.remove(prefix);
    }

    pub fn set_latency(&mut self, prefix: &str, latency: Duration) {
        self.latencies.insert(prefix.to_owned(), latency);
    }

    pub fn latency(&self, path: &str) -> Duration {
        longest_prefix(&self.latencies, path).map(|prefix| self.latencies[&prefix]).unwrap_or_default()
    }

    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    pub fn verify_audit(&self) -> Result<u64, String> {
        self.audit.verify()
    }

    /// Answers a call and remembers it.
    pub fn answer(&mut self, call: &Call<'_>) -> Answer {
        if self.effects.len() >= MAX_CALLS {
            return Answer::plain(StatusCode::INSUFFICIENT_STORAGE, "the sink remembers no more calls");
        }
        let (id, answer) = match self.take_fault(call.path) {
            Some(failed) => (id_in_body(call.body), failed),
            None => self.serve(call),
        };
        self.effects.push(Effect {
            method: call.method.to_owned(),
            path: call.path.to_owned(),
            idempotency_key: call.idempotency_key.clone(),
            id,
            body_bytes: call.body.len(),
            body_blake3: blake3::hash(call.body).to_string(),
            status: answer.status.as_u16(),
            at: clock::now(),
        });
        answer
    }

    /// Tokens that nobody has taken yet.
    pub fn take_waiting(&mut self) -> Vec<String> {
        std::mem::take(&mut self.waiting)
    }

    /// The moderators are asked about a video.
    fn asked(&mut self, body: &[u8]) -> Option<()> {
        let question: Value = serde_json::from_slice(body).ok()?;
        question["video_id"].as_str()?;
        self.waiting.push(question["token"].as_str()?.to_owned());
        Some(())
    }

    fn take_fault(&mut self, path: &str) -> Option<Answer> {
        let prefix = longest_prefix(&self.faults, path)?;
        let fault = self.faults.get_mut(&prefix)?;
        let mut answer = Answer::plain(fault.status, "told to fail");
        answer.retry_after_s = fault.retry_after_s;
        if let Some(left) = &mut fault.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.faults.remove(&prefix);
            }
        }
        Some(answer)
    }

    /// The routes. Gives the id that the call was about beside the answer.
    fn serve(&mut self, call: &Call<'_>) -> (Option<String>, Answer) {
        let segments: Vec<&str> = call.path.split('/').skip(1).collect();
        match (call.method, &segments[..]) {
            (
                "POST",
                ["mail", "messages"]
                | ["inventory", "warehouse" | "storefront" | "marketplace", "reservations"]
                | ["partner", "webhooks", "orders"]
                | ["analytics", "events"]
                | ["reports"],
            ) => {
                let fits = serde_json::from_slice::<Value>(call.body).is_ok_and(|body| body.is_object());
                (id_in_body(call.body), Answer::created_if(fits, "the body is not a JSON object"))
            }
            ("PUT", ["storage", "receipts", name]) => {
                let fits = call.body.starts_with(b"%PDF-");
                (Some(name.trim_end_matches(".pdf").to_owned()), Answer::created_if(fits, "the body is not a PDF"))
            }
            ("PUT", ["storage", "thumbnails", image_id, _]) => {
                let fits = call.body.starts_with(b"\xFF\xD8\xFF");
                (Some((*image_id).to_owned()), Answer::created_if(fits, "the body is not a JPEG"))
            }
            ("GET", ["images", name]) if name.ends_with(".png") => {
                let id = name.trim_end_matches(".png");
                (Some(id.to_owned()), Answer::new(StatusCode::OK, "image/png", picture::png(id)))
            }
            ("GET", ["clips", name]) if name.ends_with(".bin") => {
                let id = name.trim_end_matches(".bin");
                (Some(id.to_owned()), Answer::new(StatusCode::OK, "application/octet-stream", clip(id)))
            }
            ("PUT", ["storage", "videos", video_id, "renditions" | "pictures", _]) => {
                (Some((*video_id).to_owned()), Answer::created_if(!call.body.is_empty(), "the body is empty"))
            }
            ("POST", ["moderation", "reviews"]) => {
                let fits = self.asked(call.body).is_some();
                (id_in_body(call.body), Answer::created_if(fits, "the body names no video, or has no token"))
            }
            ("POST", ["catalogue", "videos"]) => {
                let fits = is_whole_record(call.body);
                (id_in_body(call.body), Answer::created_if(fits, "the record has not all of the video's parts"))
            }
            ("GET", ["audit", "head"]) => {
                let (sequence, hash) = self.audit.head();
                let head = serde_json::json!({"sequence": sequence, "hash": hash}).to_string();
                (None, Answer::new(StatusCode::OK, "application/json", head))
            }
            ("POST", ["audit", "entries"]) => {
                let answer = match self.audit.append(call.body, call.idempotency_key.as_deref()) {
                    Append::Done => Answer::plain(StatusCode::CREATED, ""),
                    Append::Known => Answer::plain(StatusCode::OK, ""),
                    Append::NotNext => Answer::plain(StatusCode::CONFLICT, "the entry does not follow the head"),
                    Append::Wrong(why) => Answer::new(StatusCode::UNPROCESSABLE_ENTITY, "text/plain", why),
                };
                (id_in_body(call.body), answer)
            }
            _ => (id_in_body(call.body), Answer::plain(StatusCode::NOT_FOUND, "no such place")),
        }
    }
}

impl Answer {
    fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Answer { status, retry_after_s: None, content_type, body: body.into() }
    }

    fn plain(status: StatusCode, text: &'static str) -> Self {
        Answer::new(status, "text/plain", text)
    }

    fn created_if(fits: bool, otherwise: &'static str) -> Self {
        if fits {
            Answer::new(StatusCode::CREATED, "application/json", "{}")
        } else {
            Answer::plain(StatusCode::UNPROCESSABLE_ENTITY, otherwise)
        }
    }
}

/// A small clip, its own for each video.
fn clip(id: &str) -> Bytes {
    let mut bytes = vec![0; CLIP_BYTES];
    blake3::Hasher::new().update(id.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes.into()
}

/// Whether a video's record names each rendition, each picture, and the moderators' word.
fn is_whole_record(body: &[u8]) -> bool {
    let record: Value = serde_json::from_slice(body).unwrap_or_default();
    let count = |name: &str| record[name].as_array().map_or(0, Vec::len);
    record["video_id"].is_string()
        && (count("renditions"), count("moderation")) == (RENDITIONS.len(), 1)
        && count("pictures") > 0
        && record["moderation"][0]["fit"] == true
}

fn longest_prefix<V>(map: &BTreeMap<String, V>, path: &str) -> Option<String> {
    map.keys().filter(|prefix| path.starts_with(prefix.as_str())).max_by_key(|prefix| prefix.len()).cloned()
}

/// The field `order_id` at the top or in an object below it, else `video_id`, else an order id in
/// the text, such as in a mail's subject, else the field `at`: analytics learn when something was
/// ordered, and not which order it was.
fn id_in_body(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let json = serde_json::from_str::<Value>(text).unwrap_or_default();
    let below = || json.as_object()?.values().find_map(|value| value.get("order_id"));
    let field = json.get("order_id").or_else(below).or_else(|| json.get("video_id")).and_then(Value::as_str);
    field.or_else(|| order_id_in(text)).or_else(|| json.get("at")?.as_str()).map(str::to_owned)
}

#[cfg(test)]
mod tests;
