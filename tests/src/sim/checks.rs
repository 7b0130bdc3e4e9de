//! What must never happen, watched while it might.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wasq::groups::Membership;
use wasq::timers::parked::PARKED_ATTRIBUTE;
use wasq_core::message::{AttributeValue, Key, MessageId, MessageType, OWN_KEY_ATTRIBUTE, TYPE_ATTRIBUTE};
use wasq_ledgers::{Fence, Finish};
use wasq_queues::Outgoing;

use super::answers::Answers;
use super::groups::Groups;
use super::plan::{BARE, LIGHT, MEMBER, PAIR, Planned, READY, SOLO};
use super::quotas::QuotaWatch;
use super::world::{Backlog, Which};

/// The scope of the simulated hosts' keys.
pub const SCOPE: &str = "sim";

/// A simulated plugin.
#[derive(Debug)]
pub struct SimPlugin {
    pub name: &'static str,
    pub types: &'static [&'static str],
    /// Its `idempotency.mode`.
    pub mode: &'static str,
}

pub const PLUGINS: [SimPlugin; 4] = [
    SimPlugin { name: "first", types: &[SOLO, PAIR, MEMBER, READY], mode: "full" },
    SimPlugin { name: "second", types: &[PAIR], mode: "full" },
    SimPlugin { name: "light", types: &[LIGHT], mode: "completion" },
    SimPlugin { name: "bare", types: &[BARE], mode: "none" },
];
/// The attempts that the simulated plugins make.
pub const MAX_ATTEMPTS: u32 = 3;

/// What has happened so far, as far as the promise is about it.
#[derive(Default)]
pub struct Watch {
    /// The messages in the order in which they were sent; of a batch, each record.
    sent: Vec<Sent>,
    claims: BTreeMap<(Key, Fence), Claimed>,
    latest: BTreeMap<Key, Fence>,
    completions: BTreeMap<Key, u32>,
    /// Messages of which a host without a ledger says that their run is done.
    ran: BTreeSet<MessageId>,
    /// Messages that are to be dead-lettered by the ledger's word, under their keys.
    condemned: BTreeSet<(Key, MessageId)>,
    /// Dead letters that were sent, by message id, key and plugin.
    dead: BTreeSet<(String, String, String)>,
    pub answers: Answers,
    pub groups: Groups,
    pub quotas: QuotaWatch,
    /// When each host was last awake again after it had stood still.
    resumed_ms: BTreeMap<usize, u64>,
}

struct Sent {
    id: MessageId,
    key: String,
    n: u64,
    group: Option<String>,
    outbox: u64,
    /// Before which it must not run.
    due_ms: Option<u64>,
    /// Whether its group waits for it: not for what is wanted later, or waits for an answer.
    has_place: bool,
    /// The group whose members are discarded once one of them is dead-lettered, if it is one's.
    cancelled_with: Option<String>,
    /// The key that each of its plugins has for it.
    keys: Vec<(Key, &'static SimPlugin)>,
}

struct Claimed {
    message: MessageId,
    host: usize,
    at_ms: u64,
    runs: u32,
}

/// A violation, in words.
pub type Verdict = Result<(), String>;

impl Watch {
    pub fn sent(&mut self, id: MessageId, message: &Planned) {
        let plugins = || PLUGINS.iter().filter(|plugin| plugin.types.contains(&message.kind));
        let kind = MessageType(message.kind.into());
        let acts = || message.records.iter().filter_map(|record| record.body["acts"].as_array()).flatten();
        let has_place = message.due_ms.is_none() && !acts().any(|act| act == "wait");
        for record in &message.records {
            let key = &record.key;
            let keys = plugins().map(|plugin| (Key::of(SCOPE, plugin.name, &kind, key), plugin)).collect();
            let number = |name: &str| record.body[name].as_u64().expect("the plan writes it");
            let (n, outbox) = (number("n"), number("outbox"));
            let (id, key, group) = (id.clone(), key.clone(), message.group.clone());
            self.groups.planned(&key, &record.body["group"]);
            let (due_ms, cancelled_with) = (message.due_ms, None);
            self.sent.push(Sent { id, key, n, group, outbox, due_ms, has_place, cancelled_with, keys });
        }
    }

