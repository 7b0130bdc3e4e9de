//! What the flow does for a member of a group: it is not run where its group was cancelled, and its
//! end is recorded before its delivery is deleted.

use std::sync::Arc;

use wasq_ledgers::{Ended, Finish, LedgerError};

use super::claim::ledger_key;
use super::insist::insist;
use super::plugin_attempt::{AttemptEnd, PluginAttempt};
use crate::exit::Exit;
use crate::groups::{EndState, Membership, REASON_MAX_BYTES, State};
use crate::plugins::Serving;
use crate::sandbox::text::sanitize;

impl PluginAttempt<'_> {
    /// Why a member is not run: its group was cancelled.
    pub(super) async fn cancelled(&self, member: &Membership) -> Result<Option<Exit>, LedgerError> {
        let Some(store) = self.services.groups.as_ref().filter(|_| member.may_be_cancelled) else { return Ok(None) };
        let record = insist(self, || store.record(&member.group)).await?;
        let is_cancelled = record.is_some_and(|record| record.state == State::Cancelled);
        Ok(is_cancelled.then(|| Exit::Cancelled { group: member.group.clone() }))
    }

    /// Records that a member has ended whose body is a batch of records, each with plugins of its
    /// own.
    pub(super) async fn end_batch(&self, member: &Membership, has_letter: bool) -> Result<(), LedgerError> {
        let Some(store) = &self.services.groups else { return Ok(()) };
        let (state, reason) = match has_letter {
            true => (EndState::DeadLettered, "some of its records are dead letters, which say why"),
            false => (EndState::Done, ""),
        };
        insist(self, || store.end(member, state, None, reason.to_owned())).await
    }

    /// Records how a member has ended, once its delivery is to be deleted. `all` are the plugins
    /// that it went to, none where it went to no plugin.
    pub(super) async fn end_member(
        &self,
        member: &Membership,
        all: &[Arc<Serving>],
        ended: &[AttemptEnd],
    ) -> Result<(), LedgerError> {
        let Some(store) = &self.services.groups else { return Ok(()) };
        let mut whole = MemberEnd { state: EndState::Discarded, result: None, reason: String::new() };
        for (n, end) in ended.iter().enumerate() {
            whole = whole.and(self.member_end(all.get(n), end).await?);
        }
        let end = || store.end(member, whole.state, whole.result.clone(), whole.reason.clone());
        insist(self, end).await
    }

    async fn member_end(&self, serving: Option<&Arc<Serving>>, end: &AttemptEnd) -> Result<MemberEnd, LedgerError> {
        let reason = || sanitize(&end.exit.reason(), REASON_MAX_BYTES);
        match (&end.settlement.ledger, &end.exit) {
            (Some(Finish::DeadLettered { .. }), _) => Ok(MemberEnd::new(EndState::DeadLettered, reason())),
            (Some(Finish::Done { discarded: true, .. }), _) => Ok(MemberEnd::new(EndState::Discarded, reason())),
            (Some(Finish::Done { result, .. }), _) => {
                Ok(MemberEnd { result: result.clone(), ..MemberEnd::new(EndState::Done, String::new()) })
            }
            (_, Exit::Duplicate { .. }) => self.earlier_end(serving).await,
            (_, _) => Ok(MemberEnd::new(EndState::Discarded, reason())),
        }
    }

    /// How an earlier delivery of the member has ended, or another message with its key.
    async fn earlier_end(&self, serving: Option<&Arc<Serving>>) -> Result<MemberEnd, LedgerError> {
        let ended = match (serving, self.message) {
            (Some(serving), Some(message)) => {
                let plugin = &serving.stable;
                let key = ledger_key(self, message, plugin, &plugin.key_text(message));
                insist(self, || self.services.ledger.ended(key)).await?
            }
            _ => None,
        };
        Ok(match ended {
            Some(Ended::Done { discarded: true, .. }) => {
                MemberEnd::new(EndState::Discarded, "an earlier delivery has discarded it".into())
            }
            // Where another message of the key runs again, this one was dead-lettered before.
            Some(Ended::DeadLettered) | None => {
                let reason = "an earlier delivery was dead-lettered; its dead letter says why";
                MemberEnd::new(EndState::DeadLettered, reason.into())
            }
            Some(Ended::Done { result, .. }) => MemberEnd { result, ..MemberEnd::new(EndState::Done, String::new()) },
        })
    }
}

/// How a member has ended, over all of its plugins.
struct MemberEnd {
    state: EndState,
    result: Option<Vec<u8>>,
    reason: String,
}

impl MemberEnd {
    fn new(state: EndState, reason: String) -> Self {
        Self { state, result: None, reason }
    }

    /// A dead letter is the worst; what one plugin has done counts before what another has
    /// discarded.
    fn and(self, other: Self) -> Self {
        let rank = |end: &Self| match end.state {
            EndState::DeadLettered => 2,
            EndState::Done => 1,
            EndState::Discarded => 0,
        };
        let (mut worse, other) = if rank(&other) >= rank(&self) { (other, self) } else { (self, other) };
        if worse.state == EndState::Done && worse.result.is_none() {
            worse.result = other.result;
        }
        worse
    }
}
