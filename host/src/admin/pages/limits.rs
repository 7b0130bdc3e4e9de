//! What the whole fleet may do, as this host has it: rates, and pools of which it leases a part.

use maud::{Markup, html};

use super::chart::meter;
use super::format;
use crate::admission::fleet_pools::FleetPoolStatus;
use crate::admission::rates::RateStatus;

/// Nothing, where the config has neither.
pub fn section(rates: &[RateStatus], pools: &[FleetPoolStatus]) -> Markup {
    html! {
        @if !rates.is_empty() {
            h2 { "Rates of the fleet" }
            (rate_table(rates))
        }
        @if !pools.is_empty() {
            h2 { "Pools of the fleet" }
            (pool_table(pools))
        }
    }
}

fn rate_table(rates: &[RateStatus]) -> Markup {
    html! {
        div .scroll {
            table {
                thead { tr { th { "Rate" } th { "Limit" } th .num { "Waiting here" } th .num { "Started here" } th .num { "Hidden" } th .num { "Keys" } th .num { "Hosts" } } }
                tbody {
                    @for rate in rates {
                        tr {
                            th scope="row" { (rate.name) }
                            td { (rate.limit) }
                            td .num { (format::count(rate.waiting as u64)) }
                            td .num { (format::count(rate.started)) }
                            td .num { (format::count(rate.hidden)) }
                            td .num { (format::count(rate.keys as u64)) }
                            td .num { (format::count(u64::from(rate.hosts))) }
                        }
                    }
                }
            }
        }
    }
}

fn pool_table(pools: &[FleetPoolStatus]) -> Markup {
    html! {
        div .scroll {
            table {
                thead { tr { th { "Pool" } th { "Usage of what is leased" } th .num { "In use here" } th .num { "Leased here" } th .num { "Of" } th .num { "Waiting here" } th .num { "Hosts" } } }
                tbody {
                    @for pool in pools {
                        tr {
                            th scope="row" { (pool.name) @if pool.is_down { " " span .pill.bad { "ledger does not answer" } } }
                            td .gauge { (meter("leased permits busy", pool.busy as f64, pool.leased as f64, "s1")) }
                            td .num { (format::count(pool.busy as u64)) }
                            td .num { (format::count(pool.leased as u64)) }
                            td .num { (format::count(pool.size as u64)) }
                            td .num { (format::count(pool.waiting as u64)) }
                            td .num { (format::count(pool.hosts as u64)) }
                        }
                    }
                }
            }
        }
    }
}
