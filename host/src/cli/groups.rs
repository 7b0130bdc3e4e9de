//! `wasq groups`: messages that belong together, and which of them are missing.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::dlq::time;
use super::http::Admin;
use super::table::{Table, name, number, printable, text, whole};
use crate::admin::groups::{GroupList, GroupMembers, GroupStatus, MemberState, MemberStatus};

/// List groups, or show one with the members that are missing.
///
/// A group is messages that a handler sends together, and one that follows when all of them have
/// ended. The ledger keeps a group for 90 days after it changed last.
#[derive(Args)]
pub struct Groups {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    Ls(Ls),
    Show(Show),
}

#[derive(Args)]
struct Route {
    #[command(flatten)]
    admin: Admin,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// List groups in the order of their ids.
///
/// Ten members are counted at once: when the last of them has ended, or when one is dead-lettered.
#[derive(Args)]
struct Ls {
    /// How many are listed: 1 to 500.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// Lists those behind this group: what the list before has said.
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    #[command(flatten)]
    route: Route,
}

/// Show one group, and which of its members are missing: first those that have not ended, then
/// those that were dead-lettered, with the reason.
///
/// It reads all members. It shows no bodies and no results.
#[derive(Args)]
struct Show {
    /// The group's id: plugin and name, as `wasq groups ls` has it.
    id: String,
    /// Lists the members that stand so.
    #[arg(long, value_name = "STATE")]
    state: Option<MemberState>,
    /// How many members are listed; JSON has them all.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    route: Route,
}

impl Groups {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::Ls(ls) => ls.run().await?,
            Action::Show(show) => show.run().await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Ls {
    async fn run(self) -> anyhow::Result<()> {
        let after = self.after.map(|after| format!("&after={}", utf8_percent_encode(&after, NON_ALPHANUMERIC)));
        let path = format!("/groups?limit={}{}", self.limit, after.unwrap_or_default());
        let list: GroupList = self.route.admin.get_if_ok(&path).await?.context("the host does not know /groups")?;
        if self.route.json {
            println!("{:#}", json!(list));
            return Ok(());
        }
        if list.groups.is_empty() {
            println!("No groups. A handler makes one when it sends messages that belong together.");
        } else {
            println!("{}", in_a_table(&list.groups));
        }
        if let Some(next) = list.next {
            println!("\nmore: --after {}", quoted(&next));
        }
        Ok(())
    }
}

fn in_a_table(groups: &[GroupStatus]) -> Table {
    let numbers = ["members", "open", "done", "discarded", "dead-lettered"].map(number);
    let columns = [name("group"), whole("state")].into_iter().chain(numbers);
    let mut rows = Table::new(columns.chain([text("then"), whole("changed (UTC)")]));
    for group in groups {
        let numbers = [group.members, group.open, group.done, group.discarded, group.dead_lettered];
        let cells = [group.id.clone(), group.state.name().into()].into_iter();
        let cells = cells.chain(numbers.map(|number| number.to_string()));
        rows.add(cells.chain([group.then_in_words(), time(group.changed_at)]));
    }
    rows
}

/// As a shell takes it.
fn quoted(id: &str) -> String {
    format!("'{}'", printable(id).replace('\'', r"'\''"))
}

impl Show {
    async fn run(self) -> anyhow::Result<()> {
        let mut shown = self.part(0).await?;
        while let Some(next) = shown.next {
            let GroupMembers { group, members, next } = self.part(next).await?;
            shown.members.extend(members);
            (shown.group, shown.next) = (group, next);
        }
        if self.route.json {
            shown.members.retain(|member| self.state.is_none_or(|state| state == member.state));
            println!("{:#}", json!(shown));
            return Ok(());
        }
        print_summary(&shown);
        let wanted = match self.state {
            Some(state) => vec![state],
            None => vec![MemberState::Open, MemberState::DeadLettered],
        };
        let listed = wanted.iter().flat_map(|state| shown.members.iter().filter(|member| member.state == *state));
        let listed: Vec<_> = listed.collect();
        if listed.is_empty() {
            println!("\n{}", if self.state.is_some() { "none stands so" } else { "no member is missing" });
            return Ok(());
        }
        let some = &listed[..listed.len().min(self.limit)];
        println!("\n{}", members_in_a_table(some));
        if listed.len() > some.len() {
            println!("\nand {} more: --limit {}", listed.len() - some.len(), listed.len());
        }
        Ok(())
    }

    /// The group with its members from this place on.
    async fn part(&self, first: usize) -> anyhow::Result<GroupMembers> {
        let path = format!("/groups/{}?first={first}", utf8_percent_encode(&self.id, NON_ALPHANUMERIC));
        let shown = self.route.admin.get_if_ok(&path).await?;
        shown.with_context(|| format!("there is no group `{}`; `wasq groups ls` lists them", printable(&self.id)))
    }
}

/// The group, with its members as they stand: that is more than its record has counted.
fn print_summary(GroupMembers { group, members, .. }: &GroupMembers) {
    let states = [MemberState::Open, MemberState::DeadLettered, MemberState::Discarded, MemberState::Done];
    let counts = states.map(|state| {
        let count = members.iter().filter(|member| member.state == state).count();
        format!("{count} {}", state.name())
    });
    println!("group       {}", printable(&group.id));
    println!("state       {}", group.state.name());
    println!("members     {}: {}", members.len(), counts.join(", "));
    println!("then        {}", printable(&group.then_in_words()));
    if let Some(on_failure) = group.on_failure {
        println!("on failure  {}", on_failure.name());
    }
    println!("opened      {}", time(group.opened_at));
    println!("changed     {}", time(group.changed_at));
}

fn members_in_a_table(members: &[&MemberStatus]) -> Table {
    let mut rows = Table::new([
        whole("state"),
        whole("key"),
        name("type"),
        name("queue"),
        whole("ended (UTC)"),
        whole("result"),
        text("reason"),
    ]);
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    for member in members {
        rows.add([
            member.state.name().into(),
            or_dash(&member.key),
            or_dash(&member.kind),
            or_dash(&member.queue),
            member.at.map_or_else(|| "-".into(), time),
            if member.has_result { "yes" } else { "-" }.into(),
            or_dash(&member.reason),
        ]);
    }
    rows
}
