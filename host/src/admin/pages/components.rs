//! What several pages show alike.

use maud::{Markup, html};
use wasq_core::message::UnixMs;

use super::format;
use crate::flow::recent::{MessageOutcome, RecentOutcome};

/// A fact in large type.
pub fn tile(name: &str, value: &str, note: &str, tone: &str) -> Markup {
    html! {
        div class=(format!("tile {tone}")) { span .name { (name) } b { (value) } span .note { (note) } }
    }
}

/// How an exit is coloured.
pub fn tone(outcome: &RecentOutcome) -> &'static str {
    match (outcome.settlement, outcome.class) {
        ("dead-letter", _) => "bad",
        (_, "done" | "discard" | "duplicate") => "good",
        (_, "retry" | "timeout" | "trap" | "out-of-memory" | "exited" | "bad-result" | "outbox" | "unavailable") => {
            "warn"
        }
        (_, _) => "plain",
    }
}

/// Outcomes as a table. Without a `now` their time is the clock's.
pub fn outcomes(all: &[MessageOutcome], now: Option<UnixMs>) -> Markup {
    html! {
        div .scroll {
            table .outcomes.stacked {
                thead { tr { th { "When" } th { "Type" } th { "Plugins" } th .num { "Attempt" } th { "Exit" } th { "Then" } th { "Reason" } th { "Message" } } }
                tbody {
                    @for MessageOutcome { outcome, plugins } in all {
                        tr {
                            td .when {
                                @match now { Some(now) => (format::ago(outcome.at, now)), None => (format::clock(outcome.at)) }
                            }
                            td { (format::cut(&outcome.kind, 60)) }
                            td { (plugins.join(", ")) }
                            td .num data-name="attempt" { @if outcome.attempt > 0 { (outcome.attempt) } @else { "–" } }
                            td { span class=(format!("pill {}", tone(outcome))) { (outcome.class) } }
                            td .dim { (outcome.settlement) }
                            td .reason title=(outcome.reason) { (format::cut(&outcome.reason, 140)) }
                            td .id { (outcome.message_id.0.chars().take(8).collect::<String>()) }
                        }
                    }
                }
            }
        }
    }
}

/// What a form of this visitor carries.
pub fn signed(token: &str) -> Markup {
    html! { input type="hidden" name="form_token" value=(token); }
}
