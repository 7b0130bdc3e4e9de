//! A queue's messages: which are visible, delayed or in flight, and whose turn it is. Pure: no I/O,
//! and time comes as an argument.
//!
//! `P` is what the store knows of a message's content; the tests need nothing there.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use uuid::Uuid;

use super::{clock::Ms, record::MessageState};

/// Messages of a standard or FIFO queue that may be in flight at once (SQS quotas, "Messages in
/// flight").
pub const MAX_IN_FLIGHT: usize = 120_000;
/// How long a message that is on its way to a dead-letter queue stays hidden if it does not arrive
/// there.
const MOVE_MS: Ms = 30_000;
/// Expired messages that one call sweeps at most.
const SWEEP: usize = 100;

/// What the queue keeps of a message in memory.
#[derive(Clone, Debug)]
pub struct Entry<P> {
    pub id: Uuid,
    pub sent_ms: u64,
    pub group: Option<Arc<str>>,
    pub state: MessageState,
    pub place: P,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Visible,
    Delayed,
    InFlight,
}

/// A message for a receiver.
#[derive(Clone, Debug)]
pub struct Delivery<P> {
    pub seq: u64,
    pub entry: Entry<P>,
}

/// What a receiver asks for.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    pub max: usize,
    pub visibility_ms: u64,
    pub now: Ms,
    /// The wall clock, for the timestamp of a first receipt.
    pub wall_ms: u64,
    /// A message that was sent before, by the wall clock, has expired.
    pub expired_before_ms: u64,
    /// A message that was received this often is dead.
    pub max_receives: Option<u32>,
}

/// What a receiver gets.
#[derive(Debug)]
pub struct Taken<P> {
    pub deliveries: Vec<Delivery<P>>,
    /// Messages for the dead-letter queue. They stay here, hidden, until `remove` says that they
    /// arrived there.
    pub dead: Vec<Delivery<P>>,
    /// Messages that are gone because they expired.
    pub expired: Vec<u64>,
    /// Nothing was delivered because too many are in flight.
    pub over_limit: bool,
}

/// Why a message's visibility cannot be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotHidden {
    /// It is not there; in a FIFO queue also when the delivery is over.
    Gone,
    /// It would be hidden for longer than 12 hours from its receipt.
    TooLong,
}

/// How many messages are in which phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BacklogCounts {
    pub visible: usize,
    pub delayed: usize,
    pub in_flight: usize,
}

/// All messages of a queue.
#[derive(Debug)]
pub struct Backlog<P> {
    fifo: bool,
    messages: BTreeMap<u64, Entry<P>>,
    /// Messages that may be taken, by their turn: in a standard queue the order in which they were
    /// sent. In a FIFO queue these are the first of each group, and a group's turn comes after
    /// those of all groups that could be received from before it.
    ready: BTreeMap<u64, u64>,
    /// The next turn of a group.
    next_turn: u64,
    /// Delayed messages and those in flight, by when they become visible.
    hidden: BTreeSet<(Ms, u64)>,
    in_flight: usize,
    groups: HashMap<Arc<str>, Group>,
}

#[derive(Debug, Default)]
struct Group {
    seqs: BTreeSet<u64>,
    /// Its turn, if its first message is visible.
    turn: Option<u64>,
}

impl<P: Clone> Backlog<P> {
    /// An empty queue.
    pub fn new(fifo: bool) -> Self {
        Self {
            fifo,
            messages: BTreeMap::new(),
            ready: BTreeMap::new(),
            next_turn: 0,
            hidden: BTreeSet::new(),
            in_flight: 0,
            groups: HashMap::new(),
        }
    }

    /// Adds a message: visible, delayed or in flight, as its state says.
    pub fn insert(&mut self, seq: u64, id: Uuid, sent_ms: u64, group: Option<&str>, state: MessageState, place: P) {
        let group = group.map(|name| match self.groups.get_key_value(name) {
            Some((shared, _)) => shared.clone(),
            None => Arc::from(name),
        });
        if let (true, Some(name)) = (self.fifo, &group) {
            self.groups.entry(name.clone()).or_default().seqs.insert(seq);
        }
        self.messages.insert(seq, Entry { id, sent_ms, group, state, place, phase: Phase::Visible });
        if state.visible_at > 0 {
            let phase = if state.received_at > 0 { Phase::InFlight } else { Phase::Delayed };
            self.enter(seq, phase, state.visible_at);
        }
        self.refresh(seq);
    }

