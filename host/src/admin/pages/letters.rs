//! The dead letters: the queues that have some, their groups, and the letters of one.
//!
//! These pages do not refresh themselves: a look hides the letters from others while it reads.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use maud::{Markup, html};
use serde::Deserialize;

use super::act::Done;
use super::parts::signed;
use super::{Failed, Tab, page as whole_page, words};
use crate::admin::App;
use crate::admin::gate::Viewer;
use crate::admin::groups::{Alike, Group, Row, groups as grouped};
use crate::admin::letters::{Looked, Place};
use crate::dlq::reader::Counts;
use crate::message::MessageId;
use crate::queue::Queue;

/// Letters that a group's page lists.
const LISTED_MAX: usize = 200;

/// A group, in a page's address and in its forms.
#[derive(Clone, Debug, Deserialize)]
pub struct AlikeQuery {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    class: String,
    fingerprint: String,
}

impl AlikeQuery {
    pub fn new(kind: &str, class: &str, fingerprint: &str) -> Self {
        Self { kind: Some(kind.to_owned()), class: class.to_owned(), fingerprint: fingerprint.to_owned() }
    }

    pub fn alike(&self) -> Alike {
        let kind = self.kind.clone().filter(|kind| !kind.is_empty());
        Alike { kind, class: self.class.clone(), fingerprint: self.fingerprint.clone() }
    }
}

/// A page about the queue's letters.
pub fn queue_href(queue: &str) -> String {
    format!("/dashboard/letters/{}", encoded(queue))
}

fn letter_href(queue: &str, id: &MessageId) -> String {
    format!("{}/letter?id={}", queue_href(queue), encoded(&id.0))
}

