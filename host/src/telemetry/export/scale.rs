//! How many hosts the work needs: what an autoscaler is told.
//!
//! The backlog alone does not say it. Where a rate, a pool, a breaker or a pause holds the messages
//! back, one more host would only wait. So each host says in the ledger how busy it is and what
//! holds its messages back, and any of them sums that up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use wasq_core::clock;

use super::Source;
use crate::flow::QueueRuntime;
use crate::quotas::host_report::{EVERY, HostReport, KEPT, QueueReport};

/// Hosts are busy where they work on so much of what they may. A further host would find work, and
/// one less would not do.
const BUSY: f64 = 0.7;
/// Over how long speeds are averaged.
const OVER: Duration = Duration::from_secs(60);

/// What `/scale` answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Hosts of the service that have said something within the last half minute.
    pub hosts: usize,
    /// Hosts that the work needs.
    pub hosts_wanted: usize,
    pub queues: Vec<QueueScale>,
}

/// One queue, over all hosts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueScale {
    pub name: String,
    /// Messages that can be received. None where the broker does not tell.
    pub visible: Option<u64>,
    /// Messages that were received and are not settled, those included that wait for their time.
    pub in_flight: Option<u64>,
    /// Messages that come and go in a second, over the last minute.
    pub arrivals_per_s: Option<f64>,
    pub departures_per_s: f64,
    /// When nothing is left, if it goes on so. None where it does not become less.
    pub seconds_to_empty: Option<f64>,
    /// How much of what the hosts may work on they work on, from 0 to 1.
    pub in_hand_share: f64,
    /// What holds its messages back: `rate:NAME`, `pool:NAME`, `breaker:PLUGIN`, `pause:TARGET`,
    /// `concurrency:QUEUE`.
    pub limited_by: BTreeSet<String>,
    pub hosts_wanted: usize,
}

/// A queue's own counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Depth {
    pub visible: Option<u64>,
    pub in_flight: Option<u64>,
    /// By how many messages it grows in a second.
    pub growth_per_s: Option<f64>,
}

impl Scale {
    /// The sum of what hosts say. A backlog is to be worked off within `backlog_target`.
    pub fn of(reports: &[HostReport], depths: &BTreeMap<String, Depth>, backlog_target: Duration) -> Self {
        let hosts = reports.len().max(1);
        let names: BTreeSet<_> = reports.iter().flat_map(|report| report.queues.keys()).collect();
        let queues: Vec<_> = names
            .into_iter()
            .map(|name| {
                let all: Vec<_> = reports.iter().filter_map(|report| report.queues.get(name)).collect();
                QueueScale::of(name, &all, depths.get(name).copied().unwrap_or_default(), hosts, backlog_target)
            })
            .collect();
        let hosts_wanted = queues.iter().map(|queue| queue.hosts_wanted).max().unwrap_or(1);
        Self { hosts, hosts_wanted, queues }
    }
}

impl QueueScale {
    fn of(name: &str, all: &[&QueueReport], depth: Depth, hosts: usize, backlog_target: Duration) -> Self {
        let sum = |of: fn(&QueueReport) -> f64| all.iter().map(|report| of(report)).sum::<f64>();
        let departures_per_s = sum(|report| report.departures_per_s);
        let share = sum(|report| report.in_hand as f64) / sum(|report| report.concurrency as f64).max(1.0);
        let arrivals_per_s = depth.growth_per_s.map(|growth| (departures_per_s + growth).max(0.0));
        let shrinks_by = depth.growth_per_s.map(|growth| -growth).filter(|by| *by > 0.0);
        let backlog = depth.visible.zip(depth.in_flight).map(|(visible, in_flight)| (visible + in_flight) as f64);
        let mut scale = Self {
            name: name.to_owned(),
            visible: depth.visible,
            in_flight: depth.in_flight,
            arrivals_per_s,
            departures_per_s,
            seconds_to_empty: backlog.zip(shrinks_by).map(|(backlog, by)| backlog / by),
            in_hand_share: share.min(1.0),
            limited_by: all.iter().flat_map(|report| report.limited_by.iter().cloned()).collect(),
            hosts_wanted: 1,
        };
        scale.hosts_wanted = scale.wanted(hosts, backlog_target);
        scale
    }

