//! `POST /v1/messages/{type}`: checked, sent to the type's queue, and answered when it is there.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;
use wasq_core::clock;
use wasq_core::message::{AttributeValue, KEY_ATTRIBUTE, Key};
use wasq_queues::{Outgoing, QueueError, QueueRules};

use super::app::App;
use super::attributes::{CONTENT_TYPE, Envelope, Parameters};
use super::batch::{Bodies, NDJSON};
use super::failure::Failure;

/// The longest type.
const TYPE_MAX_BYTES: usize = 256;
/// The group of a message to a FIFO queue that names none.
const GROUP: &str = "wasq";

/// A message that is in its queue.
#[derive(Debug, Serialize)]
struct Accepted {
    message_id: String,
    key: String,
}

/// What became of one message of many.
#[derive(Debug, Serialize)]
struct Answer {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(flatten)]
    accepted: Option<Accepted>,
}

pub async fn post(
    State(app): State<Arc<App>>,
    Path(kind): Path<String>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    if kind.is_empty() || kind.len() > TYPE_MAX_BYTES {
        return Err(Failure::bad(format!("a type has 1 to {TYPE_MAX_BYTES} bytes")));
    }
    let config = app.config.ingress.types.get(&kind);
    let signature = config.and_then(|config| config.signature.as_ref());
    // Who may not send hears nothing of types.
    let sender = match signature {
        Some(_) => None,
        None => Some(app.access.sender(&headers, &kind)?),
    };
    let Query(parameters) =
        parameters.map_err(|error| Failure::bad(format!("the parameters: {}", error.body_text())))?;
    let queue = app.config.ingress_queue(&kind).filter(|_| app.knows(&kind));
    let Some(queue) = queue else {
        let reason =
            format!("the type `{kind}` is not known here: no plugin handles it, and [ingress.types] does not have it");
        return Err(Failure::new(StatusCode::NOT_FOUND, reason));
    };
    app.pressure(&kind, queue)?;
    let media = media_type(&app, &kind, &headers)?;
    let max_body = app.config.ingress.max_body.as_u64();
    let body = read(body, max_body, "ingress.max_body").await?;
    let now = app.services.clock.unix_ms();
    if let Some(signature) = signature {
        app.access.check_signature(signature, &headers, &body, now)?;
    }
    let bodies = Bodies::read(body, &media, parameters.batch, app.config.ingress.max_messages)?;
    if let Some(sender) = &sender {
        sender.take(bodies.len(), clock::now())?;
    }
    let by = sender.and_then(|sender| sender.name);
    tracing::debug!("type" = kind, by, messages = bodies.len(), "messages come in");
    let outlet = app.senders.outlets().get(queue);
    let outlet = outlet.ok_or_else(|| Failure::unavailable(format!("the queue `{queue}` is not open")))?;
    let envelope = Envelope::read(&kind, &headers, &parameters, outlet.queue.delays_up_to(), now)?;
    let rules = QueueRules::of(&*outlet.queue, &outlet.max_bytes);
    let make = |body: &Bytes, place: Option<usize>| message(&app, &kind, &envelope, &rules, body, place);
    match &bodies {
        Bodies::One(body) => {
            let made = make(body, None)?;
            let sent = app.senders.send(queue, vec![made.clone()]).await.pop();
            let accepted = accepted(&made, sent.unwrap_or_else(|| Err(no_answer())))?;
            Ok((StatusCode::ACCEPTED, Json(accepted)).into_response())
        }
        Bodies::Many(all) => {
            let made: Vec<_> = all.iter().enumerate().map(|(place, body)| make(body, Some(place))).collect();
            let good = made.iter().filter_map(|made| made.as_ref().ok().cloned()).collect();
            let mut sent = app.senders.send(queue, good).await.into_iter();
            let answers: Vec<_> = made
                .into_iter()
                .map(|made| made.and_then(|made| accepted(&made, sent.next().unwrap_or_else(|| Err(no_answer())))))
                .map(|answer| match answer {
                    Ok(accepted) => {
                        Answer { status: StatusCode::ACCEPTED.as_u16(), error: None, accepted: Some(accepted) }
                    }
                    Err(failure) => {
                        Answer { status: failure.status.as_u16(), error: Some(failure.reason), accepted: None }
                    }
                })
                .collect();
            let is_all = answers.iter().all(|answer| answer.accepted.is_some());
            let status = if is_all { StatusCode::ACCEPTED } else { StatusCode::MULTI_STATUS };
            Ok((status, Json(answers)).into_response())
        }
    }
}

