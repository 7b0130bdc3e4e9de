//! The groups: which there are, and of one its members and what is missing.
//!
//! These pages do not refresh themselves: a look reads the ledger.

use std::sync::Arc;

use axum::extract::{Query, State as Shared};
use futures::future::try_join;
use maud::{Markup, html};
use serde::Deserialize;
use wasq_core::message::UnixMs;

use super::components::tile;
use super::format;
use super::layout::{PageError, Tab, page as whole_page};
use super::letters::trail;
use crate::admin::app::App;
use crate::admin::extractors::Viewer;
use crate::admin::groups::{GroupList, GroupMembers, GroupStatus, MemberState, MemberStatus, MissingMembers};
use crate::groups::State;

/// Groups that the page lists.
const LISTED_MAX: usize = 100;
const PAGE: &str = "/dashboard/groups";

#[derive(Deserialize)]
pub struct Part {
    #[serde(default)]
    after: Option<String>,
}

/// A group, in a page's address.
#[derive(Deserialize)]
pub struct GroupQuery {
    id: String,
    #[serde(default)]
    first: u32,
}

fn list_href(after: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    format!("{PAGE}?{}", query.append_pair("after", after).finish())
}

fn group_href(id: &str, first: usize) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("id", id);
    if first > 0 {
        query.append_pair("first", &first.to_string());
    }
    format!("{PAGE}/group?{}", query.finish())
}

pub async fn page(Shared(app): Shared<Arc<App>>, _viewer: Viewer, Query(part): Query<Part>) -> Markup {
    let list = app.groups(LISTED_MAX, part.after.as_deref()).await;
    let now = app.source.services.clock.unix_ms();
    let main = html! {
        @match &list {
            Ok(list) if list.groups.is_empty() => p .empty { "No groups. A handler makes one when it sends messages that belong together." },
            Ok(list) => (groups(list, now)),
            Err(error) => p .empty { "They cannot be read: " (error) },
        }
        @if let Some(next) = list.as_ref().ok().and_then(|list| list.next.as_deref()) {
            nav .window aria-label="More groups" { a href=(list_href(next)) { "Next" } }
        }
    };
    whole_page(&app, Tab::Groups, "Groups", None, &main)
}

fn groups(list: &GroupList, now: UnixMs) -> Markup {
    html! {
        (counted())
        div .scroll {
            table .stacked {
                thead { tr { th { "Group" } th { "State" } th .num { "Members" } th .num { "Open" } th .num { "Done" } th .num { "Discarded" } th .num { "Dead-lettered" } th { "Then" } th { "Changed" } } }
                tbody {
                    @for group in &list.groups {
                        tr {
                            th scope="row" { a href=(group_href(&group.id, 0)) { (format::cut(&group.id, 80)) } }
                            td { (state(group)) }
                            td .num data-name="members" { (format::count(group.members.into())) }
                            td .num data-name="open" { (format::count(group.open.into())) }
                            td .num data-name="done" { (format::count(group.done.into())) }
                            td .num data-name="discarded" { (format::count(group.discarded.into())) }
                            td .num data-name="dead-lettered" { (format::count(group.dead_lettered.into())) }
                            td data-name="then" { (format::cut(&group.then_in_words(), 80)) }
                            td .when data-name="changed" title=(format::time(group.changed_at)) { (format::ago(group.changed_at, now)) }
                        }
                    }
                }
            }
        }
    }
}

/// How far the numbers are behind.
fn counted() -> Markup {
    html! { p .dim { "Ten members are counted at once: when the last of them has ended, or when one is dead-lettered." } }
}

fn state(group: &GroupStatus) -> Markup {
    let tone = match group.state {
        State::Open if group.dead_lettered > 0 => "warn",
        State::Open => "plain",
        State::Ended => "good",
        State::Cancelled => "bad",
    };
    html! { span class=(format!("pill {tone}")) { (group.state.name()) } }
}

