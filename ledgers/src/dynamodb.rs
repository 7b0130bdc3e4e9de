//! The ledger of any number of hosts, in a DynamoDB table.
//!
//! A key's record is one item, and every change of it is one conditional write: the condition is
//! that nobody has changed it since. The usual way is tried first, without a look, so that a
//! message costs two writes: its claim and its finish. What time it is the server says (see
//! `time`): the hosts' clocks may differ, and jump.

mod calls;
mod documents;
mod finish;
mod item;
mod open;
mod pauses;
mod retry;
mod steps;
mod table;
mod time;
mod timers;
mod update;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use futures::StreamExt;
use wasq_core::aws;
use wasq_core::aws::AwsConfig;
use wasq_core::message::Key;
use wasq_core::pause::{Pause, Target};

pub use self::open::OpenError;

use self::item::{
    ClaimId, EXPIRES_AT, FENCE, Item, ItemKey, KEY, LEASE_UNTIL, LeaseEnd, REMOVABLE_AT, ReadItem, Reader, STATE,
    STEPS, VALUE, fits,
};
use self::open::Endpoint;
use self::table::{Projection, Table, Written};
use self::time::Bounds;
use self::update::Update;
use super::entry::{self, Change, Entry, State, Steps, after};
use super::ledger::CALLS_AT_ONCE;
use super::{Claim, ClaimRequest, Completion, Ended, Fence, Finish, Ledger, LedgerError};
use crate::config::DynamodbConfig;
use crate::documents::Documents;
use crate::timers::Timers;

/// How often a change is tried while others change the entry. Each time somebody else has got on.
const CHANGE_TRIES: u32 = 10;
/// How long a lost race is waited out at most before the next try: after the second one lost,
/// doubling up to the other. Any shorter wait is as likely, so that those who race do not meet
/// again.
const RACE_WAIT: Duration = Duration::from_millis(10);
const RACE_WAIT_MAX: Duration = Duration::from_millis(200);
/// How long the item that a ping writes is kept.
const PING_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The sort keys of what is no entry.
const ENVELOPE: &str = "envelope";
const PING: &str = "ping";

/// The ledger in a table. Clones share its connections and its knowledge of the time.
#[derive(Clone)]
pub struct DynamodbLedger {
    table: Table,
    aws: AwsConfig,
}

impl DynamodbLedger {
    /// Finds the table and checks its keys; makes it if the config says so. Takes the endpoint of
    /// `config`, else that of `aws`.
    ///
    /// # Errors
    /// [`OpenError`] says what is missing, or not allowed, and the way out.
    pub async fn open(config: &DynamodbConfig, aws: &AwsConfig) -> Result<Self, OpenError> {
        let endpoint_url = config.endpoint_url.clone().or_else(|| aws.endpoint_url.clone());
        let aws = AwsConfig { endpoint_url, ..aws.clone() };
        Self::open_as(&aws::sdk_config(&aws).await, config, aws).await
    }

