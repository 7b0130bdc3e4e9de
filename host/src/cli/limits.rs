//! `wasq limits`: what the whole fleet may do, and who does it.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::http::Admin;
use super::table::{Table, list, name, number, text, whole};
use crate::admin::limits::{LimitsStatus, PoolStatus};
use crate::admission::rates::RateStatus;

/// List the rates and the pools of the whole fleet: limit, use, who waits, who has what.
///
/// Starts and waiting messages are those of the host that is asked. What each host has of a pool is
/// read from the ledger.
#[derive(Args)]
pub struct Limits {
    #[command(flatten)]
    admin: Admin,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl Limits {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let limits: LimitsStatus =
            self.admin.get_if_ok("/limits").await?.context("the host does not know /limits; it is an older one")?;
        if self.json {
            println!("{:#}", json!(limits));
            return Ok(ExitCode::SUCCESS);
        }
        if limits.rates.is_empty() && limits.pools.is_empty() {
            println!("No limits of the fleet. [rates.NAME] and [pools.NAME] with scope = \"fleet\" set some.");
        }
        if !limits.rates.is_empty() {
            println!("{}", rates(&limits.rates));
        }
        if !limits.pools.is_empty() {
            let gap = if limits.rates.is_empty() { "" } else { "\n" };
            println!("{gap}{}", pools(&limits.pools));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn rates(rates: &[RateStatus]) -> Table {
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

fn pools(pools: &[PoolStatus]) -> Table {
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
