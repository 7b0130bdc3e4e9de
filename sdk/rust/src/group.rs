//! Messages that belong together, and one that is sent when all of them have ended.

use std::collections::VecDeque;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::outbox::Outgoing;
use crate::{Context, Failure};

/// A group of messages; [`Context::group`] begins one.
///
/// A group is part of the outbox: its members, and what follows them, are sent only when the
/// handler succeeds.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    cx: &'a Context,
    /// None is the one that the handled message is a member of.
    name: Option<String>,
    on_failure: OnFailure,
}

/// What a group makes of a member that was dead-lettered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It has ended, as the others.
    #[default]
    Send,
    /// The group waits until its dead letter is replayed and succeeds.
    Wait,
    /// The group ends at once, and nothing follows. Members that have not run yet are discarded.
    Cancel,
}

/// What a message of the outbox is to a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupPart {
    /// A member of the group; no name is the group that the handled message is a member of.
    Member(Option<String>),
    /// What is sent when all of the group's members have ended.
    Then(Option<String>, OnFailure),
}

impl<'a> Group<'a> {
    pub(crate) fn new(cx: &'a Context, name: Option<String>) -> Self {
        Self { cx, name, on_failure: OnFailure::default() }
    }

    /// What the group makes of a member that was dead-lettered; without it, it has ended as the
    /// others. It counts with [`Group::then`].
    #[must_use]
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// A member: as [`Context::send`].
    ///
    /// # Errors
    ///
    /// As [`Outgoing::send`].
    pub fn send(&self, queue: &str, kind: &str, body: &impl Serialize) -> Result<(), Failure> {
        self.outbox(queue, kind).send(body)
    }

    /// A member: as [`Context::outbox`].
    pub fn outbox(&self, queue: &str, kind: &str) -> Outgoing<'a> {
        Outgoing::new(self.cx, queue, kind).part(GroupPart::Member(self.name.clone()))
    }

    /// What is sent, once, when every member has ended. A group has one such message; its handler
    /// reads the members' results from [`Context::ended_group`].
    ///
    /// # Errors
    ///
    /// As [`Outgoing::send`], and a [`Failure::Reject`] when the group has one already.
    pub fn then(&self, queue: &str, kind: &str, body: &impl Serialize) -> Result<(), Failure> {
        self.then_outbox(queue, kind).send(body)
    }

    /// As [`Group::then`], for a message with a group of its own, or with attributes.
    pub fn then_outbox(&self, queue: &str, kind: &str) -> Outgoing<'a> {
        Outgoing::new(self.cx, queue, kind).part(GroupPart::Then(self.name.clone(), self.on_failure))
    }
}

/// A group that has ended.
#[derive(Debug)]
pub struct EndedGroup<'a> {
    cx: &'a Context,
    summary: Summary,
}

/// How many members a group had, by how they ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// The group's name.
    pub name: String,
    /// Members that were done.
    pub done: u32,
    /// Members that were discarded.
    pub discarded: u32,
    /// Members that were dead-lettered.
    pub dead_lettered: u32,
}

/// A member of a group that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The queue that it was sent to.
    pub queue: String,
    /// Its type.
    pub kind: String,
    /// How it has ended.
    pub end: End,
}

/// How a member of a group has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Its handler's result: [`Outcome::result`](crate::Outcome::result).
    Done(Option<Vec<u8>>),
    /// Why it was not worth doing.
    Discarded(String),
    /// Why it could not be done.
    DeadLettered(String),
    /// It has not ended, as far as the ledger knows.
    Open,
}

impl<'a> EndedGroup<'a> {
    pub(crate) fn new(cx: &'a Context, summary: Summary) -> Self {
        Self { cx, summary }
    }

    /// The group's name.
    pub fn name(&self) -> &str {
        &self.summary.name
    }

    /// How many members there were, by how they ended.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Whether every member was done or discarded.
    pub fn succeeded(&self) -> bool {
        self.summary.dead_lettered == 0
    }

    /// The members, in the order in which each handler sent its own. They are read some at a time.
    pub fn members(&self) -> Members<'a> {
        Members { cx: self.cx, first: 0, read: VecDeque::new(), is_over: false }
    }

    /// The results of the members of this type that were done, as JSON.
    ///
    /// # Errors
    ///
    /// As [`Members`]; and a [`Failure::Reject`] when a result does not fit, or there is none.
    pub fn results<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>, Failure> {
        let of_kind = self.members().filter(|member| member.as_ref().map_or(true, |member| member.kind == kind));
        let result = |member: Result<Member, Failure>| member.and_then(|member| member.json::<T>()).transpose();
        of_kind.filter_map(result).collect()
    }
}

impl Member {
    /// Its handler's result as JSON; none where it was not done.
    ///
    /// # Errors
    ///
    /// A [`Failure::Reject`] when the result does not fit, or there is none.
    pub fn json<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        let End::Done(result) = &self.end else { return Ok(None) };
        let place = format!("the result of a `{}`", self.kind);
        let Some(result) = result else { return Err(Failure::reject("there is none").within(&place)) };
        let value = serde_json::from_slice(result);
        value.map(Some).map_err(|error| Failure::reject(format!("it does not fit: {error}")).within(&place))
    }
}

/// The members of a group that has ended. One that cannot be read ends them: a
/// [`Failure::Unavailable`] when the ledger does not answer, a [`Failure::Reject`] when it does not
/// have the group any more.
#[derive(Debug)]
pub struct Members<'a> {
    cx: &'a Context,
    first: u32,
    read: VecDeque<Member>,
    is_over: bool,
}

impl Iterator for Members<'_> {
    type Item = Result<Member, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.read.is_empty() && !self.is_over {
            match self.cx.backend().members(self.first) {
                Ok(members) => {
                    self.first = self.first.saturating_add(u32::try_from(members.len()).unwrap_or(u32::MAX));
                    self.is_over = members.is_empty();
                    self.read = members.into();
                }
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(Failure::from(error).within("the group's members")));
                }
            }
        }
        self.read.pop_front().map(Ok)
    }
}
