//! Which queue's run may take a free permit: what is kept for each queue, and what runs. Pure.
//!
//! A part of the host's permits is kept for each queue, and no other queue's runs take it. So a
//! queue never starves, and one that others flood finds room at once. The same holds within the
//! part of the permits that plugins of lower priority may use.

use super::priority::Priority;

/// The tiers of permits: those that all plugins may use, those of `normal` and `low`, those of
/// `low`.
const TIERS: usize = 3;

/// Of a queue that says no `min_share`, at most this share of the host's permits is kept for it.
const MIN_SHARE: f64 = 0.1;

/// Permits, those that are kept for each queue, and those in use.
#[derive(Clone, Debug)]
pub struct Shares {
    tiers: [Tier; TIERS],
}

#[derive(Clone, Debug)]
struct Tier {
    limit: usize,
    /// By queue.
    kept: Vec<usize>,
    running: Vec<usize>,
}

impl Shares {
    /// `limits` are the permits that plugins of each priority may use. `min_shares` are those of
    /// the queues.
    pub fn new(limits: [usize; TIERS], min_shares: &[Option<f64>]) -> Self {
        let shares = filled_in(min_shares);
        let tier = |limit: usize| {
            // Of few permits not every queue can have one for itself.
            let least = usize::from(limit >= shares.len() * 2);
            let kept = shares.iter().map(|share| ((limit as f64 * share) as usize).max(least)).collect();
            Tier { limit, kept, running: vec![0; shares.len()] }
        };
        Self { tiers: limits.map(tier) }
    }

    /// Whether a run of this queue may take a permit now.
    pub fn has_room(&self, queue: usize, priority: Priority) -> bool {
        self.tiers[..=tier(priority)].iter().all(|tier| tier.has_room(queue))
    }

    pub fn take(&mut self, queue: usize, priority: Priority) {
        self.tiers[..=tier(priority)].iter_mut().for_each(|tier| tier.running[queue] += 1);
    }

    pub fn give_back(&mut self, queue: usize, priority: Priority) {
        self.tiers[..=tier(priority)].iter_mut().for_each(|tier| tier.running[queue] -= 1);
    }

    /// Runs of all queues.
    pub fn running(&self) -> usize {
        self.tiers[0].running.iter().sum()
    }

    /// Runs of one queue, and the permits that are kept for it.
    pub fn of_queue(&self, queue: usize) -> (usize, usize) {
        (self.tiers[0].running[queue], self.tiers[0].kept[queue])
    }
}

impl Tier {
    fn has_room(&self, queue: usize) -> bool {
        let running: usize = self.running.iter().sum();
        let of_others = self.kept.iter().zip(&self.running).enumerate().filter(|(other, _)| *other != queue);
        let reserved: usize = of_others.map(|(_, (kept, running))| kept.saturating_sub(*running)).sum();
        running + reserved < self.limit
    }
}

/// The last tier that a run of this priority counts in.
fn tier(priority: Priority) -> usize {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

/// The shares of all queues: where a queue says none, a part of what the others leave, so that half
/// of that is nobody's.
fn filled_in(min_shares: &[Option<f64>]) -> Vec<f64> {
    let said: f64 = min_shares.iter().flatten().sum();
    let others = min_shares.iter().filter(|share| share.is_none()).count().max(1);
    let default = MIN_SHARE.min((1.0 - said).max(0.0) / 2.0 / others as f64);
    min_shares.iter().map(|share| share.unwrap_or(default)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(shares: &mut Shares, queue: usize, priority: Priority) -> usize {
        let mut taken = 0;
        while shares.has_room(queue, priority) {
            shares.take(queue, priority);
            taken += 1;
        }
        taken
    }

    #[test]
    fn a_queue_takes_all_but_what_is_kept_for_others() {
        let check = |limits, min_shares: &[Option<f64>], priority, expect: usize| {
            let mut shares = Shares::new(limits, min_shares);
            assert_eq!(fill(&mut shares, 0, priority), expect, "{min_shares:?} {priority:?}");
            // Each other queue still has its part.
            for queue in 1..min_shares.len() {
                let (running, kept) = shares.of_queue(queue);
                assert!(running == 0 && fill(&mut shares, queue, Priority::High) >= kept, "{min_shares:?}");
            }
            assert!(shares.running() <= limits[0]);
        };
        check([16, 12, 8], &[None, Some(0.25)], Priority::High, 12);
        check([16, 12, 8], &[None, Some(0.25)], Priority::Normal, 9);
        check([16, 12, 8], &[None, Some(0.25)], Priority::Low, 6);
        check([100, 75, 50], &[None, None, None], Priority::High, 80);
        check([512, 384, 256], &[None; 20], Priority::High, 512 - 19 * 12);
        // At least one permit is kept for each, where there are enough.
        check([8, 6, 4], &[None, Some(0.0)], Priority::High, 7);
        check([2, 1, 1], &[None, None], Priority::High, 2);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let mut shares = Shares::new([4, 3, 2], &[None, None]);
        assert_eq!(fill(&mut shares, 0, Priority::Low), 2);
        assert!(!shares.has_room(0, Priority::Low) && shares.has_room(1, Priority::High));
        shares.give_back(0, Priority::Low);
        assert!(shares.has_room(0, Priority::Low));
        assert_eq!(shares.running(), 1);
    }
}
