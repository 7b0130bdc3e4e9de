//! From the meters to the metrics: each definition with its series as they are now. Nothing here
//! waits or calls anyone.

use wasq_core::clock;

use super::Source;
use crate::admission::breaker::status::BreakerStatus;
use crate::admission::permits::Usage;
use crate::plugins::Catalog;
use crate::telemetry::metrics::{self as m, Metric, QueueMeters, Snapshot};
use crate::telemetry::stats::{ATTEMPTS, Line};
use crate::telemetry::usage::CALLS;

/// A metric and its series.
#[derive(Debug)]
pub struct Family {
    pub metric: &'static Metric,
    pub series: Vec<Series>,
}

/// One series: a value for each of the metric's labels, and its number.
#[derive(Debug)]
pub struct Series {
    pub labels: Vec<String>,
    pub value: Value,
}

/// What a series says now.
#[derive(Debug)]
pub enum Value {
    Number(f64),
    Histogram(Snapshot),
}

impl Family {
    fn push(&mut self, labels: &[&str], value: Value) {
        debug_assert_eq!(labels.len(), self.metric.labels.len(), "{}", self.metric.name);
        self.series.push(Series { labels: labels.iter().map(|label| (*label).to_owned()).collect(), value });
    }
}

/// Every metric, in the order of the definitions. One without a series now is there, empty.
pub fn gather(source: &Source) -> Vec<Family> {
    let mut families = Families(m::ALL.iter().map(|metric| Family { metric, series: Vec::new() }).collect());
    families.host(source);
    families.plugins(&source.services.catalogs.current());
    for (name, usage) in source.services.catalogs.pools().usage() {
        families.permits(&format!("pool:{name}"), usage);
    }
    for pool in source.services.fleet_pools.status() {
        families.permits(&format!("pool:{}", pool.name), Usage { busy: pool.busy, limit: pool.size });
        families.number(&m::POOL_LEASED, &[&pool.name], pool.leased as f64);
        families.number(&m::POOL_WAITING, &[&pool.name], pool.waiting as f64);
    }
    for rate in source.services.rates.status() {
        families.number(&m::RATE_LIMIT, &[&rate.name], rate.per_second);
        families.number(&m::RATE_STARTS, &[&rate.name], rate.started as f64);
        families.number(&m::RATE_WAITING, &[&rate.name], rate.waiting as f64);
        families.number(&m::RATE_HIDDEN, &[&rate.name], rate.hidden as f64);
        families.number(&m::RATE_LOST, &[&rate.name], rate.lost as f64);
    }
    if let Some(scale) = source.scale.load_full() {
        families.number(&m::HOSTS, &[], scale.hosts as f64);
        families.number(&m::HOSTS_WANTED, &[], scale.hosts_wanted as f64);
    }
    let (hidden, shown) = source.services.hidden.counts();
    families.number(&m::HIDDEN_MESSAGES, &[], hidden as f64);
    families.number(&m::HIDDEN_SHOWN, &[], shown as f64);
    for share in source.services.permits.queues() {
        families.number(&m::QUEUE_PERMITS_BUSY, &[&share.queue], share.running as f64);
        families.number(&m::QUEUE_PERMITS_WAITING, &[&share.queue], share.waiting as f64);
    }
    for fair in source.fair() {
        families.number(&m::FAIR_WAITING, &[&fair.queue], fair.waiting as f64);
        families.number(&m::FAIR_HIDDEN, &[&fair.queue], fair.hidden as f64);
        families.number(&m::FAIR_KEYS, &[&fair.queue], fair.keys as f64);
    }
    for keyed in source.services.keyed() {
        families.number(&m::KEYED_RUNNING, &[&keyed.plugin], keyed.running as f64);
        families.number(&m::KEYED_WAITING, &[&keyed.plugin], keyed.waiting as f64);
        families.number(&m::KEYED_HIDDEN, &[&keyed.plugin], keyed.hidden as f64);
        families.number(&m::KEYED_KEYS, &[&keyed.plugin], keyed.keys as f64);
    }
    for ((kind, plugin), line) in source.services.stats.lines() {
        families.line(&kind, &plugin, &line);
    }
    for runtime in source.runtimes().iter() {
        families.number(&m::IN_HAND, &[&runtime.name], runtime.keeper.in_progress() as f64);
        families.number(&m::CONCURRENCY, &[&runtime.name], runtime.limit.limit() as f64);
        families.queue(&runtime.name, &runtime.meters);
    }
    let now_s = source.services.clock.unix_ms().0 as f64 / 1_000.0;
    for breaker in source.services.breakers.by_dependency(source.services.clock.now()) {
        families.breaker(&breaker, now_s);
    }
    for pause in source.services.pauses.current(source.services.clock.unix_ms()) {
        families.number(&m::PAUSED, &[&pause.target.to_string()], 1.0);
    }
    families.0
}

