//! What a handler may call of the contract about groups.

use wasmtime::component::Resource;

use super::bindings::wasq::worker::{groups, outbox};
use super::send_options::SendOptions;
use super::state::State;
use crate::groups::{EndState, EndedGroup, GroupPart, Member, Membership, NAME_MAX_BYTES, OnFailure, Role, group_id};

impl groups::Host for State {
    fn add(
        &mut self,
        group: Option<String>,
        queue: outbox::Queue,
        kind: String,
        body: Vec<u8>,
        options: Option<Resource<SendOptions>>,
    ) -> wasmtime::Result<Result<(), outbox::SendError>> {
        self.send_to(queue, kind, body, options, Some((group, Role::Member)))
    }

    fn follow_with(
        &mut self,
        group: Option<String>,
        on_failure: groups::OnFailure,
        queue: outbox::Queue,
        kind: String,
        body: Vec<u8>,
        options: Option<Resource<SendOptions>>,
    ) -> wasmtime::Result<Result<(), outbox::SendError>> {
        let on_failure = match on_failure {
            groups::OnFailure::Send => OnFailure::Send,
            groups::OnFailure::Wait => OnFailure::Wait,
            groups::OnFailure::Cancel => OnFailure::Cancel,
        };
        self.send_to(queue, kind, body, options, Some((group, Role::Then(on_failure))))
    }

    fn ended(&mut self) -> Option<groups::EndedGroup> {
        let EndedGroup { group, counts } = EndedGroup::of(&self.message.attributes)?;
        Some(groups::EndedGroup {
            name: group.split_once('/').map_or(group.as_str(), |(_, name)| name).to_owned(),
            done: counts.done,
            discarded: counts.discarded,
            dead_lettered: counts.dead_lettered,
        })
    }

    async fn members(&mut self, first: u32) -> Result<Vec<groups::Member>, groups::MembersError> {
        self.calls.step += 1;
        let gone = |reason: &str| groups::MembersError::Gone(reason.into());
        let unavailable = |error: wasq_ledgers::LedgerError| groups::MembersError::Unavailable(error.to_string());
        let ended =
            EndedGroup::of(&self.message.attributes).ok_or_else(|| gone("the message follows no group's end"))?;
        let store = self.groups.clone().ok_or_else(|| gone("the ledger keeps no groups"))?;
        let record = store.record(&ended.group).await.map_err(unavailable)?;
        let record = record.ok_or_else(|| gone("the ledger does not have the group any more"))?;
        let page = store.members(&ended.group, &record, first as usize).await.map_err(unavailable)?;
        let mut members = Vec::with_capacity(page.members.len());
        for member in page.members {
            let result = store.result(&member).await.map_err(unavailable)?;
            members.push(shown(member, result));
        }
        Ok(members)
    }
}

impl State {
    /// What a message is to a group.
    pub(super) fn group_part(
        &self,
        group: Option<String>,
        role: Role,
        options: Option<&SendOptions>,
    ) -> Result<GroupPart, outbox::SendError> {
        let group = self.group(group)?;
        if role != Role::Member {
            let is_then = |part: &GroupPart| part.group == group && part.role != Role::Member;
            if self.outbox.messages().iter().any(|message| message.part.as_deref().is_some_and(is_then)) {
                let reason = format!("the group `{group}` has its `then` already: it can have one");
                return Err(outbox::SendError::Limit(reason));
            }
            if options.is_some_and(|options| options.delay_s > 0) {
                return Err(outbox::SendError::Limit("a message that follows a group has no delay".into()));
            }
        }
        Ok(GroupPart { group, role })
    }

    /// The id of the group that a handler names, or of the one that its message is a member of.
    fn group(&self, name: Option<String>) -> Result<String, outbox::SendError> {
        match name {
            Some(name) if name.is_empty() || name.len() > NAME_MAX_BYTES => {
                let len = name.len();
                Err(outbox::SendError::Limit(format!(
                    "a group's name has 1 to {NAME_MAX_BYTES} bytes, and this one {len}"
                )))
            }
            Some(name) => Ok(group_id(&self.policy.plugin, &name)),
            None => Membership::of(&self.message.attributes).map(|member| member.group).ok_or_else(|| {
                outbox::SendError::Limit("the message is a member of no group; name one of this plugin's own".into())
            }),
        }
    }
}

fn shown(member: Member, result: Option<Vec<u8>>) -> groups::Member {
    let end = member.end.map(|end| match end.state {
        EndState::Done => groups::MemberEnd::Done(result),
        EndState::Discarded => groups::MemberEnd::Discarded(end.reason),
        EndState::DeadLettered => groups::MemberEnd::DeadLettered(end.reason),
    });
    groups::Member { queue: member.queue, kind: member.kind, end }
}