    /// The outbox of a message of these, or a group's end, has brought another one into its queue.
    pub fn sent_by_host(&mut self, id: MessageId, message: &Outgoing) -> Verdict {
        let text = |name: &str| message.attributes.get(name).and_then(AttributeValue::text).unwrap_or_default();
        let (kind, own_key) = (text(TYPE_ATTRIBUTE), text(OWN_KEY_ATTRIBUTE).to_owned());
        if ![MEMBER, READY].contains(&kind)
            || message.attributes.contains_key(PARKED_ATTRIBUTE)
            || self.sent.iter().any(|sent| sent.id == id)
        {
            return Ok(());
        }
        let key = Key::of(SCOPE, PLUGINS[0].name, &MessageType(kind.into()), &own_key);
        let keys = vec![(key, &PLUGINS[0])];
        let member = Membership::of(&message.attributes).filter(|member| member.may_be_cancelled);
        self.sent.push(Sent {
            id,
            key: own_key,
            n: 0,
            group: message.group.clone(),
            outbox: 0,
            due_ms: None,
            has_place: true,
            cancelled_with: member.map(|member| member.group),
            keys,
        });
        let followed = self.groups.joined(message, key);
        let Some(group) = followed.and_then(|name| self.groups.of_name(&name)) else { return Ok(()) };
        let open = group.members.iter().find(|member| !self.has_key_ended(**member));
        match open {
            Some(open) => Err(format!("what follows the group {} is sent before {open:?} has ended", group.name)),
            None => group.is_whole(),
        }
    }

    /// Whether one of the messages of a member's key has ended.
    fn has_key_ended(&self, key: Key) -> bool {
        let has_key = |sent: &&Sent| sent.keys.iter().any(|(own, _)| *own == key);
        self.sent.iter().filter(has_key).any(|sent| self.has_ended(sent, key, &PLUGINS[0]))
    }

    /// A handler was told how a group has ended.
    pub fn read(&self, said: &str) -> Verdict {
        let said: Value = serde_json::from_str(said).map_err(|error| error.to_string())?;
        let Some(group) = self.groups.of_name(said["group"].as_str().unwrap_or_default()) else {
            return Err(format!("a handler was told of a group that nobody has opened: {said}"));
        };
        let number = |name: &str| said[name].as_u64().unwrap_or_default() as usize;
        let done = group.members.iter().filter(|key| self.completions.contains_key(key)).count();
        let all = group.members.len();
        if number("done") + number("dead") != all || number("others") > 0 || number("done") > done {
            return Err(format!("of {all} members {done} are done, and a handler was told: {said}"));
        }
        Ok(())
    }

    pub fn resumed(&mut self, host: usize, now_ms: u64) {
        self.resumed_ms.insert(host, now_ms);
    }

    pub fn claimed(&mut self, key: Key, fence: Fence, message: &MessageId, host: usize, at_ms: u64) -> Verdict {
        if self.latest.get(&key).is_some_and(|latest| *latest >= fence) {
            return Err(format!("the fence {fence:?} of {key:?} does not grow"));
        }
        self.latest.insert(key, fence);
        self.claims.insert((key, fence), Claimed { message: message.clone(), host, at_ms, runs: 0 });
        Ok(())
    }

    /// The ledger has recorded, under a claim, that `message` is to be dead-lettered. Whether it is
    /// the claim's own.
    pub fn condemned(&mut self, key: Key, fence: Fence, message: &str) -> bool {
        let Some(claim) = self.claims.get(&(key, fence)).filter(|claim| claim.message.0 == message) else {
            return false;
        };
        self.condemned.insert((key, claim.message.clone()));
        true
    }

    /// A handler starts under a claim; `holder` is who has the key now, if its lease holds.
    pub fn run_starts(&mut self, key: Key, fence: Fence, host: usize, holder: Option<Fence>, now_ms: u64) -> Verdict {
        let Some(claim) = self.claims.get_mut(&(key, fence)) else {
            return Err(format!("a handler runs for {key:?} under {fence:?}, which no claim gave out"));
        };
        claim.runs += 1;
        if claim.runs > 1 {
            return Err(format!("the claim {fence:?} of {key:?} runs a second time"));
        }
        if claim.host != host {
            return Err(format!("host {host} runs under the claim {fence:?} of host {}", claim.host));
        }
        let stood_still = self.resumed_ms.get(&host).is_some_and(|resumed| claim.at_ms < *resumed);
        if holder.is_some_and(|holder| holder != fence) && !stood_still {
            return Err(format!("a handler runs for {key:?} under {fence:?} while another holds it under {holder:?}"));
        }
        let message = claim.message.clone();
        if self.condemned.contains(&(key, message.clone())) {
            return Err(format!("a handler runs for {message} after the verdict that it is dead-lettered"));
        }
        let due_ms = self.sent.iter().find(|sent| sent.id == message).and_then(|sent| sent.due_ms);
        if let Some(due_ms) = due_ms.filter(|due_ms| *due_ms > now_ms) {
            return Err(format!("{message} runs at {now_ms}, and is to be delivered at {due_ms}"));
        }
        self.in_order(&message)
    }

