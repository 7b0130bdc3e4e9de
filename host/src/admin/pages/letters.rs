//! The dead letters: the queues that have some, their groups, and the letters of one.
//!
//! These pages do not refresh themselves: a look hides the letters from others while it reads.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use maud::{Markup, html};
use serde::Deserialize;
use wasq_core::message::{MessageId, UnixMs};

use super::banner::Done;
use super::components::signed;
use super::format;
use super::layout::{PageError, Tab, page as whole_page};
use crate::admin::app::App;
use crate::admin::extractors::Looker;
use crate::admin::letters::{DeadLetterQueue, Looked};
use crate::dlq::listing::{ByMessage, Group, GroupKey, Groups, MessageLetters};
use crate::dlq::reader::QueueDepth;

/// Messages that a group's page lists.
const LISTED_MAX: usize = 200;

/// A group, in a page's address and in its forms.
#[derive(Clone, Debug, Deserialize)]
pub struct GroupQuery {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    class: String,
    fingerprint: String,
}

impl GroupQuery {
    pub fn new(kind: &str, class: &str, fingerprint: &str) -> Self {
        Self { kind: Some(kind.to_owned()), class: class.to_owned(), fingerprint: fingerprint.to_owned() }
    }

    pub fn key(&self) -> GroupKey {
        let kind = self.kind.clone().filter(|kind| !kind.is_empty());
        GroupKey { kind, class: self.class.clone(), fingerprint: self.fingerprint.clone() }
    }
}

/// A page about the queue's letters.
pub fn queue_href(queue: &str) -> String {
    format!("/dashboard/letters/{}", encoded(queue))
}

fn letter_href(queue: &str, id: &MessageId) -> String {
    format!("{}/letter?id={}", queue_href(queue), encoded(&id.0))
}

pub(super) fn group_href(queue: &str, GroupKey { kind, class, fingerprint }: &GroupKey) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("type", kind.as_deref().unwrap_or_default());
    query.append_pair("class", class).append_pair("fingerprint", fingerprint);
    format!("{}/group?{}", queue_href(queue), query.finish())
}

/// For one segment of a path or one value of a query.
fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Where a queue's letters are.
pub(super) fn dead_letter_queue(app: &App, queue: &str) -> Result<Arc<DeadLetterQueue>, PageError> {
    app.dead_letter_queues.list().iter().find(|dlq| dlq.name == queue).cloned().ok_or(PageError::NoQueue)
}

pub async fn queues(State(app): State<Arc<App>>, _looker: Looker) -> Markup {
    let queues = app.dead_letter_queues.list();
    let counts = futures::future::join_all(queues.iter().map(|dlq| QueueDepth::of(&*dlq.dlq))).await;
    let main = html! {
        div .scroll {
            table {
                thead { tr { th { "Queue" } th { "Dead letters in" } th .num { "Letters" } th .num { "In hand" } } }
                tbody {
                    @for (dlq, counts) in queues.iter().zip(&counts) {
                        tr {
                            th scope="row" { a href=(queue_href(&dlq.name)) { (dlq.name) } }
                            td { (dlq.dlq.name()) }
                            @match counts {
                                Ok(counts) => {
                                    td .num { (format::count(counts.total())) }
                                    td .num { (format::count(counts.hidden)) }
                                }
                                Err(error) => { td colspan="2" { (error) } }
                            }
                        }
                    }
                }
            }
        }
        p .dim { "While somebody looks at letters, others do not get them for a moment. Then they are put back." }
    };
    whole_page(&app, Tab::Letters, "Dead letters", None, &main)
}

pub(super) async fn groups(
    State(app): State<Arc<App>>,
    _looker: Looker,
    Path(queue): Path<String>,
    Query(done): Query<Done>,
) -> Result<Markup, PageError> {
    let dlq = dead_letter_queue(&app, &queue)?;
    let Looked { rows, notes } = dlq.clone().look(app.source.services.ledger.clone()).await?;
    let now = app.source.services.clock.unix_ms();
    let letters = rows.len() as u64;
    let mut groups = Groups::default();
    groups.extend(rows);
    let groups = groups.largest_first();
    let main = html! {
        (trail(&[("Dead letters", "/dashboard/letters".to_owned())], &queue))
        (done.banner())
        @for note in &notes { p .banner { (note) } }
        @if groups.is_empty() {
            p .empty { "No dead letters. All is well." }
        } @else {
            p .dim { (format::count(letters)) " letters in " (groups.len()) " groups: those of a group have one cause, and their reasons differ in values only. A message has a letter of each plugin that gave up on it." }
            div .scroll {
                table .stacked {
                    thead { tr { th .num { "Messages" } th .num { "Letters" } th { "Type" } th { "Class" } th { "Reasons" } th { "Plugins" } th { "First" } th { "Last" } } }
                    tbody { @for group in &groups { (group_row(&queue, group, now)) } }
                }
            }
        }
    };
    Ok(whole_page(&app, Tab::Letters, "Dead letters", None, &main))
}

fn group_row(queue: &str, group: &Group, now: UnixMs) -> Markup {
    let (key, href) = (&group.key, group_href(queue, &group.key));
    html! {
        tr {
            td .num data-name="messages" { a href=(href) { (format::count(group.messages())) } }
            td .num data-name="letters" { (format::count(group.letters)) }
            th scope="row" { a href=(href) { (format::cut(key.kind.as_deref().unwrap_or("unknown"), 60)) } }
            td { span .pill.bad { (key.class) } }
            td .reason title=(group.reason()) { (format::cut(group.reason(), 160)) (variants(group, 100)) }
            td { (group.plugins.iter().map(String::as_str).collect::<Vec<_>>().join(", ")) }
            td .when data-name="first" title=(format::time(group.first_failed_at)) { (format::ago(group.first_failed_at, now)) }
            td .when data-name="last" title=(format::time(group.last_failed_at)) { (format::ago(group.last_failed_at, now)) }
        }
    }
}

