//! Each contestant at its best: the number of pollers with which it is fastest, unless one is
//! given.

use std::collections::BTreeMap;

use crate::contestant::Contestant;
use crate::report::Step;
use crate::round::{Pace, RoundRunner};

/// The part of the messages that a step has.
const PART: u64 = 4;
/// Deliveries in hand for each poller: three receives' worth, so that it need not wait for the
/// slowest of ten.
const IN_HAND_PER_POLLER: usize = 32;
/// The most that a queue may have in hand, as the config bounds it.
pub const IN_HAND_MAX: usize = 10_000;

pub struct Calibration {
    /// Of a round.
    pub messages: u64,
    pub pollers: Option<usize>,
    pub concurrency: Option<usize>,
}

impl Calibration {
    /// Finds each contestant's best number of pollers. The answer is what it runs with, and how the
    /// search went.
    pub async fn run(
        &self,
        runner: &mut RoundRunner,
        contestants: &[Contestant],
    ) -> anyhow::Result<(Vec<(Contestant, Pace)>, BTreeMap<Contestant, Vec<Step>>)> {
        let mut steps: BTreeMap<Contestant, Vec<Step>> = BTreeMap::new();
        let mut paces = Vec::new();
        for name in contestants {
            let like = name.calibrated_as();
            let pollers = match (self.pollers, steps.get(&like)) {
                (Some(pollers), _) => pollers,
                (None, Some(found)) => best(found),
                (None, None) => {
                    let found = self.climb(runner, like).await?;
                    best(steps.entry(like).or_insert(found))
                }
            };
            paces.push((*name, self.pace(pollers)));
        }
        Ok((paces, steps))
    }

    async fn climb(&self, runner: &mut RoundRunner, name: Contestant) -> anyhow::Result<Vec<Step>> {
        let mut steps = Vec::new();
        for pollers in name.ladder() {
            let messages = (self.messages / PART).max(1);
            let sample = runner.run(name, self.pace(*pollers), messages).await?;
            let step = Step { pollers: *pollers, messages_per_s: sample.messages_per_s };
            eprintln!("{}: {} pollers, {:.0} messages/s", name.name(), step.pollers, step.messages_per_s);
            steps.push(step);
        }
        Ok(steps)
    }

    fn pace(&self, pollers: usize) -> Pace {
        let concurrency = self.concurrency.unwrap_or((pollers * IN_HAND_PER_POLLER).min(IN_HAND_MAX));
        Pace { pollers, concurrency }
    }
}

fn best(steps: &[Step]) -> usize {
    let best = steps.iter().max_by(|a, b| a.messages_per_s.total_cmp(&b.messages_per_s));
    best.map_or(1, |step| step.pollers)
}