    /// On a FIFO queue: nothing runs before what was sent before it in its group is settled.
    fn in_order(&self, message: &MessageId) -> Verdict {
        let is_it = |sent: &Sent| sent.id == *message && !self.is_settled(sent);
        let Some(place) = self.sent.iter().position(is_it) else { return Ok(()) };
        if !self.sent[place].has_place {
            return Ok(());
        }
        let group = &self.sent[place].group;
        // The records of one message are settled side by side.
        let is_before =
            |sent: &&Sent| group.is_some() && sent.group == *group && sent.id != *message && !self.is_settled(sent);
        let before = self.sent[..place].iter().filter(|sent| sent.has_place).find(is_before);
        match before {
            Some(before) => Err(format!("{} runs before {} of its group is settled", self.sent[place].id, before.id)),
            None => Ok(()),
        }
    }

    fn is_settled_well(&self, sent: &Sent) -> bool {
        sent.keys.iter().all(|(key, _)| self.completions.contains_key(key))
    }

    fn is_settled(&self, sent: &Sent) -> bool {
        sent.keys.iter().all(|(key, plugin)| self.has_ended(sent, *key, plugin))
    }

    fn has_ended(&self, sent: &Sent, key: Key, plugin: &SimPlugin) -> bool {
        let is_done = match plugin.mode {
            "none" => self.ran.contains(&sent.id),
            _ => self.completions.contains_key(&key),
        };
        // Of twins that wait for an answer one comes back, for all of them.
        let waits = |twin: &&Sent| !sent.has_place && twin.key == sent.key;
        let is_dead = || self.sent.iter().filter(waits).any(|twin| self.is_dead(twin, plugin.name));
        let shares_its_end =
            |other: &&Sent| sent.cancelled_with.is_some() && other.cancelled_with == sent.cancelled_with;
        let is_cancelled = || self.sent.iter().filter(shares_its_end).any(|other| self.is_dead(other, plugin.name));
        is_done || self.is_dead(sent, plugin.name) || is_dead() || is_cancelled()
    }

    fn is_dead(&self, sent: &Sent, plugin: &str) -> bool {
        self.dead.contains(&(sent.id.0.clone(), sent.key.clone(), plugin.to_owned()))
    }

    /// The messages of a key: twins have one key.
    pub fn messages_of(&self, key: Key) -> impl Iterator<Item = &MessageId> {
        self.sent.iter().filter(move |sent| sent.keys.iter().any(|(own, _)| *own == key)).map(|sent| &sent.id)
    }

    /// A host says that a run is done on which no ledger has a word.
    pub fn ran(&mut self, message: MessageId) {
        self.ran.insert(message);
    }

    /// Whether there are messages that are not settled, and whose runs hosts alone know of.
    pub fn waits_for_runs(&self) -> bool {
        let is_it = |sent: &Sent| sent.keys.iter().any(|(_, plugin)| plugin.mode == "none");
        self.sent.iter().any(|sent| is_it(sent) && !self.is_settled(sent))
    }

    /// A guest or its host asks the ledger for something under a claim whose lease ended `ended_ms`
    /// ago.
    pub fn used_after_its_end(&self, key: Key, fence: Fence, host: usize, ended_ms: u64, allowed_ms: u64) -> Verdict {
        let claim = self.claims.get(&(key, fence));
        let stood_still =
            claim.is_some_and(|claim| self.resumed_ms.get(&host).is_some_and(|resumed| claim.at_ms < *resumed));
        if ended_ms > allowed_ms && !stood_still {
            return Err(format!("{key:?} still runs under {fence:?}, {ended_ms} ms after its lease ended"));
        }
        Ok(())
    }

    /// The ledger accepted the end of a claim.
    pub fn finished(&mut self, key: Key, fence: Fence, finish: &Finish) -> Verdict {
        if self.latest.get(&key) != Some(&fence) {
            return Err(format!("{finish:?} of {key:?} was accepted under the stale {fence:?}"));
        }
        match finish {
            Finish::Done { .. } => self.completes(key),
            Finish::Failed { .. } | Finish::Released { .. } | Finish::DeadLettered { .. } => Ok(()),
        }
    }