pub(super) async fn group(
    Shared(app): Shared<Arc<App>>,
    _viewer: Viewer,
    Query(GroupQuery { id, first }): Query<GroupQuery>,
) -> Result<Markup, PageError> {
    let first = first as usize;
    let read = try_join(app.group(&id, first), app.missing_members(&id)).await;
    let (shown, missing) = read.map_err(|error| PageError::Unread(error.status(), error.to_string()))?;
    let now = app.source.services.clock.unix_ms();
    let main = html! {
        (trail(&[("Groups", PAGE.to_owned())], &id))
        p .lead { (state(&shown.group)) " " span .dim { "of the plugin " } (plugin(&id)) }
        (summary(&shown.group, now))
        h2 { "Missing" }
        (absent(&missing, now))
        h2 { "Members" }
        (present(&shown, first, now))
    };
    Ok(whole_page(&app, Tab::Groups, &format::cut(name(&id), 120), None, &main))
}

fn plugin(id: &str) -> &str {
    id.split_once('/').map_or("–", |(plugin, _)| plugin)
}

fn name(id: &str) -> &str {
    id.split_once('/').map_or(id, |(_, name)| name)
}

fn summary(group: &GroupStatus, now: UnixMs) -> Markup {
    let number = |number: u32| format::count(number.into());
    html! {
        (counted())
        div .tiles {
            (tile("Members", &number(group.members), "", ""))
            (tile("Open", &number(group.open), "", ""))
            (tile("Done", &number(group.done), "", ""))
            (tile("Discarded", &number(group.discarded), "", ""))
            (tile("Dead-lettered", &number(group.dead_lettered), "", if group.dead_lettered > 0 { "bad" } else { "" }))
        }
        h2 { "What follows" }
        dl {
            dt { "Then" } dd { (group.then_in_words()) }
            @if let Some(on_failure) = group.on_failure { dt { "If a member is dead-lettered" } dd { (on_failure.name()) } }
            dt { "Opened" } dd { (format::time(group.opened_at)) " UTC, " (format::ago(group.opened_at, now)) }
            dt { "Changed" } dd { (format::time(group.changed_at)) " UTC, " (format::ago(group.changed_at, now)) }
        }
    }
}

fn absent(missing: &MissingMembers, now: UnixMs) -> Markup {
    html! {
        @if missing.members.is_empty() {
            p .empty { "None: all members have ended, and no dead letter is left." }
        } @else {
            (members(&missing.members, now))
            @if missing.is_cut { p .dim { "These come first. There may be more: the list of members has all." } }
        }
    }
}

fn present(shown: &GroupMembers, first: usize, now: UnixMs) -> Markup {
    let GroupMembers { group, members: some, next } = shown;
    html! {
        @if some.is_empty() {
            p .empty { @if group.members == 0 { "No member so far." } @else { "There are none from here on." } }
        } @else {
            p .dim { (format::count(first as u64 + 1)) " to " (format::count((first + some.len()) as u64)) " of " (format::count(group.members.into())) ", in the order in which they were sent" }
            (members(some, now))
        }
        @if first > 0 || next.is_some() {
            nav .window aria-label="More members" {
                @if first > 0 { a href=(group_href(&group.id, 0)) { "First" } }
                @if let Some(next) = next { a href=(group_href(&group.id, *next)) { "Next" } }
            }
        }
    }
}

fn members(all: &[MemberStatus], now: UnixMs) -> Markup {
    html! {
        div .scroll {
            table .stacked {
                thead { tr { th { "Key" } th { "State" } th { "Type" } th { "Queue" } th { "Ended" } th { "Result" } th { "Reason" } } }
                tbody {
                    @for member in all {
                        tr {
                            th scope="row" .id { (or_dash(&member.key)) }
                            td { span class=(format!("pill {}", tone(member.state))) { (member.state.name()) } }
                            td data-name="type" { (or_dash(&format::cut(&member.kind, 60))) }
                            td data-name="queue" { (or_dash(&format::cut(&member.queue, 60))) }
                            td .when data-name="ended" {
                                @match member.at { Some(at) => span title=(format::time(at)) { (format::ago(at, now)) }, None => "–" }
                            }
                            td data-name="result" { @if member.has_result { "yes" } @else { "–" } }
                            td .reason title=(member.reason) { (format::cut(&member.reason, 160)) }
                        }
                    }
                }
            }
        }
    }
}

fn tone(state: MemberState) -> &'static str {
    match state {
        MemberState::Open => "plain",
        MemberState::Done | MemberState::Discarded => "good",
        MemberState::DeadLettered => "bad",
    }
}

/// What is about to be sent has no words yet.
fn or_dash(text: &str) -> &str {
    if text.is_empty() { "–" } else { text }
}
