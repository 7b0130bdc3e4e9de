//! `wasq limits`: what the whole fleet may do and each key, and who does it; and setting it while
//! the hosts run.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use wasq_core::clock;

use super::dlq::time;
use super::end::{End, end};
use super::http::Admin;
use super::pause::who;
use super::table::{Table, list, name, number, text, whole};
use crate::admin::limits::{LimitsStatus, PoolStatus, ResetRequest, Set, SetRequest};
use crate::admission::fair_queue::FairStatus;
use crate::admission::key_limits::KeyedStatus;
use crate::admission::permits::QueueShare;
use crate::admission::queue_limit::AutoStatus;
use crate::admission::rates::RateStatus;
use crate::quotas::limit_document::{LimitName, SetLimit};

/// List the rates and the pools of the whole fleet, and the concurrency of keys: limit, use, who
/// waits, who has what.
///
/// Starts and waiting messages are those of the host that is asked. What each host has of a pool is
/// read from the ledger.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Limits {
    #[command(subcommand)]
    change: Option<Change>,
    #[command(flatten)]
    to: To,
}

const EXAMPLES: &str = "Examples:
  wasq limits
  wasq limits set stripe 50/s --until 18:00
  wasq limits set db 20
  wasq limits reset stripe";

#[derive(Subcommand)]
enum Change {
    /// Set a rate or a pool for the whole fleet, in place of the config's.
    ///
    /// It is kept in the ledger: it outlives restarts, and every host follows within seconds.
    Set(SetCommand),
    /// Have the config's limit hold again.
    Reset(ResetCommand),
}

#[derive(Args)]
struct SetCommand {
    /// The rate or the pool, by its name in the config; `rate:NAME` or `pool:NAME` where both have
    /// it.
    name: String,
    /// As the config would have it: `50/s` for a rate, `20` for a pool.
    value: String,
    /// When the config's holds again: a duration (`90s`, `2h`), a time of today or tomorrow
    /// (`18:00`), or a time (`2026-11-27T18:00Z`). Without a zone it is this machine's.
    #[arg(long, value_name = "TIME|DURATION", value_parser = end)]
    until: Option<End>,
    #[command(flatten)]
    by: By,
    #[command(flatten)]
    to: To,
}

#[derive(Args)]
struct ResetCommand {
    /// The rate or the pool.
    name: String,
    #[command(flatten)]
    by: By,
    #[command(flatten)]
    to: To,
}

