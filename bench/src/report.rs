//! What the bench found, as numbers: its JSON, and what the text is printed from.

use std::collections::BTreeMap;

use serde::Serialize;
use wasq::config::Broker;

use crate::contestant::Contestant;
use crate::pins::Pins;
use crate::protocol::Latency;
use crate::round::{CpuUs, Pace, Sample};

/// The whole of it. What the JSON holds is this, field by field.
#[derive(Debug, Serialize)]
pub struct BenchReport {
    pub version: &'static str,
    /// Without optimisation the figures mean nothing.
    pub optimised: bool,
    pub machine: Machine,
    pub settings: Settings,
    pub contestants: Vec<Standing>,
    pub left_out: Vec<LeftOut>,
    /// With messages coming at an even pace.
    pub latency: Vec<Watched>,
    pub ratios: Vec<Ratio>,
}

#[derive(Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub pins: Pins,
    /// The file system under the queue and the ledger; on `tmpfs` a sync costs nothing.
    pub file_system: String,
    /// Before and after the bench, over a minute: what else ran.
    pub load_before: f64,
    pub load_after: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    pub messages: u64,
    pub bytes: usize,
    pub handler: String,
    pub handler_sleep_ms: u64,
    pub ledger: String,
    pub plugins: usize,
    pub duplicates_percent: u32,
    pub rounds: usize,
    pub cores: usize,
    pub broker: Broker,
    pub endpoint: Option<String>,
}

/// One contestant's rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    pub name: Contestant,
    pub pace: Pace,
    /// What each number of pollers gave, when the best of them was looked for.
    pub calibration: Vec<Step>,
    /// Each figure's median over the rounds.
    pub median: Median,
    pub rounds: Vec<Sample>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Step {
    pub pollers: usize,
    pub messages_per_s: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Median {
    pub messages_per_s: f64,
    pub cpu_us: CpuUs,
    pub calls_per_message: Option<f64>,
    pub rss_peak_bytes: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct LeftOut {
    pub name: Contestant,
    pub why: String,
}

/// A contestant's latency at a pace.
#[derive(Clone, Debug, Serialize)]
pub struct Watched {
    pub name: Contestant,
    pub wanted_per_s: f64,
    /// What the producer and the consumer came to.
    pub messages_per_s: f64,
    #[serde(flatten)]
    pub latency: Latency,
}

/// How two contestants compare.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ratio {
    pub of: Contestant,
    pub to: Contestant,
    /// Of the medians of messages a second.
    pub ratio: f64,
    /// The lowest and the highest of the rounds.
    pub lowest: f64,
    pub highest: f64,
    /// How much more CPU time `of` takes a message.
    pub more_cpu_us: f64,
}

impl Standing {
    pub fn new(name: Contestant, pace: Pace, calibration: Vec<Step>, rounds: Vec<Sample>) -> Option<Self> {
        let median = |of: &dyn Fn(&Sample) -> Option<f64>| middle(rounds.iter().filter_map(of).collect());
        let median = Median {
            messages_per_s: median(&|round| Some(round.messages_per_s))?,
            cpu_us: CpuUs {
                contestant: median(&|round| Some(round.cpu_us.contestant))?,
                host: median(&|round| round.cpu_us.host),
                guest: median(&|round| round.cpu_us.guest),
                queue: median(&|round| round.cpu_us.queue),
            },
            calls_per_message: median(&|round| round.calls_per_message),
            rss_peak_bytes: median(&|round| Some(round.rss_peak_bytes as f64))? as u64,
        };
        Some(Self { name, pace, calibration, median, rounds })
    }
}

/// The comparisons that are worth making among those that took part: the host with all others,
/// first with the ceiling.
pub fn ratios(standings: &[Standing]) -> Vec<Ratio> {
    let all: BTreeMap<Contestant, &Standing> = standings.iter().map(|standing| (standing.name, standing)).collect();
    let Some(wasq) = all.get(&Contestant::Wasq) else { return Vec::new() };
    let order = [
        Contestant::WasqNoLedger,
        Contestant::WasqNative,
        Contestant::SqsConsumer,
        Contestant::SqsConsumerSingle,
        Contestant::Boto3,
        Contestant::Python,
        Contestant::Trigger,
        Contestant::Native,
    ];
    order.iter().filter_map(|other| Some(ratio(wasq, all.get(other)?))).collect()
}

fn ratio(of: &Standing, to: &Standing) -> Ratio {
    let each = of.rounds.iter().zip(&to.rounds).map(|(of, to)| of.messages_per_s / to.messages_per_s);
    let (lowest, highest) = each.fold((f64::MAX, 0.0_f64), |(low, high), ratio| (low.min(ratio), high.max(ratio)));
    Ratio {
        of: of.name,
        to: to.name,
        ratio: of.median.messages_per_s / to.median.messages_per_s,
        lowest,
        highest,
        more_cpu_us: of.median.cpu_us.contestant - to.median.cpu_us.contestant,
    }
}

/// The middle one; of an even number, the middle of the middle two.
pub fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    let lower = values.len().checked_sub(1)? / 2;
    Some((values[lower] + values[upper]) / 2.0)
}

#[cfg(test)]
mod tests;