    /// Removes a message, and tells whether it was there.
    pub fn remove(&mut self, seq: u64) -> bool {
        self.enter(seq, Phase::Visible, 0);
        let Some(entry) = self.messages.remove(&seq) else { return false };
        let Some(name) = entry.group.filter(|_| self.fifo) else {
            self.ready.remove(&seq);
            return true;
        };
        let Some(of_group) = self.groups.get_mut(&name) else { return true };
        let was_first = of_group.seqs.first() == Some(&seq);
        of_group.seqs.remove(&seq);
        if was_first && let Some(turn) = of_group.turn.take() {
            self.ready.remove(&turn);
        }
        match of_group.seqs.first() {
            Some(&head) => self.refresh(head),
            None => drop(self.groups.remove(&name)),
        }
        true
    }

    /// Removes all messages.
    pub fn clear(&mut self) {
        *self = Self::new(self.fifo);
    }

    /// Makes visible what was hidden until now or earlier.
    pub fn advance(&mut self, now: Ms) {
        while let Some(&(at, seq)) = self.hidden.first()
            && at <= now
        {
            self.enter(seq, Phase::Visible, 0);
            self.refresh(seq);
        }
    }

    /// When the next hidden message becomes visible.
    pub fn next_visible_at(&self) -> Option<Ms> {
        self.hidden.first().map(|&(at, _)| at)
    }

    /// Whether a receiver would find something.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes the messages whose turn it is. In a FIFO queue these are in their groups' order.
    pub fn take(&mut self, ask: Ask) -> Taken<P> {
        self.advance(ask.now);
        let mut taken = Taken {
            deliveries: Vec::new(),
            dead: Vec::new(),
            expired: self.sweep(ask.expired_before_ms),
            over_limit: false,
        };
        while taken.deliveries.len() + taken.dead.len() < ask.max {
            let Some((_, &first)) = self.ready.first_key_value() else { break };
            if self.in_flight >= MAX_IN_FLIGHT {
                taken.over_limit = taken.deliveries.is_empty();
                break;
            }
            self.take_run(first, ask, &mut taken);
        }
        taken
    }

    /// Takes a message and, in a FIFO queue, those that follow it in its group.
    fn take_run(&mut self, first: u64, ask: Ask, taken: &mut Taken<P>) {
        let mut next = Some(first);
        while let Some(seq) = next
            && taken.deliveries.len() + taken.dead.len() < ask.max
        {
            next = self.follower(seq);
            let entry = self.messages.get_mut(&seq).expect("a ready message exists");
            if entry.sent_ms < ask.expired_before_ms {
                self.remove(seq);
                taken.expired.push(seq);
                continue;
            }
            if ask.max_receives.is_some_and(|max| entry.state.count >= max) {
                let delivery = Delivery { seq, entry: entry.clone() };
                self.hide(seq, Phase::InFlight, ask.now + MOVE_MS);
                taken.dead.push(delivery);
                return;
            }
            entry.state.count += 1;
            entry.state.received_at = ask.now;
            if entry.state.first_received_ms == 0 {
                entry.state.first_received_ms = ask.wall_ms;
            }
            self.hide(seq, Phase::InFlight, ask.now + ask.visibility_ms);
            let entry = self.messages[&seq].clone();
            taken.deliveries.push(Delivery { seq, entry });
        }
    }

    /// The next message of the same group, if it is visible.
    fn follower(&self, seq: u64) -> Option<u64> {
        let group = self.messages[&seq].group.as_ref().filter(|_| self.fifo)?;
        let next = *self.groups.get(group)?.seqs.range(seq + 1..).next()?;
        (self.messages[&next].phase == Phase::Visible).then_some(next)
    }

    /// Removes some messages from the front that were sent before a time by the wall clock, and
    /// gives them.
    pub fn sweep(&mut self, expired_before_ms: u64) -> Vec<u64> {
        let expired = self.messages.iter().take_while(|(_, entry)| entry.sent_ms < expired_before_ms);
        let expired: Vec<u64> = expired.take(SWEEP).map(|(&seq, _)| seq).collect();
        for &seq in &expired {
            self.remove(seq);
        }
        expired
    }