#[derive(Args)]
struct By {
    /// Who sets or resets it. Default: user@machine.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// Who is asked, and how the answer is printed.
#[derive(Args)]
struct To {
    #[command(flatten)]
    admin: Admin,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl By {
    fn name(self) -> String {
        self.by.unwrap_or_else(who)
    }
}

impl Change {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let (json, set, said) = match self {
            Self::Set(SetCommand { name, value, until, by, to }) => {
                let until = until.map(|end| end.from(clock::unix_ms()));
                let asked = SetRequest { name, value, by: by.name(), until };
                let set: Set = to.admin.post("/limits/set", &asked).await?;
                let said = set.limit.as_ref().map_or_else(String::new, |limit| in_words("set", &set.name, limit));
                (to.json, set, said)
            }
            Self::Reset(ResetCommand { name, by, to }) => {
                let set: Set = to.admin.post("/limits/reset", &ResetRequest { name, by: by.name() }).await?;
                let said = match &set.limit {
                    Some(limit) => in_words("reset; it was set", &set.name, limit),
                    None => format!("{} was not set: the config's limit holds", set.name),
                };
                (to.json, set, said)
            }
        };
        if json {
            println!("{:#}", json!(set));
        } else {
            println!("{said}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn in_words(what: &str, name: &LimitName, limit: &SetLimit) -> String {
    let until = limit.until.map_or_else(|| "until it is reset".into(), |at| format!("until {} UTC", time(at)));
    format!("{what}: {name} to {}, by {} at {} UTC, {until}", limit.value, limit.by, time(limit.at))
}

impl Limits {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(change) = self.change {
            return change.run().await;
        }
        let To { admin, json } = self.to;
        let limits: LimitsStatus =
            admin.get_if_ok("/limits").await?.context("the host does not know /limits; it is an older one")?;
        if json {
            println!("{:#}", json!(limits));
            return Ok(ExitCode::SUCCESS);
        }
        let LimitsStatus { rates, pools, set, queues, concurrency, fair, keyed, .. } = limits;
        let tables = [
            (!rates.is_empty()).then(|| rate_table(&rates)),
            (!pools.is_empty()).then(|| pool_table(&pools)),
            (!queues.is_empty()).then(|| queue_table(&queues)),
            (!concurrency.is_empty()).then(|| auto_table(&concurrency)),
            (!fair.is_empty()).then(|| fair_table(&fair)),
            (!keyed.is_empty()).then(|| keyed_table(&keyed)),
        ];
        let tables: Vec<_> = tables.into_iter().flatten().map(|table| table.to_string()).collect();
        match tables.is_empty() {
            true => println!(
                "No limits of the fleet, and none of keys. [rates.NAME] and [pools.NAME] with scope = \"fleet\" set some, and \
                 keyed_concurrency in a manifest."
            ),
            false => println!("{}", tables.join("\n\n")),
        }
        for (name, limit) in &set {
            println!("\n{}", in_words("set", name, limit));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn rate_table(rates: &[RateStatus]) -> Table {
    let numbers = ["burst", "waiting", "started", "hidden", "lost", "hosts", "keys"].map(number);
    let mut rows = Table::new([name("rate"), whole("limit")].into_iter().chain(numbers).chain([list("top keys")]));
    for rate in rates {
        let numbers = [
            rate.burst.to_string(),
            rate.waiting.to_string(),
            rate.started.to_string(),
            rate.hidden.to_string(),
            rate.lost.to_string(),
            rate.hosts.to_string(),
            rate.keys.to_string(),
        ];
        let top: Vec<_> = rate
            .top
            .iter()
            .map(|key| format!("{} ({} waiting, {} started)", key.key, key.waiting, key.started))
            .collect();
        rows.add([rate.name.clone(), rate.limit.clone()].into_iter().chain(numbers).chain([top.join(", ")]));
    }
    rows
}

fn pool_table(pools: &[PoolStatus]) -> Table {
    let numbers = ["size", "in use here", "leased here", "waiting here"].map(number);
    let mut rows = Table::new([name("pool")].into_iter().chain(numbers).chain([text("who has what")]));
    for PoolStatus { here, holders } in pools {
        let numbers = [here.size, here.busy, here.leased, here.waiting].map(|number| number.to_string());
        let holders = match holders {
            None => "unknown: the ledger does not answer".to_owned(),
            Some(holders) if holders.is_empty() => "nobody has any".to_owned(),
            Some(holders) => {
                let each = holders.iter().map(|(host, permits)| format!("{host}: {permits}"));
                each.collect::<Vec<_>>().join(", ")
            }
        };
        rows.add([here.name.clone()].into_iter().chain(numbers).chain([holders]));
    }
    rows
}

fn queue_table(queues: &[QueueShare]) -> Table {
    let numbers = ["priority", "running", "waiting", "kept"].map(number);
    let mut rows = Table::new([name("queue")].into_iter().chain(numbers));
    for share in queues {
        let numbers = [share.priority as usize, share.running, share.waiting, share.kept];
        rows.add([share.queue.clone()].into_iter().chain(numbers.map(|number| number.to_string())));
    }
    rows
}

fn auto_table(queues: &[AutoStatus]) -> Table {
    let numbers = ["limit", "in hand", "min", "max"].map(number);
    let mut rows = Table::new([name("auto queue")].into_iter().chain(numbers).chain([text("runs take")]));
    for queue in queues {
        let numbers = [queue.limit, queue.in_hand, queue.min, queue.max].map(|number| number.to_string());
        rows.add([queue.queue.clone()].into_iter().chain(numbers).chain([queue.slowness_in_words()]));
    }
    rows
}

fn fair_table(queues: &[FairStatus]) -> Table {
    let numbers = ["turns", "running", "waiting", "hidden", "keys"].map(number);
    let mut rows = Table::new([name("fair queue")].into_iter().chain(numbers).chain([list("top keys")]));
    for queue in queues {
        let numbers = [queue.limit, queue.running, queue.waiting, queue.hidden, queue.keys];
        let top = queue.top.iter().map(|key| format!("{} ({} running, {} waiting)", key.key, key.running, key.waiting));
        let top = top.collect::<Vec<_>>().join(", ");
        rows.add([queue.queue.clone()].into_iter().chain(numbers.map(|number| number.to_string())).chain([top]));
    }
    rows
}

fn keyed_table(keyed: &[KeyedStatus]) -> Table {
    let numbers = ["max", "running", "waiting", "started", "hidden", "keys"].map(number);
    let mut rows = Table::new([name("plugin"), whole("scope")].into_iter().chain(numbers).chain([list("top keys")]));
    for plugin in keyed {
        let numbers = [
            plugin.max.to_string(),
            plugin.running.to_string(),
            plugin.waiting.to_string(),
            plugin.started.to_string(),
            plugin.hidden.to_string(),
            plugin.keys.to_string(),
        ];
        let top: Vec<_> = plugin
            .top
            .iter()
            .map(|key| format!("{} ({} running, {} waiting)", key.key, key.running, key.waiting))
            .collect();
        rows.add([plugin.plugin.clone(), plugin.scope.to_string()].into_iter().chain(numbers).chain([top.join(", ")]));
    }
    rows
}