    /// As [`Self::open`], by settings of the SDK that are there already.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_as(shared: &SdkConfig, config: &DynamodbConfig, aws: AwsConfig) -> Result<Self, OpenError> {
        let table = Table::new(shared, &config.table, aws.sdk_only);
        let endpoint = Endpoint {
            region: shared.region().map(ToString::to_string),
            endpoint_url: shared.endpoint_url().map(ToOwned::to_owned),
        };
        open::prepare(&table, config.create, &endpoint).await?;
        Ok(Self { table, aws })
    }

    /// The entry as it stands, from a write's refusal if that holds it.
    async fn current_entry(&self, key: Key, refusal: Option<Item>) -> Result<Option<(ReadItem, Item)>, LedgerError> {
        let item = match refusal {
            Some(item) => Some(item),
            None => self.table.get(&ItemKey::entry(key), None).await?,
        };
        item.map(|item| Ok((ReadItem::read(key, &item)?, item))).transpose()
    }

    /// Writes over what was found, if that still stands.
    async fn write(
        &self,
        key: Key,
        found: Option<&ReadItem>,
        change: &Change,
        lease: LeaseEnd,
        id: &ClaimId,
    ) -> Result<Written, LedgerError> {
        let item_key = ItemKey::entry(key);
        let attributes = item::attributes(&change.entry, lease, id);
        // A claim begins with none, and what is done has no place for them.
        let no_steps = (change.entry.state == State::Claimed).then(|| AttributeValue::M(Item::new()));
        let Some(before) = found else {
            let attributes = attributes.into_iter().chain([(STEPS, no_steps)]);
            let mut item = item_key.to_item();
            item.extend(attributes.filter_map(|(name, value)| Some((name.to_owned(), value?))));
            return self.table.put_new(item).await;
        };
        // Kept steps are not touched: whoever held the claim before may have recorded one just now.
        let steps = (change.steps == Steps::Forgotten).then_some((STEPS, no_steps));
        let mut update = Update::default()
            .only_if(FENCE, item::number(before.entry.fence.0))
            .only_if(STATE, item::text(item::word(&before.entry.state)))
            .only_if(LEASE_UNTIL, item::number(before.lease.until.0));
        for (name, value) in attributes.into_iter().chain(steps) {
            update = match value {
                Some(value) => update.set(name, value),
                None => update.remove(name),
            };
        }
        self.table.update(&item_key, update, ReturnValue::None).await
    }

    /// Makes the change that `decide` finds over the entry as it stands, from what is found, how
    /// long a claim on it still lasts, a fence higher than its last, and the time. The change is
    /// decided anew when another host has changed the entry. `lease` is how long a claim holds, and
    /// `found` what is known already.
    async fn change<T>(
        &self,
        key: Key,
        mut found: Option<ReadItem>,
        lease: Duration,
        decide: impl Fn(Option<Entry>, Option<Duration>, Fence, Bounds) -> (T, Option<Change>) + Send,
    ) -> Result<T, LedgerError> {
        for tried in 0..CHANGE_TRIES {
            let now = self.table.now()?;
            let held_for = found.as_ref().and_then(|found| found.held_for(now));
            let last = found.as_ref().map_or(Fence(0), |found| found.entry.fence);
            // Where the entry was removed since, the time still makes it grow.
            let fence = Fence(last.0.saturating_add(1).max(now.latest_us()));
            let entry = found.as_ref().map(|found| found.entry.clone());
            let (answer, change) = decide(entry, held_for, fence, now);
            let Some(change) = change else { return Ok(answer) };

            let id = *uuid::Uuid::new_v4().as_bytes();
            let lease = LeaseEnd::of(lease, now);
            let refusal = match self.write(key, found.as_ref(), &change, lease, &id).await? {
                Written::Done(_) => return Ok(answer),
                Written::Refused(item) => item,
            };
            found = self.current_entry(key, refusal).await?.map(|(found, _)| found);
            // The write was made, and its answer was lost: the SDK has tried it again.
            if found.as_ref().is_some_and(|found| found.claim_id == id) {
                return Ok(answer);
            }
            if tried > 0 {
                let longest = RACE_WAIT_MAX.min(RACE_WAIT * (1 << (tried - 1)));
                tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
            }
        }
        Err(LedgerError::Unavailable(format!("others changed the entry {CHANGE_TRIES} times in between")))
    }

    async fn knows(&self, key: Key) -> Result<bool, LedgerError> {
        let projection = Projection { expression: "#key", names: [("#key", KEY.to_owned())].into() };
        Ok(self.table.get(&ItemKey::entry(key), Some(projection)).await?.is_some())
    }

    async fn complete_one(&self, key: Key, completion: Completion) -> Result<(), LedgerError> {
        let decide = |found, _, fence, now: Bounds| {
            let change = entry::complete(found, completion.clone(), fence, now.latest());
            // As by a finish: it is surely over when its time is.
            let removable_at = after(now.earliest(), completion.ttl);
            ((), change.map(|change| Change { entry: Entry { removable_at, ..change.entry }, ..change }))
        };
        self.change(key, None, Duration::ZERO, decide).await
    }

    /// Claims what an earlier attempt has let go of. What there is instead is the other answer.
    async fn claim_released(
        &self,
        key: Key,
        request: &ClaimRequest,
    ) -> Result<Result<Claim, Option<ReadItem>>, LedgerError> {
        let now = self.table.now()?;
        let (id, lease) = (*uuid::Uuid::new_v4().as_bytes(), LeaseEnd::of(request.lease, now));
        let update = retry::update(request, lease, &id, now.latest());
        let written = self.table.update(&ItemKey::entry(key), update, ReturnValue::AllNew).await?;
        let (Written::Done(item) | Written::Refused(item)) = written;
        // By its id a write is known that was made, and whose answer was lost.
        Ok(match self.current_entry(key, item).await? {
            Some((found, _)) if found.claim_id == id => Ok(Claim::Fresh(found.fresh())),
            found => Err(found.map(|(found, _)| found)),
        })
    }

    async fn extend_one(&self, key: Key, fence: Fence, lease: Duration) -> Result<bool, LedgerError> {
        let lease = LeaseEnd::of(lease, self.table.now()?);
        let update = Update::of_claim(fence).set_all(item::leased(lease));
        match self.table.update(&ItemKey::entry(key), update, ReturnValue::None).await? {
            Written::Done(_) => Ok(true),
            // Another's, unless nobody can tell whose it is.
            Written::Refused(refusal) => self.current_entry(key, refusal).await.map(|_| false),
        }
    }
}

#[async_trait]
impl Ledger for DynamodbLedger {
    async fn claim(&self, key: Key, request: &ClaimRequest) -> Result<Claim, LedgerError> {
        // The usual case is tried first: that an earlier delivery has let go of the entry, or else
        // that there is none, which is found out by writing one.
        let found = match request.is_redelivery {
            true => match self.claim_released(key, request).await? {
                Ok(claim) => return Ok(claim),
                Err(found) => found,
            },
            false => None,
        };
        // What is kept until the latest has surely been kept so long.
        let decide = |found, held_for, fence, now: Bounds| entry::claim(found, held_for, request, fence, now.latest());
        self.change(key, found, request.lease, decide).await
    }