    /// Hides a message that was received until another time, or shows it at once. Gives its new
    /// state. In a standard queue any of its deliveries will do, even one whose time is over, as in
    /// SQS; in a FIFO queue only the last, while it lasts.
    ///
    /// # Errors
    /// See [`NotHidden`].
    pub fn change_visibility(
        &mut self,
        seq: u64,
        count: u32,
        visibility_ms: u64,
        max_ms: u64,
        now: Ms,
    ) -> Result<MessageState, NotHidden> {
        if self.fifo && !self.is_in_flight(seq, count, now) {
            return Err(NotHidden::Gone);
        }
        self.advance(now);
        let entry = self.messages.get(&seq).ok_or(NotHidden::Gone)?;
        if now + visibility_ms > entry.state.received_at + max_ms {
            return Err(NotHidden::TooLong);
        }
        if visibility_ms == 0 {
            self.show(seq);
        } else {
            self.hide(seq, Phase::InFlight, now + visibility_ms);
        }
        Ok(self.messages[&seq].state)
    }

    /// Makes a message visible at once, in flight or not.
    pub fn show(&mut self, seq: u64) {
        self.hide(seq, Phase::Visible, 0);
    }

    /// Whether the delivery with this count is the message's last, and still in flight.
    pub fn is_in_flight(&mut self, seq: u64, count: u32, now: Ms) -> bool {
        self.advance(now);
        self.messages.get(&seq).is_some_and(|entry| entry.phase == Phase::InFlight && entry.state.count == count)
    }

    /// A message.
    pub fn get(&self, seq: u64) -> Option<&Entry<P>> {
        self.messages.get(&seq)
    }

    /// A message's place, to change it.
    pub fn place_mut(&mut self, seq: u64) -> Option<&mut P> {
        self.messages.get_mut(&seq).map(|entry| &mut entry.place)
    }

    /// The messages from a sequence number on, in their order.
    pub fn iter_from(&self, seq: u64) -> impl Iterator<Item = (u64, &Entry<P>)> {
        self.messages.range(seq..).map(|(&seq, entry)| (seq, entry))
    }

    /// Counts the messages.
    pub fn counts(&mut self, now: Ms) -> BacklogCounts {
        self.advance(now);
        let delayed = self.hidden.len() - self.in_flight;
        BacklogCounts { visible: self.messages.len() - self.hidden.len(), delayed, in_flight: self.in_flight }
    }

    fn hide(&mut self, seq: u64, phase: Phase, until: Ms) {
        self.enter(seq, phase, until);
        self.refresh(seq);
    }

    /// Moves a message to a phase; `refresh` must follow.
    fn enter(&mut self, seq: u64, phase: Phase, until: Ms) {
        let Some(entry) = self.messages.get_mut(&seq) else { return };
        let (was, was_until) = (entry.phase, entry.state.visible_at);
        (entry.phase, entry.state.visible_at) = (phase, until);
        if was != Phase::Visible {
            self.hidden.remove(&(was_until, seq));
        }
        if phase != Phase::Visible {
            self.hidden.insert((until, seq));
        }
        let (left, entered) = (usize::from(was == Phase::InFlight), usize::from(phase == Phase::InFlight));
        self.in_flight = self.in_flight + entered - left;
    }

    /// Brings `ready` up to date with a message's phase and, in a FIFO queue, with its group. A
    /// group whose first message becomes visible takes the last turn.
    fn refresh(&mut self, seq: u64) {
        let Some(entry) = self.messages.get(&seq) else { return };
        let Some(of_group) = entry.group.as_ref().and_then(|name| self.groups.get_mut(name)) else {
            match entry.phase {
                Phase::Visible => self.ready.insert(seq, seq),
                Phase::Delayed | Phase::InFlight => self.ready.remove(&seq),
            };
            return;
        };
        let head = of_group.seqs.first().copied();
        let head = head.filter(|head| self.messages[head].phase == Phase::Visible);
        match (head, of_group.turn) {
            (Some(head), None) => {
                of_group.turn = Some(self.next_turn);
                self.ready.insert(self.next_turn, head);
                self.next_turn += 1;
            }
            (None, Some(turn)) => {
                of_group.turn = None;
                self.ready.remove(&turn);
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests;