/// The other reasons of a group, if it has some.
fn variants(group: &Group, chars: usize) -> Markup {
    html! {
        @if group.variants.len() > 1 {
            ul .variants {
                @for (reason, letters) in group.variants.iter().skip(1) {
                    li title=(reason) { (format::count(*letters)) " × " (format::cut(reason, chars)) }
                }
                @if group.others() > 0 { li { (format::count(group.others())) " × other values" } }
            }
        }
    }
}

pub(super) async fn group(
    State(app): State<Arc<App>>,
    Looker(visitor): Looker,
    Path(queue): Path<String>,
    Query(query): Query<GroupQuery>,
) -> Result<Markup, PageError> {
    let (dlq, key) = (dead_letter_queue(&app, &queue)?, query.key());
    let looked = dlq.clone().look(app.source.services.ledger.clone()).await?;
    let rows: Vec<_> = looked.rows.into_iter().filter(|row| row.group == key).collect();
    let (letters, now) = (rows.len(), app.source.services.clock.unix_ms());
    let (mut groups, mut all) = (Groups::default(), ByMessage::default());
    groups.extend(rows.iter().cloned());
    all.extend(rows);
    let title = key.kind.as_deref().unwrap_or("unknown");
    let main = html! {
        (trail(&[("Dead letters", "/dashboard/letters".to_owned()), (&queue, queue_href(&queue))], title))
        @match groups.largest_first().first() {
            None => p .empty { "No letter of this group is there now." },
            Some(group) => {
                p .lead { span .pill.bad { (key.class) } " " (format::cut(group.reason(), 400)) }
                (variants(group, 200))
                @if let Some(token) = app.form_token(&visitor) { (group_forms(&queue, &key, letters, &token)) }
                (list(&queue, all.messages(), now))
            }
        }
    };
    Ok(whole_page(&app, Tab::Letters, title, None, &main))
}

/// Messages, each once; a plugin's name leads to its letter.
fn list(queue: &str, messages: &[MessageLetters], now: UnixMs) -> Markup {
    html! {
        div .scroll {
            table .stacked {
                thead { tr { th { "Letter" } th { "Failed" } th { "Plugins" } th .num { "Attempts" } th { "Reason" } } }
                tbody {
                    @for message in messages.iter().take(LISTED_MAX) {
                        @let shown = message.shown();
                        tr {
                            th scope="row" .id { a href=(letter_href(queue, &shown.id)) { (shown.id.0.chars().take(8).collect::<String>()) } }
                            td .when data-name="failed" title=(format::time(message.failed_at())) { (format::ago(message.failed_at(), now)) }
                            td {
                                @for (n, row) in message.letters().enumerate() {
                                    @if n > 0 { ", " }
                                    a href=(letter_href(queue, &row.id)) { (row.plugin.as_deref().unwrap_or("–")) }
                                }
                            }
                            td .num data-name="attempts" { @if let Some(attempts) = message.attempts() { (attempts) } @else { "–" } }
                            td .reason title=(message.reason()) { (format::cut(&message.reason(), 160)) }
                        }
                    }
                }
            }
        }
        @if messages.len() > LISTED_MAX { p .dim { "and " (format::count((messages.len() - LISTED_MAX) as u64)) " more" } }
    }
}

fn group_forms(queue: &str, key: &GroupKey, count: usize, token: &str) -> Markup {
    let hidden = html! {
        (signed(token))
        input type="hidden" name="type" value=(key.kind.as_deref().unwrap_or_default());
        input type="hidden" name="class" value=(key.class);
        input type="hidden" name="fingerprint" value=(key.fingerprint);
    };
    html! {
        div .actions {
            (confirmed("Replay all", "", html! {
                form .stack method="post" action=(format!("{}/replay-group", queue_href(queue))) {
                    p { "Send " b { (format::count(count as u64)) } " letters back to their queue? What a key has done already is not done again." }
                    (hidden)
                    button .main type="submit" { "Replay " (format::count(count as u64)) " letters" }
                }
            }))
            (confirmed("Discard all", "danger", html! {
                form .stack method="post" action=(format!("{}/discard-group", queue_href(queue))) {
                    p { "Delete " b { (format::count(count as u64)) } " letters for good? " code { "wasq dlq export" } " keeps a copy." }
                    (hidden)
                    label .check { input type="checkbox" name="sure" value="yes" required; "Yes, delete them" }
                    button .danger type="submit" { "Discard " (format::count(count as u64)) " letters" }
                }
            }))
        }
    }
}

/// A button that opens what has to be confirmed. It works without a script.
pub(super) fn confirmed(name: &str, tone: &str, form: Markup) -> Markup {
    html! { details .menu { summary class=(format!("button {tone}")) { (name) } div .card { (form) } } }
}

pub(super) fn trail(steps: &[(&str, String)], here: &str) -> Markup {
    html! {
        nav .trail aria-label="Where this is" {
            @for (name, href) in steps { a href=(href) { (format::cut(name, 40)) } " / " }
            span aria-current="page" { (format::cut(here, 40)) }
        }
    }
}