    /// The ledger has recorded a completion that had no claim.
    pub fn completed(&mut self, key: Key, fence: Fence) -> Verdict {
        self.latest.insert(key, fence);
        self.completes(key)
    }

    fn completes(&mut self, key: Key) -> Verdict {
        let count = self.completions.entry(key).or_default();
        *count += 1;
        match count {
            1 => Ok(()),
            _ => Err(format!("{key:?} has a second completion")),
        }
    }

    /// Whoever holds a receipt of the message asks to delete it.
    /// `waits` says of a key whether it waits for an answer, or has come back from that.
    pub fn deleting(&self, id: &MessageId, waits: impl Fn(Key) -> bool) -> Verdict {
        let is_cared_for = |sent: &Sent| {
            let open = sent.keys.iter().filter(|(key, plugin)| !self.has_ended(sent, *key, plugin));
            open.into_iter().all(|(key, _)| waits(*key))
        };
        match self.sent.iter().find(|sent| sent.id == *id && !is_cared_for(sent)) {
            None => Ok(()),
            Some(sent) => Err(format!("{} is deleted before the completion or dead letter of {}", sent.id, sent.key)),
        }
    }

    /// A dead letter arrives.
    pub fn dead_letter(&mut self, letter: &Value) -> Verdict {
        let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
        let (id, key, plugin, class) = (text("message_id"), text("key"), text("plugin"), text("class"));
        let attempts = letter["attempts"].as_u64().unwrap_or_default() as u32;
        let is_counted = PLUGINS.iter().any(|known| known.name == plugin && known.mode == "full");
        // What has only its outbox left to send may go on after the last attempt's host has died.
        // Receives, which count where attempts are not recorded, go on too.
        let exhausted = match class.as_str() {
            "retry" | "trap" | "timeout" if is_counted => attempts == MAX_ATTEMPTS,
            "retry" | "trap" | "timeout" => attempts >= MAX_ATTEMPTS,
            "outbox" => attempts >= MAX_ATTEMPTS,
            _ => true,
        };
        if !exhausted {
            return Err(format!("{id} is dead-lettered as {class} after {attempts} attempts of {MAX_ATTEMPTS}"));
        }
        self.dead.insert((id, key, plugin));
        Ok(())
    }

    /// When all is settled: nothing is lost, and every success has its outbox.
    pub fn at_the_end(&self, backlogs: &[Backlog; 3]) -> Verdict {
        self.quotas.at_the_end()?;
        for sent in &self.sent {
            if !self.is_settled(sent) {
                return Err(format!(
                    "{} of {} is lost: it has neither a completion nor a dead letter",
                    sent.key, sent.id
                ));
            }
        }
        for group in self.groups.opened() {
            let is_opened = self.sent.iter().any(|sent| sent.key == group.name && self.is_settled_well(sent));
            let is_done = |key: &&Key| self.completions.contains_key(key);
            let all_done = group.members.iter().all(|key| is_done(&key));
            if is_opened {
                group.has_ended(all_done, |key| self.has_key_ended(key))?;
            }
        }
        let mut notes: BTreeMap<(u64, String, u64), (&str, &[u8])> = BTreeMap::new();
        for note in &backlogs[Which::Out as usize].messages {
            let body: Value = serde_json::from_slice(&note.content.body).map_err(|error| error.to_string())?;
            let number = |name: &str| body[name].as_u64().unwrap_or_default();
            let place = (number("n"), body["plugin"].as_str().unwrap_or_default().to_owned(), number("place"));
            let twin = notes.insert(place, (note.own_key(), &note.content.body));
            if twin.is_some_and(|twin| twin != (note.own_key(), &note.content.body[..])) {
                return Err(format!("message {} left an outbox that differs from its twin: {body}", body["n"]));
            }
        }
        for sent in &self.sent {
            for (key, plugin) in &sent.keys {
                for place in 0..sent.outbox {
                    let is_there = notes.contains_key(&(sent.n, plugin.name.to_owned(), place));
                    if self.completions.contains_key(key) && !is_there {
                        return Err(format!("{} is done, and message {place} of its outbox was not sent", sent.id));
                    }
                }
            }
        }
        Ok(())
    }
}
