//! One dead letter: body, envelope, reason; and the forms that replay, edit and discard it.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use maud::{Markup, html};
use serde::Deserialize;
use wasq_core::message::{AttributeData, MessageId};

use super::components::signed;
use super::format;
use super::layout::{PageError, Tab, page as whole_page};
use super::letters::{confirmed, dead_letter_queue, group_href, queue_href, trail};
use crate::admin::access::Visitor;
use crate::admin::app::App;
use crate::admin::extractors::Looker;
use crate::dlq::LETTER_ATTRIBUTE;
use crate::dlq::letter_view::{Envelope, LetterView};
use crate::dlq::listing::Row;

/// Bytes of a body that a page shows; one that is longer is edited with `wasq dlq edit`.
const BODY_SHOWN_BYTES: usize = 256 * 1024;

#[derive(Deserialize)]
pub struct Id {
    id: String,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    Looker(visitor): Looker,
    Path(queue): Path<String>,
    Query(Id { id }): Query<Id>,
) -> Result<Markup, PageError> {
    let dlq = dead_letter_queue(&app, &queue)?;
    let view = dlq.show(app.source.services.ledger.clone(), MessageId(id)).await?;
    Ok(content(&app, &visitor, &queue, &view))
}

fn content(app: &App, visitor: &Visitor, queue: &str, view: &LetterView) -> Markup {
    let group = Row::of(view).group;
    let body = Body::of(view);
    let title = format!("Letter {}", view.id().0.chars().take(8).collect::<String>());
    let steps = [
        ("Dead letters", "/dashboard/letters".to_owned()),
        (queue, queue_href(queue)),
        (group.kind.as_deref().unwrap_or("unknown"), group_href(queue, &group)),
    ];
    let main = html! {
        (trail(&steps, &title))
        p .lead { span .pill.bad { (view.class()) } " " (view.reason()) }
        @if let Some(token) = app.form_token(visitor) { (letter_forms(queue, view, &body, &token)) }
        div .columns {
            section {
                h2 { "Body" }
                @if let Body::Cut { bytes, .. } = &body { p .dim { "The beginning of " (format::bytes(*bytes as f64)) "; " code { "wasq dlq show" } " has it all." } }
                pre .body tabindex="0" { (body.shown()) }
                (attributes(view))
            }
            section { h2 { "Envelope" } (envelope(view)) }
        }
    };
    whole_page(app, Tab::Letters, &title, None, &main)
}

/// A body as a page can show it.
enum Body {
    /// Text that can be edited, and as it is shown: JSON over several lines.
    Text {
        text: String,
        pretty: Option<String>,
    },
    Cut {
        start: String,
        bytes: usize,
    },
    Binary(String),
}

impl Body {
    fn of(view: &LetterView) -> Self {
        let bytes = &view.delivery.body;
        match std::str::from_utf8(bytes) {
            Ok(text) if bytes.len() <= BODY_SHOWN_BYTES => {
                let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
                Self::Text { text: text.to_owned(), pretty: is_json.then(|| format::spread(text)) }
            }
            Ok(text) => Self::Cut { start: format::cut(text, BODY_SHOWN_BYTES / 4), bytes: bytes.len() },
            Err(_) => Self::Binary(String::from_utf8_lossy(&bytes[..bytes.len().min(BODY_SHOWN_BYTES)]).into_owned()),
        }
    }

    fn shown(&self) -> &str {
        match self {
            Self::Text { text, pretty } => pretty.as_deref().unwrap_or(text),
            Self::Cut { start, .. } => start,
            Self::Binary(text) => text,
        }
    }
}

fn letter_forms(queue: &str, view: &LetterView, body: &Body, token: &str) -> Markup {
    let hidden = html! { (signed(token)) input type="hidden" name="id" value=(view.id()); };
    let action = |name: &str| format!("{}/{name}", queue_href(queue));
    html! {
        div .actions {
            form method="post" action=(action("replay")) { (hidden) button .main type="submit" { "Replay" } }
            @if let Body::Text { text, .. } = body {
                (confirmed("Edit and replay", "", html! {
                    form .stack.wide method="post" action=(action("replay")) {
                        (hidden)
                        // A browser takes the first line break of a text area away.
                        label { "Body, as it is sent" textarea name="body" rows="14" spellcheck="false" { "\n" (text) } }
                        p .dim { "Its key stays. What was JSON must be JSON." }
                        button .main type="submit" { "Replay with this body" }
                    }
                }))
            }
            (confirmed("Discard", "danger", html! {
                form .stack method="post" action=(action("discard")) {
                    p { "Delete this letter for good?" }
                    (hidden)
                    label .check { input type="checkbox" name="sure" value="yes" required; "Yes, delete it" }
                    button .danger type="submit" { "Discard the letter" }
                }
            }))
        }
    }
}

fn envelope(view: &LetterView) -> Markup {
    let sent = format::time(view.delivery.sent_at);
    html! {
        dl {
            dt { "Letter" } dd { code .long { (view.id()) } }
            @match &view.envelope {
                Envelope::MovedBySqs => { dt { "Moved here" } dd { "by the broker itself; it has no envelope" } dt { "Sent" } dd { (sent) } }
                Envelope::Unreadable(reason) => { dt { "Envelope" } dd { "cannot be read: " (reason) } dt { "Sent" } dd { (sent) } }
                Envelope::Letter(letter) => {
                    dt { "From" } dd { (letter.queue) }
                    dt { "Message" } dd { code .long { (letter.message_id) } }
                    dt { "Type" } dd { (letter.kind.as_deref().unwrap_or("–")) }
                    dt { "Plugin" } dd { (letter.plugin.as_deref().unwrap_or("–")) }
                    @if let Some(digest) = &letter.digest { dt { "Component" } dd { code { (digest.chars().take(12).collect::<String>()) } } }
                    dt { "Attempts" } dd { (letter.attempts) " (" (letter.receive_count) " receives)" }
                    @if let Some(first) = letter.first_failed_at { dt { "Failed first" } dd { (format::time(first)) } }
                    dt { "Failed last" } dd { (format::time(letter.last_failed_at)) }
                    dt { "Replays before" } dd { (letter.replays) }
                    dt { "Key" } dd { code .long { (letter.key.as_deref().unwrap_or("–")) } }
                    @if let Some(trace) = &letter.traceparent { dt { "Trace" } dd { code .long { (trace) } } }
                }
            }
            @if let Some(group) = view.group() { dt { "Group" } dd { (group) } }
            dt { "Fingerprint" } dd { code { (view.fingerprint()) } }
        }
    }
}

fn attributes(view: &LetterView) -> Markup {
    let own = view.delivery.attributes.iter().filter(|(name, _)| *name != LETTER_ATTRIBUTE);
    let own: Vec<_> = own.collect();
    html! {
        @if !own.is_empty() {
            h2 { "Attributes" }
            dl {
                @for (name, value) in own {
                    dt { (name) }
                    dd {
                        @match &value.value {
                            AttributeData::Text(text) => code .long { (format::cut(text, 1_000)) },
                            AttributeData::Binary(bytes) => { (format::bytes(bytes.len() as f64)) ", binary" }
                        }
                    }
                }
            }
        }
    }
}