    fn wanted(&self, hosts: usize, backlog_target: Duration) -> usize {
        let visible = self.visible.unwrap_or(0) as f64;
        if self.in_hand_share < BUSY {
            // They would do, and so would fewer.
            return ((hosts as f64 * self.in_hand_share / BUSY).ceil() as usize).clamp(1, hosts);
        }
        if !self.limited_by.is_empty() || visible == 0.0 {
            return hosts;
        }
        let of_one = self.departures_per_s / hosts as f64;
        if of_one <= 0.0 {
            // Nothing has ended yet, and something waits.
            return hosts + 1;
        }
        let arrivals = self.arrivals_per_s.unwrap_or(self.departures_per_s);
        let needed = (arrivals + visible / backlog_target.as_secs_f64()) / of_one;
        // Twice as many at a time: what one host does is known better then.
        (needed.ceil() as usize).clamp(hosts, hosts * 2)
    }
}

/// A count that was read again and again.
#[derive(Default)]
struct Reads(VecDeque<(Instant, f64)>);

impl Reads {
    fn add(&mut self, at: Instant, count: f64) {
        self.0.push_back((at, count));
        // One stays that is older, so that the whole time is covered.
        while self.0.get(1).is_some_and(|(second, _)| at.saturating_duration_since(*second) >= OVER) {
            self.0.pop_front();
        }
    }

    /// How much it grows in a second; none before it has been read twice.
    fn per_second(&self) -> Option<f64> {
        let ((began, first), (ended, last)) = (self.0.front()?, self.0.back()?);
        let seconds = ended.saturating_duration_since(*began).as_secs_f64();
        (seconds > 0.0).then(|| (last - first) / seconds)
    }
}

/// What this host has seen of one queue.
#[derive(Default)]
struct Seen {
    deleted: Reads,
    depth: Reads,
}

impl Seen {
    /// `is_busy` is whether the host's processors are: then one more host helps, although runs slow
    /// each other down on this one.
    fn look(
        &mut self,
        runtime: &QueueRuntime,
        rate_waiting: usize,
        is_busy: bool,
        now: Instant,
    ) -> (QueueReport, Depth) {
        let meters = &runtime.meters;
        self.deleted.add(now, meters.deleted.get() as f64);
        let count = |gauge: &crate::telemetry::metrics::Gauge| gauge.get().map(|value| value as u64);
        let (visible, in_flight) = (count(&meters.visible), count(&meters.in_flight));
        if let Some((visible, in_flight)) = visible.zip(in_flight) {
            self.depth.add(now, (visible + in_flight + count(&meters.delayed).unwrap_or(0)) as f64);
        }
        let waiting = rate_waiting.saturating_sub(runtime.waiting_room.available_permits());
        if runtime.limit.is_held_back() && !is_busy {
            meters.limited(format!("concurrency:{}", runtime.name), now);
        }
        let report = QueueReport {
            in_hand: runtime.keeper.in_progress().saturating_sub(waiting),
            concurrency: runtime.limit.limit(),
            departures_per_s: self.deleted.per_second().unwrap_or(0.0),
            limited_by: meters.limited_by(now),
        };
        (report, Depth { visible, in_flight, growth_per_s: self.depth.per_second() })
    }
}

/// Says what this host does, and sums up what all do, again and again.
pub async fn follow_scale(source: Source, backlog_target: Duration) {
    let services = &source.services;
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    let processors = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
    let mut cpu = Reads::default();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (now, now_ms) = (clock::now(), services.clock.unix_ms().0);
        cpu.add(now, clock::process_cpu().as_secs_f64());
        let is_busy = cpu.per_second().is_some_and(|used| used > processors * BUSY);
        let mut own = HostReport { at_ms: now_ms, queues: BTreeMap::new() };
        let mut depths = BTreeMap::new();
        for runtime in source.runtimes().iter() {
            let seen = seen.entry(runtime.name.clone()).or_default();
            let (report, depth) = seen.look(runtime, services.limits.rate_waiting, is_busy, now);
            own.queues.insert(runtime.name.clone(), report);
            depths.insert(runtime.name.clone(), depth);
        }
        let said = match &services.quotas {
            Some(store) => store.report(&own).await,
            None => Ok(vec![own.clone()]),
        };
        let mut reports = said.unwrap_or_else(|error| {
            tracing::debug!(%error, "what other hosts do cannot be read");
            vec![own]
        });
        reports.retain(|report| now_ms.saturating_sub(report.at_ms) < KEPT.as_millis() as u64);
        source.scale.store(Some(Scale::of(&reports, &depths, backlog_target).into()));
    }
}

#[cfg(test)]
mod tests;
