//! What the forms do. Each action is in the audit log, and ends on the page that shows what came of
//! it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Redirect;
use bytes::Bytes;
use serde::Deserialize;
use wasq_core::message::{MessageId, UnixMs};
use wasq_core::pause::Target;

use super::layout::PageError;
use super::letters::{GroupQuery, dead_letter_queue, queue_href};
use crate::admin::app::App;
use crate::admin::extractors::Action;
use crate::admin::letters::LettersError;
use crate::dlq::listing::GroupKey;
use crate::timers::schedules::Change;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// For how long something can be paused here: the form's value, its words, and seconds.
/// `wasq pause` takes any time.
pub const FOR: [(&str, &str, Option<u64>); 6] = [
    ("", "until it is resumed", None),
    ("15m", "15 minutes", Some(15 * MINUTE)),
    ("1h", "1 hour", Some(HOUR)),
    ("4h", "4 hours", Some(4 * HOUR)),
    ("1d", "1 day", Some(24 * HOUR)),
    ("3d", "3 days", Some(72 * HOUR)),
];

#[derive(Deserialize)]
pub struct Pause {
    what: String,
    name: String,
    #[serde(rename = "for")]
    time: String,
    by: String,
}

#[derive(Deserialize)]
pub struct Resume {
    target: String,
}

