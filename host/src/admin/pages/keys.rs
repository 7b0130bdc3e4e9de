//! The keys of a plugin's messages that have used the most.

use std::time::Duration;

use maud::{Markup, html};

use super::format;
use crate::telemetry::top_keys::{By, KeyUsage, TopKeys};

const SHOWN: usize = 5;

/// A plugin's keys since the host started, if its manifest has a `cost_key`.
pub fn table(keys: &TopKeys) -> Markup {
    let cpu = keys.ranked(By::Cpu);
    html! {
        @if !cpu.is_empty() {
            details {
                summary { "Keys that compute the most" }
                div .scroll {
                    table .stacked {
                        thead { tr { th { "Key" } th .num { "Runs" } th .num { "Computing" } th .num { "Running" } th .num { "Waited" } th .num { "Sent" } th .num { "Received" } } }
                        tbody { @for usage in cpu.iter().take(SHOWN) { (row(usage)) } }
                    }
                }
            }
        }
    }
}

fn row(usage: &KeyUsage) -> Markup {
    let time = |s: f64| format::span(Duration::from_secs_f64(s.max(0.0)));
    html! {
        tr {
            th scope="row" { (usage.key) }
            td .num data-name="runs" { (format::count(usage.runs)) }
            td .num data-name="computing" { (time(usage.cpu_s)) }
            td .num data-name="running" { (time(usage.run_s)) }
            td .num data-name="waited" { (time(usage.wait_s)) }
            td .num data-name="sent" { (format::bytes(usage.sent_bytes as f64)) }
            td .num data-name="received" { (format::bytes(usage.received_bytes as f64)) }
        }
    }
}