    async fn extend(&self, claims: &[(Key, Fence)], lease: Duration) -> Vec<Result<bool, LedgerError>> {
        let calls: Vec<_> = claims.iter().map(|(key, fence)| self.extend_one(*key, *fence, lease)).collect();
        futures::stream::iter(calls).buffered(CALLS_AT_ONCE).collect().await
    }

    async fn finish(&self, key: Key, fence: Fence, finish: Finish) -> Result<(), LedgerError> {
        let now = self.table.now()?.earliest();
        let dead_until = match &finish {
            Finish::DeadLettered { ttl, .. } => Some(after(now, *ttl)),
            Finish::Done { .. } | Finish::Failed { .. } | Finish::Released { .. } => None,
        };
        let returned = if dead_until.is_some() { ReturnValue::AllNew } else { ReturnValue::None };
        let update = finish::update(fence, &finish, now);
        let entry = match self.table.update(&ItemKey::entry(key), update, returned).await? {
            Written::Done(entry) => entry.unwrap_or_default(),
            Written::Refused(refusal) => {
                let (found, item) = self.current_entry(key, refusal).await?.unzip();
                if entry::finish(found.map(|found| found.entry), fence, finish, now)?.is_some() {
                    return Err(LedgerError::Unavailable("the entry changed while its claim ended".into()));
                }
                item.unwrap_or_default()
            }
        };
        match dead_until {
            Some(until) => steps::keep_until(&self.table, key, &entry, until).await,
            None => Ok(()),
        }
    }

    async fn known_batch(&self, keys: &[Key]) -> Vec<Result<bool, LedgerError>> {
        let calls: Vec<_> = keys.iter().map(|key| self.knows(*key)).collect();
        futures::stream::iter(calls).buffered(CALLS_AT_ONCE).collect().await
    }

    async fn complete_batch(&self, completions: Vec<(Key, Completion)>) -> Vec<Result<(), LedgerError>> {
        let calls: Vec<_> = completions.into_iter().map(|(key, end)| self.complete_one(key, end)).collect();
        futures::stream::iter(calls).buffered(CALLS_AT_ONCE).collect().await
    }

    async fn ended(&self, key: Key) -> Result<Option<Ended>, LedgerError> {
        Ok(self.current_entry(key, None).await?.and_then(|(found, _)| found.entry.state.ended()))
    }

    async fn get_step(&self, key: Key, fence: Fence, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        steps::get(&self.table, key, fence, name).await
    }

    async fn put_step(&self, key: Key, fence: Fence, name: &str, value: &[u8]) -> Result<(), LedgerError> {
        steps::put(&self.table, key, fence, name, value).await
    }

    async fn put_envelope(&self, id: &str, json: &[u8], ttl: Duration) -> Result<(), LedgerError> {
        fits("an envelope", json)?;
        let mut item = envelope(id).to_item();
        item.insert(VALUE.into(), item::bytes(json));
        let until = after(self.table.now()?.earliest(), ttl);
        item.extend(item::kept_until(until).map(|(name, value)| (name.to_owned(), value)));
        self.table.put(item).await
    }

    async fn get_envelope(&self, id: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let item_key = envelope(id);
        let Some(item) = self.table.get(&item_key, None).await? else { return Ok(None) };
        let read = Reader { key: item_key.key, item: &item };
        if read.number(REMOVABLE_AT)? <= self.table.now()?.latest().0 {
            return Ok(None);
        }
        read.bytes(VALUE).map(Some)
    }

    async fn put_pause(&self, service: &str, pause: &Pause) -> Result<(), LedgerError> {
        pauses::put(&self.table, service, pause).await
    }

    async fn remove_pause(&self, service: &str, target: &Target) -> Result<(), LedgerError> {
        pauses::remove(&self.table, service, target).await
    }

    async fn pauses(&self, service: &str) -> Result<Vec<Pause>, LedgerError> {
        pauses::all(&self.table, service).await
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        let mut item = ItemKey { key: Key::derive(&[PING.as_bytes()]), item: PING.into() }.to_item();
        let until = after(self.table.now()?.latest(), PING_KEPT);
        item.insert(EXPIRES_AT.into(), item::number(item::expires_at_s(until)));
        self.table.put(item).await
    }

    fn timers(&self, service: &str) -> Option<Arc<dyn Timers>> {
        Some(Arc::new(timers::DynamodbTimers::new(self.table.clone(), service)))
    }

    fn documents(&self, service: &str) -> Option<Arc<dyn Documents>> {
        Some(Arc::new(documents::DynamodbDocuments::new(self.table.clone(), service)))
    }

    async fn with_own_connections(&self) -> Option<Arc<dyn Ledger>> {
        let shared = aws::sdk_config(&self.aws).await;
        // What is known of the server's time is true for both.
        let mut table = Table::new(&shared, &self.table.name, self.aws.sdk_only);
        table.time = self.table.time.clone();
        Some(Arc::new(Self { table, aws: self.aws.clone() }))
    }
}

fn envelope(id: &str) -> ItemKey {
    ItemKey { key: Key::derive(&[ENVELOPE.as_bytes(), id.as_bytes()]), item: ENVELOPE.into() }
}