#[derive(Deserialize)]
pub struct Schedule {
    name: String,
    action: ScheduleAction,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ScheduleAction {
    Pause,
    Resume,
    Run,
}

#[derive(Deserialize)]
pub struct One {
    id: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    sure: Option<String>,
}

#[derive(Deserialize)]
pub struct Many {
    #[serde(rename = "type", default)]
    kind: String,
    class: String,
    fingerprint: String,
    #[serde(default)]
    sure: Option<String>,
}

impl Many {
    fn group(&self) -> GroupKey {
        GroupQuery::new(&self.kind, &self.class, &self.fingerprint).key()
    }
}

pub(super) async fn pause(State(app): State<Arc<App>>, act: Action<Pause>) -> Result<Redirect, PageError> {
    let Action { visitor, form } = act;
    let target: Target = format!("{}:{}", form.what, form.name.trim()).parse().map_err(refused)?;
    let Some((_, _, seconds)) = FOR.iter().find(|(value, _, _)| *value == form.time) else {
        return Err(refused("that is none of the times"));
    };
    let by = match form.by.trim() {
        "" => "the dashboard",
        name => name,
    };
    let now = app.source.services.clock.unix_ms();
    let until = seconds.map(|seconds| UnixMs(now.0 + Duration::from_secs(seconds).as_millis() as u64));
    app.pause(target, by, until, visitor.peer).await.map_err(refused)?;
    Ok(Redirect::to("/dashboard/control?done=paused"))
}

pub(super) async fn resume(State(app): State<Arc<App>>, act: Action<Resume>) -> Result<Redirect, PageError> {
    let target: Target = act.form.target.parse().map_err(refused)?;
    app.resume(&target, "the dashboard", act.visitor.peer).await.map_err(refused)?;
    Ok(Redirect::to("/dashboard/control?done=resumed"))
}

pub(super) async fn schedule(State(app): State<Arc<App>>, act: Action<Schedule>) -> Result<Redirect, PageError> {
    let (Schedule { name, action }, from) = (&act.form, act.visitor.peer);
    let by = "the dashboard";
    let done = match action {
        ScheduleAction::Pause => app.change_schedule(name, Change::Pause, by, from).await.map(|_| "schedule-paused"),
        ScheduleAction::Resume => app.change_schedule(name, Change::Resume, by, from).await.map(|_| "schedule-resumed"),
        ScheduleAction::Run => app.run_schedule(name, by, from).await.map(|_| "schedule-run"),
    };
    let done = done.map_err(refused)?;
    Ok(Redirect::to(&format!("/dashboard/control?done={done}")))
}

pub(super) async fn replay(
    State(app): State<Arc<App>>,
    Path(queue): Path<String>,
    act: Action<One>,
) -> Result<Redirect, PageError> {
    let (dlq, ledger) = (dead_letter_queue(&app, &queue)?, app.source.services.ledger.clone());
    let (who, id, One { body, .. }) = (act.visitor.peer, MessageId(act.form.id.clone()), act.form);
    let is_edited = body.is_some();
    let body = match body {
        // A browser sends every line break as two characters.
        Some(body) => {
            let body = body.replace("\r\n", "\n");
            let before = dlq.clone().show(ledger.clone(), id.clone()).await?;
            check(&before.delivery.body, &body)?;
            Some(Bytes::from(body))
        }
        None => None,
    };
    let done = dlq.replay(ledger, id.clone(), body).await;
    audit("replay", who.to_string(), &queue, &id.0, is_edited, done.as_ref().map(|()| 1));
    done?;
    Ok(back_to(&queue, "replayed", 1))
}

pub(super) async fn discard(
    State(app): State<Arc<App>>,
    Path(queue): Path<String>,
    act: Action<One>,
) -> Result<Redirect, PageError> {
    sure(act.form.sure.as_deref())?;
    let (dlq, id) = (dead_letter_queue(&app, &queue)?, MessageId(act.form.id));
    let done = dlq.discard(app.source.services.ledger.clone(), id.clone()).await;
    audit("discard", act.visitor.peer.to_string(), &queue, &id.0, false, done.as_ref().map(|()| 1));
    done?;
    Ok(back_to(&queue, "discarded", 1))
}

pub(super) async fn replay_group(
    State(app): State<Arc<App>>,
    Path(queue): Path<String>,
    act: Action<Many>,
) -> Result<Redirect, PageError> {
    let (dlq, group) = (dead_letter_queue(&app, &queue)?, act.form.group());
    let done = dlq.replay_group(app.source.services.ledger.clone(), group.clone()).await;
    let count = done.as_ref().map(|(count, _)| *count);
    audit("replay", act.visitor.peer.to_string(), &queue, &group.fingerprint, false, count);
    match done? {
        (0, Some(why)) => Err(LettersError::Kept(why).into()),
        (count, _) => Ok(back_to(&queue, "replayed", count)),
    }
}

pub(super) async fn discard_group(
    State(app): State<Arc<App>>,
    Path(queue): Path<String>,
    act: Action<Many>,
) -> Result<Redirect, PageError> {
    sure(act.form.sure.as_deref())?;
    let (dlq, group) = (dead_letter_queue(&app, &queue)?, act.form.group());
    let services = &app.source.services;
    let done = dlq.discard_group(services.ledger.clone(), group.clone(), services.clock.unix_ms()).await;
    audit("discard", act.visitor.peer.to_string(), &queue, &group.fingerprint, false, done.as_ref().copied());
    Ok(back_to(&queue, "discarded", done?))
}

/// A line for whoever asks later who did it. `what` is a letter's id, or a group's fingerprint.
fn audit(action: &str, who: String, queue: &str, what: &str, edited: bool, letters: Result<u64, &LettersError>) {
    match letters {
        Ok(letters) => tracing::info!(target: "audit", action, who, queue, what, edited, letters, "dead letters"),
        Err(error) => tracing::warn!(target: "audit", action, who, queue, what, edited, %error, "dead letters"),
    }
}

fn back_to(queue: &str, done: &str, count: u64) -> Redirect {
    Redirect::to(&format!("{}?done={done}&count={count}", queue_href(queue)))
}

fn sure(said: Option<&str>) -> Result<(), PageError> {
    if said == Some("yes") { Ok(()) } else { Err(refused("it has to be confirmed")) }
}

/// What was JSON must be JSON.
fn check(before: &[u8], after: &str) -> Result<(), PageError> {
    let is_json = |text: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(text).map(drop);
    match (is_json(before), is_json(after.as_bytes())) {
        (Ok(()), Err(error)) => Err(refused(format!(
            "the new body is not valid JSON, but the original was: {error}. Nothing was replayed; go back and correct it"
        ))),
        _ => Ok(()),
    }
}

fn refused(why: impl std::fmt::Display) -> PageError {
    PageError::Refused(why.to_string())
}