struct Families(Vec<Family>);

impl Families {
    fn of(&mut self, metric: &'static Metric) -> &mut Family {
        let found = self.0.iter_mut().find(|family| std::ptr::eq(family.metric, metric));
        found.expect("every metric is among the definitions")
    }

    fn number(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        self.of(metric).push(labels, Value::Number(value));
    }

    /// A gauge that is not set, and a histogram that nothing was observed in, have no series.
    fn gauge(&mut self, metric: &'static Metric, labels: &[&str], value: &m::Gauge) {
        if let Some(value) = value.get() {
            self.number(metric, labels, value);
        }
    }

    fn histogram(&mut self, metric: &'static Metric, labels: &[&str], histogram: &m::Histogram) {
        let read = histogram.read();
        if read.count() > 0 {
            self.of(metric).push(labels, Value::Histogram(read));
        }
    }

    fn host(&mut self, Source { services, .. }: &Source) {
        self.number(&m::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0);
        self.number(&m::PROCESS_CPU, &[], clock::process_cpu().as_secs_f64());
        self.permits("host", services.permits.usage());
        let is = |truth: bool| f64::from(u8::from(truth));
        self.number(&m::LEDGER_UP, &[], is(!services.health.ledger_is_down()));
        if let Some(meters) = services.ledger.meters() {
            self.gauge(&m::LEDGER_ENTRIES, &[], &meters.entries);
            self.gauge(&m::LEDGER_OVERDUE, &[], &meters.overdue_s);
        }
        if let Some(timers) = &services.timers {
            let meters = &timers.meters;
            self.number(&m::TIMERS_SET, &["parked"], meters.parked.get() as f64);
            self.number(&m::TIMERS_SET, &["delayed"], meters.delayed.get() as f64);
            self.number(&m::TIMERS_SENT, &[], meters.sent.get() as f64);
            self.number(&m::TIMER_FAILURES, &[], meters.failures.get() as f64);
            self.histogram(&m::TIMER_LATENESS, &[], &meters.lateness);
        }
        if let Some(groups) = &services.groups {
            let meters = &groups.meters;
            self.number(&m::GROUP_MEMBERS_SENT, &[], meters.members.get() as f64);
            self.number(&m::GROUP_MEMBERS_ENDED, &[], meters.member_ends.get() as f64);
            self.number(&m::GROUPS_ENDED, &["ended"], meters.ended.get() as f64);
            self.number(&m::GROUPS_ENDED, &["cancelled"], meters.cancelled.get() as f64);
        }
        for (status, count) in services.ingress.by_status() {
            self.number(&m::INGRESS_REQUESTS, &[&status.to_string()], count as f64);
        }
        self.histogram(&m::INGRESS_DURATION, &[], &services.ingress.duration);
        self.number(&m::READY, &[], is(services.health.ready().ok));
    }

    fn plugins(&mut self, catalog: &Catalog) {
        for serving in catalog.serving() {
            let (plugin, name) = (&serving.stable, &serving.stable.manifest.name);
            let candidate = serving.rollout.as_ref().map(|rollout| (&rollout.candidate, "candidate"));
            for (version, role) in [(plugin, "stable")].into_iter().chain(candidate) {
                let digest: String = version.digest.chars().take(12).collect();
                self.number(&m::PLUGIN_INFO, &[name, &digest, role], 1.0);
            }
            self.permits(&format!("plugin:{name}"), Usage::of(&plugin.permits, plugin.max_concurrency));
        }
        self.number(&m::PLUGIN_LOAD_FAILURES, &[], catalog.failures().len() as f64);
    }