/// The request's media type, if the type's bodies may have it.
fn media_type(app: &App, kind: &str, headers: &HeaderMap) -> Result<String, Failure> {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("application/json");
    let media = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let taken = match app.config.ingress.types.get(kind) {
        Some(config) => config.content_types.clone(),
        None => vec!["application/json".to_owned()],
    };
    let is_lines = media == NDJSON && taken.iter().any(|taken| taken == "application/json");
    if is_lines || taken.contains(&media) {
        return Ok(media);
    }
    let reason = format!("the media type `{media}` is not taken; the type `{kind}` takes {}", taken.join(", "));
    Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason))
}

/// A request's body, if it is not too long.
pub async fn read(body: Body, max_bytes: u64, limit: &str) -> Result<Bytes, Failure> {
    let max = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    match Limited::new(body, max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let reason = format!("the body has more than {max_bytes} bytes ({limit})");
            Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, reason))
        }
        Err(_) => Err(Failure::bad("the body ended before its end")),
    }
}

/// The message as it is sent. `place` is where it stands among several.
fn message(
    app: &App,
    kind: &str,
    envelope: &Envelope,
    rules: &QueueRules,
    body: &Bytes,
    place: Option<usize>,
) -> Result<Outgoing, Failure> {
    app.types.check(kind, body).map_err(|reason| Failure::new(StatusCode::UNPROCESSABLE_ENTITY, reason))?;
    let mut attributes = envelope.attributes.clone();
    if place.is_some() {
        // Of a line, not of the lines.
        attributes.remove(CONTENT_TYPE);
    }
    let key = envelope.key.as_ref().map(|key| place.map_or_else(|| key.clone(), |place| format!("{key}#{place}")));
    if let Some(key) = &key {
        let limit = app.services.limits.key_bytes;
        if key.len() > limit {
            return Err(Failure::bad(format!(
                "the key has {} bytes; the limit is {limit} (limits.key_bytes)",
                key.len()
            )));
        }
        attributes.insert(KEY_ATTRIBUTE.into(), AttributeValue::string(key));
    }
    let deduplication_id = rules.fifo.then(|| match &key {
        Some(key) => Key::derive(&[kind.as_bytes(), key.as_bytes()]).to_hex(),
        None => uuid::Uuid::new_v4().to_string(),
    });
    let group = envelope.group.clone().or_else(|| rules.fifo.then(|| GROUP.to_owned()));
    let message = Outgoing { body: body.clone(), attributes, delay_s: envelope.delay_s, group, deduplication_id };
    match rules.refusal(&message) {
        None => Ok(message),
        Some(reason) => {
            let is_large = message.body.len() > rules.max_bytes;
            let status = if is_large { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
            Err(Failure::new(status, reason))
        }
    }
}

fn accepted(message: &Outgoing, sent: Result<wasq_core::message::MessageId, QueueError>) -> Result<Accepted, Failure> {
    let id = sent.map_err(|error| match error {
        QueueError::Transient { .. } => {
            Failure::unavailable(format!("the queue does not take it now: {}", error.code()))
        }
        QueueError::Permanent { .. } | QueueError::LeaseLost { .. } => {
            Failure::unavailable(format!("the queue refuses it: {}", error.code()))
        }
    })?;
    let key = message.attributes.get(KEY_ATTRIBUTE).and_then(AttributeValue::text);
    let key = key.map_or_else(|| id.0.clone(), str::to_owned);
    Ok(Accepted { message_id: id.0, key })
}

fn no_answer() -> QueueError {
    QueueError::Transient { code: "NoAnswer".into(), message: "the queue gave none".into() }
}
