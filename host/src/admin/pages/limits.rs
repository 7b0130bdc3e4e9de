//! What the whole fleet may do and each key, as this host has it: rates, pools of which it leases a
//! part, concurrency by key.

use maud::{Markup, html};

use super::chart::meter;
use super::format;
use crate::admission::fair_queue::FairStatus;
use crate::admission::fleet_pools::FleetPoolStatus;
use crate::admission::key_limits::KeyedStatus;
use crate::admission::permits::QueueShare;
use crate::admission::queue_limit::AutoStatus;
use crate::admission::rates::RateStatus;

/// Nothing, where there is none.
pub fn section(rates: &[RateStatus], pools: &[FleetPoolStatus], keyed: &[KeyedStatus]) -> Markup {
    html! {
        @if !rates.is_empty() {
            h2 { "Rates of the fleet" }
            (rate_table(rates))
        }
        @if !pools.is_empty() {
            h2 { "Pools of the fleet" }
            (pool_table(pools))
        }
        @if !keyed.is_empty() {
            h2 { "Concurrency by key" }
            (keyed_table(keyed))
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

fn keyed_table(keyed: &[KeyedStatus]) -> Markup {
    html! {
        div .scroll {
            table {
                thead { tr { th { "Plugin" } th { "Scope" } th .num { "For each key" } th .num { "Running here" } th .num { "Waiting here" } th .num { "Started here" } th .num { "Hidden" } th .num { "Keys" } th { "Busiest keys" } } }
                tbody {
                    @for plugin in keyed {
                        tr {
                            th scope="row" { (plugin.plugin) }
                            td { (plugin.scope) }
                            td .num { (format::count(plugin.max as u64)) }
                            td .num { (format::count(plugin.running as u64)) }
                            td .num { (format::count(plugin.waiting as u64)) }
                            td .num { (format::count(plugin.started)) }
                            td .num { (format::count(plugin.hidden)) }
                            td .num { (format::count(plugin.keys as u64)) }
                            td { @for top in plugin.top.iter().take(TOP_SHOWN) { span .dim { (top.key) } " " (top.running) " + " (top.waiting) " " } }
                        }
                    }
                }
            }
        }
    }
}

/// The limits that are found. Nothing, where no queue has `concurrency = "auto"`.
pub fn concurrency(queues: &[AutoStatus]) -> Markup {
    html! {
        @if !queues.is_empty() {
            h2 { "Concurrency that is found" }
            div .scroll {
                table {
                    thead { tr { th { "Queue" } th { "In hand" } th .num { "Limit" } th .num { "Between" } th .num { "And" } th { "Runs take" } } }
                    tbody {
                        @for queue in queues {
                            tr {
                                th scope="row" { (queue.queue) }
                                td .gauge { (meter("deliveries in hand", queue.in_hand as f64, queue.limit as f64, "s1")) span { (queue.in_hand) " of " (queue.limit) } }
                                td .num { (format::count(queue.limit as u64)) }
                                td .num { (format::count(queue.min as u64)) }
                                td .num { (format::count(queue.max as u64)) }
                                td { (queue.slowness_in_words()) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Turns by key. Nothing, where no queue has `fair_by`.
pub fn fair(queues: &[FairStatus]) -> Markup {
    html! {
        @if !queues.is_empty() {
            h2 { "Turns by key" }
            div .scroll {
                table {
                    thead { tr { th { "Queue" } th .num { "Running" } th .num { "Of" } th .num { "Waiting" } th .num { "Hidden now" } th .num { "Keys" } th { "Busiest keys" } } }
                    tbody {
                        @for queue in queues {
                            tr {
                                th scope="row" { (queue.queue) }
                                td .num { (format::count(queue.running as u64)) }
                                td .num { (format::count(queue.limit as u64)) }
                                td .num { (format::count(queue.waiting as u64)) }
                                td .num { (format::count(queue.hidden as u64)) }
                                td .num { (format::count(queue.keys as u64)) }
                                td { @for top in queue.top.iter().take(TOP_SHOWN) { span .dim { (top.key) } " " (top.running) " + " (top.waiting) " " } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The host's permits by queue. Nothing, where queues have no priorities.
pub fn queues(queues: &[QueueShare]) -> Markup {
    html! {
        @if !queues.is_empty() {
            h2 { "Permits of the host by queue" }
            div .scroll {
                table {
                    thead { tr { th { "Queue" } th .num { "Priority" } th .num { "Running" } th .num { "Waiting" } th .num { "Kept" } } }
                    tbody {
                        @for share in queues {
                            tr {
                                th scope="row" { (share.queue) }
                                td .num { (share.priority) }
                                td .num { (format::count(share.running as u64)) }
                                td .num { (format::count(share.waiting as u64)) }
                                td .num { (format::count(share.kept as u64)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Keys in a row: with their runs, and how many more messages wait.
const TOP_SHOWN: usize = 3;