    fn permits(&mut self, pool: &str, usage: Usage) {
        self.number(&m::PERMITS_BUSY, &[pool], usage.busy as f64);
        self.number(&m::PERMITS_LIMIT, &[pool], usage.limit as f64);
    }

    fn line(&mut self, kind: &str, plugin: &str, line: &Line) {
        let labels = [kind, plugin];
        for ((exit, settlement), count) in line.exits() {
            self.number(&m::EXITS, &[kind, plugin, exit, settlement], count as f64);
        }
        for (attempt, count) in ATTEMPTS.iter().zip(&line.attempts).filter(|(_, count)| count.get() > 0) {
            self.number(&m::ATTEMPTS, &[kind, plugin, attempt], count.get() as f64);
        }
        self.histogram(&m::QUEUE_WAIT, &labels, &line.queue_wait);
        self.histogram(&m::RUN_DURATION, &labels, &line.run);
        self.histogram(&m::GUEST_CPU, &labels, &line.guest_cpu);
        self.histogram(&m::GUEST_MEMORY, &labels, &line.guest_memory);
        self.histogram(&m::RETRY_DELAY, &labels, &line.retry_delay);
        for (call, count) in CALLS.iter().zip(&line.calls).filter(|(_, count)| count.get() > 0) {
            self.number(&m::HOST_CALLS, &[kind, plugin, call], count.get() as f64);
        }
        for (direction, bytes) in [("sent", &line.sent_bytes), ("received", &line.received_bytes)] {
            if bytes.get() > 0 {
                self.number(&m::EGRESS_BYTES, &[kind, plugin, direction], bytes.get() as f64);
            }
        }
        if !plugin.is_empty() {
            self.number(&m::DUPLICATES, &labels, line.duplicates.get() as f64);
        }
    }

    /// What is counted is there from the start, as 0: a rate needs a series to begin with.
    fn queue(&mut self, name: &str, meters: &QueueMeters) {
        let labels = [name];
        for (metric, counter) in [
            (&m::RECEIVED, &meters.received),
            (&m::LEASE_RENEWALS, &meters.lease_renewals),
            (&m::LEASE_LOSSES, &meters.lease_losses),
        ] {
            self.number(metric, &labels, counter.get() as f64);
        }
        self.number(&m::SETTLE_FAILURES, &[name, "delete"], meters.failed_deletes.get() as f64);
        self.number(&m::SETTLE_FAILURES, &[name, "visibility"], meters.failed_visibility_changes.get() as f64);
        for (code, count) in meters.poll_failures() {
            self.number(&m::POLL_FAILURES, &[name, &code], count as f64);
        }
        self.histogram(&m::SETTLE_DURATION, &labels, &meters.settle_duration);
        for (metric, gauge) in [
            (&m::LAG, &meters.lag_s),
            (&m::LAST_POLL, &meters.last_poll_s),
            (&m::DLQ_MESSAGES, &meters.dead_letters),
            (&m::DLQ_OLDEST_AGE, &meters.oldest_dead_letter_s),
        ] {
            self.gauge(metric, &labels, gauge);
        }
        self.gauge(&m::QUEUE_MESSAGES, &[name, "visible"], &meters.visible);
        self.gauge(&m::QUEUE_MESSAGES, &[name, "in_flight"], &meters.in_flight);
        self.gauge(&m::QUEUE_MESSAGES, &[name, "delayed"], &meters.delayed);
    }

    fn breaker(&mut self, breaker: &BreakerStatus, now_s: f64) {
        let state = match (breaker.open, breaker.probe_in_ms) {
            (false, _) => 0.0,
            (true, 0) => 1.0,
            (true, _) => 2.0,
        };
        let labels = [breaker.plugin.as_str(), breaker.dependency.as_str()];
        self.number(&m::BREAKER_STATE, &labels, state);
        if breaker.open {
            self.number(&m::BREAKER_OPEN_SINCE, &labels, now_s - breaker.open_for_ms as f64 / 1_000.0);
        }
    }
}
