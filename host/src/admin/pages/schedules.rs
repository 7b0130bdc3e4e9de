//! The schedules: what is sent when, and what came of it.

use maud::{Markup, html};
use wasq_core::message::UnixMs;

use super::components::signed;
use super::format;
use crate::admin::schedules::{ScheduleStatus, SchedulesError};

/// The section of a page; nothing where there are none.
pub fn section(all: &Result<Vec<ScheduleStatus>, SchedulesError>, token: Option<&str>, now: UnixMs) -> Markup {
    html! {
        @match all {
            Ok(all) if all.is_empty() => {},
            Ok(all) => { h2 { "Schedules" } (table(all, token, now)) },
            Err(error) => { h2 { "Schedules" } p .empty { "They cannot be read: " (error) } },
        }
    }
}

fn table(all: &[ScheduleStatus], token: Option<&str>, now: UnixMs) -> Markup {
    html! {
        div .scroll {
            table .stacked {
                thead { tr { th { "Schedule" } th { "Rule" } th { "Type" } th { "Queue" } th { "Next" } th { "Last tick" } th { "Outcome" } th {} } }
                tbody {
                    @for schedule in all {
                        tr {
                            th scope="row" { (format::cut(&schedule.name, 60)) }
                            td data-name="rule" { code { (schedule.rule) } }
                            td data-name="type" { (format::cut(&schedule.kind, 60)) }
                            td data-name="queue" { (format::cut(&schedule.queue, 60)) }
                            td data-name="next" {
                                @match schedule.next {
                                    _ if schedule.is_paused => span .pill.warn { "paused" },
                                    Some(next) => { (format::time(next)) " UTC " span .dim { "in " (format::span(next.since(now))) } },
                                    None => "–",
                                }
                            }
                            td data-name="last tick" {
                                @match &schedule.last {
                                    Some(last) => span title=(format::time(last.tick)) { (format::ago(last.tick, now)) },
                                    None => "–",
                                }
                            }
                            td data-name="outcome" {
                                @if schedule.outcomes.is_empty() { "–" }
                                @for outcome in &schedule.outcomes {
                                    span class=(if outcome.exit == "done" { "pill good" } else { "pill warn" }) title=(outcome.reason) { (outcome.exit) }
                                    " " span .dim { (outcome.plugin) } " "
                                }
                            }
                            td .does { @if let Some(token) = token { (actions(schedule, token)) } }
                        }
                    }
                }
            }
        }
    }
}

fn actions(schedule: &ScheduleStatus, token: &str) -> Markup {
    let action = |value: &str, words: &str| {
        html! {
            form method="post" action="/dashboard/schedule" {
                (signed(token))
                input type="hidden" name="name" value=(schedule.name);
                input type="hidden" name="action" value=(value);
                button type="submit" aria-label=(format!("{words}: {}", schedule.name)) { (words) }
            }
        }
    };
    html! {
        @if schedule.is_paused { (action("resume", "Resume")) } @else { (action("pause", "Pause")) }
        (action("run", "Run now"))
    }
}
