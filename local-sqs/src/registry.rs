//! All queues, and how a request's words find one of them.
//!
//! A queue belongs to a region and an account, or to every region of the default account: those of
//! the program that embeds the local queue, and those of logs from before there were regions.

use std::{collections::HashMap, sync::Arc};

use super::{
    address::{self, Account},
    queue::Queue,
};

/// The queues by name; of one name there may be one in each region and account.
#[derive(Default)]
pub struct Registry(HashMap<String, Vec<Arc<Queue>>>);

impl Registry {
    /// Adds a queue.
    pub fn insert(&mut self, queue: Arc<Queue>) {
        self.0.entry(queue.name.clone()).or_default().push(queue);
    }

    /// Removes a queue.
    pub fn remove(&mut self, queue: &Queue) {
        let Some(of_name) = self.0.get_mut(&queue.name) else { return };
        of_name.retain(|other| other.number != queue.number);
        if of_name.is_empty() {
            self.0.remove(&queue.name);
        }
    }

    /// All queues.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Queue>> {
        self.0.values().flatten()
    }

    /// The queues of this name.
    pub fn of_name(&self, name: &str) -> &[Arc<Queue>] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The queue of this name that a region of an account has.
    pub fn named(&self, region: &str, account: Account, name: &str) -> Option<&Arc<Queue>> {
        let of_name = self.of_name(name);
        let exact = of_name.iter().find(|queue| queue.home().is_some_and(|home| home.is(region, account)));
        exact.or_else(|| everywhere(of_name).filter(|_| account == Account::DEFAULT))
    }

    /// The queue at a URL, for a request of a region and an account: that region's, or the only one
    /// of the account and name. The URL's account counts for more than the request's.
    pub fn at_url(&self, url: &str, region: &str, account: Account) -> Option<&Arc<Queue>> {
        let (in_url, name) = address::parse_url(url);
        let account = in_url.unwrap_or(account);
        self.named(region, account, name).or_else(|| {
            let mut of_account = self.of_name(name).iter().filter(|queue| queue.account() == account);
            of_account.next().filter(|_| of_account.next().is_none())
        })
    }

    /// The queue with an ARN: of its region and account, or of every region.
    pub fn at_arn(&self, arn: &str) -> Option<&Arc<Queue>> {
        let arn = address::parse_arn(arn)?;
        self.named(arn.region, Account::parse(arn.account)?, arn.name)
    }

    /// The queue that the log refers to: by its ARN, or by its name alone if it has no region.
    pub fn referred(&self, reference: &str) -> Option<&Arc<Queue>> {
        match address::parse_arn(reference) {
            Some(_) => self.at_arn(reference),
            None => everywhere(self.of_name(reference)),
        }
    }

    /// The dead-letter queue with an ARN that a queue's policy has. A queue of every region may be
    /// of a log from before there were regions, when a policy named any account and meant the only
    /// queue of its name. No client can set such a policy now.
    pub fn dead_letter_queue(&self, source: &Queue, arn: &str) -> Option<&Arc<Queue>> {
        let exact = self.at_arn(arn);
        if exact.is_some() || source.home().is_some() {
            return exact;
        }
        everywhere(self.of_name(address::parse_arn(arn)?.name))
    }
}

fn everywhere(of_name: &[Arc<Queue>]) -> Option<&Arc<Queue>> {
    of_name.iter().find(|queue| queue.home().is_none())
}

#[cfg(test)]
mod tests;