pub(super) fn group_href(queue: &str, Alike { kind, class, fingerprint }: &Alike) -> String {
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
pub(super) fn place(app: &App, queue: &str) -> Result<Arc<Place>, Failed> {
    app.places.iter().find(|place| place.name == queue).cloned().ok_or(Failed::NoQueue)
}

pub async fn queues(State(app): State<Arc<App>>, _viewer: Viewer) -> Markup {
    let counts = futures::future::join_all(app.places.iter().map(|place| Counts::of(&place.dlq))).await;
    let main = html! {
        div .scroll {
            table {
                thead { tr { th { "Queue" } th { "Dead letters in" } th .num { "Letters" } th .num { "In hand" } } }
                tbody {
                    @for (place, counts) in app.places.iter().zip(&counts) {
                        tr {
                            th scope="row" { a href=(queue_href(&place.name)) { (place.name) } }
                            td { (place.dlq.name()) }
                            @match counts {
                                Ok(counts) => {
                                    td .num { (words::count(counts.total())) }
                                    td .num { (words::count(counts.hidden)) }
                                }
                                Err(error) => { td colspan="2" { (error) } }
                            }
                        }
                    }
                }
            }
        }
        p .dim { "To look at letters SQS must hide them from others for a moment; they are put back." }
    };
    whole_page(&app, Tab::Letters, "Dead letters", None, &main)
}

pub(super) async fn groups(
    State(app): State<Arc<App>>,
    _viewer: Viewer,
    Path(queue): Path<String>,
    Query(done): Query<Done>,
) -> Result<Markup, Failed> {
    let place = place(&app, &queue)?;
    let Looked { rows, notes } = place.clone().look(app.source.services.ledger.clone()).await?;
    let now = app.source.services.clock.unix_ms();
    let groups = grouped(&rows);
    let main = html! {
        (trail(&[("Dead letters", "/dashboard/letters".to_owned())], &queue))
        (done.banner())
        @for note in &notes { p .banner { (note) } }
        @if groups.is_empty() {
            p .empty { "No dead letters. All is well." }
        } @else {
            p .dim { (words::count(rows.len() as u64)) " letters in " (groups.len()) " groups: alike are those whose reasons differ in their values only." }
            div .scroll {
                table .stacked {
                    thead { tr { th .num { "Letters" } th { "Type" } th { "Class" } th { "Reason of one" } th { "Plugins" } th { "First" } th { "Last" } } }
                    tbody {
                        @for Group { alike, count, first, last, plugins, reason } in &groups {
                            tr {
                                td .num data-name="letters" { a href=(group_href(&queue, alike)) { (words::count(*count)) } }
                                th scope="row" { a href=(group_href(&queue, alike)) { (words::cut(alike.kind.as_deref().unwrap_or("unknown"), 60)) } }
                                td { span .pill.bad { (alike.class) } }
                                td .reason title=(reason) { (words::cut(reason, 160)) }
                                td { (plugins.iter().map(String::as_str).collect::<Vec<_>>().join(", ")) }
                                td .when data-name="first" title=(words::time(*first)) { (words::ago(*first, now)) }
                                td .when data-name="last" title=(words::time(*last)) { (words::ago(*last, now)) }
                            }
                        }
                    }
                }
            }
        }
    };
    Ok(whole_page(&app, Tab::Letters, "Dead letters", None, &main))
}

pub(super) async fn group(
    State(app): State<Arc<App>>,
    Viewer(visitor): Viewer,
    Path(queue): Path<String>,
    Query(query): Query<AlikeQuery>,
) -> Result<Markup, Failed> {
    let (place, alike) = (place(&app, &queue)?, query.alike());
    let looked = place.clone().look(app.source.services.ledger.clone()).await?;
    let rows: Vec<_> = looked.rows.iter().filter(|row| row.alike == alike).collect();
    let now = app.source.services.clock.unix_ms();
    let title = alike.kind.as_deref().unwrap_or("unknown");
    let main = html! {
        (trail(&[("Dead letters", "/dashboard/letters".to_owned()), (&queue, queue_href(&queue))], title))
        @if let Some(Row { reason, .. }) = rows.first() {
            p .lead { span .pill.bad { (alike.class) } " " (words::cut(reason, 400)) }
        }
        @if rows.is_empty() {
            p .empty { "No letter of this group is there now." }
        } @else {
            @if let Some(token) = app.form_token(&visitor) { (group_forms(&queue, &alike, rows.len(), &token)) }
            (list(&queue, &rows, now))
        }
    };
    Ok(whole_page(&app, Tab::Letters, title, None, &main))
}

fn list(queue: &str, rows: &[&Row], now: crate::message::UnixMs) -> Markup {
    html! {
        div .scroll {
            table .stacked {
                thead { tr { th { "Letter" } th { "Failed" } th { "Plugin" } th .num { "Attempts" } th { "Reason" } } }
                tbody {
                    @for row in rows.iter().take(LISTED_MAX) {
                        tr {
                            th scope="row" .id { a href=(letter_href(queue, &row.id)) { (row.id.0.chars().take(8).collect::<String>()) } }
                            td .when data-name="failed" title=(words::time(row.failed_at)) { (words::ago(row.failed_at, now)) }
                            td { (row.plugin.as_deref().unwrap_or("–")) }
                            td .num data-name="attempts" { @if let Some(attempts) = row.attempts { (attempts) } @else { "–" } }
                            td .reason title=(row.reason) { (words::cut(&row.reason, 160)) }
                        }
                    }
                }
            }
        }
        @if rows.len() > LISTED_MAX { p .dim { "and " (words::count((rows.len() - LISTED_MAX) as u64)) " more" } }
    }
}

fn group_forms(queue: &str, alike: &Alike, count: usize, token: &str) -> Markup {
    let hidden = html! {
        (signed(token))
        input type="hidden" name="type" value=(alike.kind.as_deref().unwrap_or_default());
        input type="hidden" name="class" value=(alike.class);
        input type="hidden" name="fingerprint" value=(alike.fingerprint);
    };
    html! {
        div .actions {
            (confirmed("Replay all", "", html! {
                form .stack method="post" action=(format!("{}/replay-group", queue_href(queue))) {
                    p { "Send " b { (words::count(count as u64)) } " letters back to their queue? What a key has done already is not done again." }
                    (hidden)
                    button .main type="submit" { "Replay " (words::count(count as u64)) " letters" }
                }
            }))
            (confirmed("Discard all", "danger", html! {
                form .stack method="post" action=(format!("{}/discard-group", queue_href(queue))) {
                    p { "Delete " b { (words::count(count as u64)) } " letters for good? " code { "wasq dlq export" } " keeps a copy." }
                    (hidden)
                    label .check { input type="checkbox" name="sure" value="yes" required; "Yes, delete them" }
                    button .danger type="submit" { "Discard " (words::count(count as u64)) " letters" }
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
            @for (name, href) in steps { a href=(href) { (words::cut(name, 40)) } " / " }
            span aria-current="page" { (words::cut(here, 40)) }
        }
    }
}
