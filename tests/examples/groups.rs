//! What a member of a group costs in each store: joining, and ending, beside a claim and its
//! finish.
//!
//! `cargo run --example groups -- [GROUPS]` makes the table of docs/internals/groups.md. `dynalite`
//! is a server in Node on this machine: of DynamoDB only the host's own time counts.

mod stores;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use wasq::config::Limits;
use wasq::groups::{EndState, FollowUp, GroupStore, Joining, Membership, NewMember, OnFailure, State};
use wasq::timers::TimerStore;
use wasq_core::clock::{self, SystemClock};
use wasq_core::message::{BodyDigest, Key, MessageId};
use wasq_ledgers::{Claim, ClaimRequest, Finish, Ledger};
use wasq_queues::Outgoing;

use stores::Stores;

/// Groups, unless the command says how many, and the members of each.
const GROUPS: usize = 500;
const MEMBERS: usize = 10;
/// What is under way at once, as the deliveries of a host are.
const AT_ONCE: usize = 64;
const LONG: Duration = Duration::from_secs(3_600);

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let groups = std::env::args().nth(1).map_or(Ok(GROUPS), |text| text.parse())?;
    round("local", Stores::local()?.ledger().await?, groups).await?;
    round("redis", Stores::redis()?.ledger().await?, groups).await?;
    round("postgres", Stores::postgres()?.ledger().await?, groups).await?;
    round("dynalite", Stores::dynalite()?.ledger().await?, groups / 10).await
}

/// How long the work took for each of so many, by the wall and by the host's processor.
async fn timed<T>(count: usize, work: impl Future<Output = Result<T>>) -> Result<(T, f64, f64)> {
    let (began, cpu) = (clock::now(), clock::process_cpu());
    let answer = work.await?;
    let each_us = |took: Duration| took.as_secs_f64() * 1e6 / count as f64;
    Ok((answer, each_us(began.elapsed()), each_us(clock::process_cpu() - cpu)))
}

async fn round(name: &str, ledger: Arc<dyn Ledger>, groups: usize) -> Result<()> {
    let timers = Arc::new(TimerStore::of(&*ledger, "shop").context("it keeps timers")?);
    let store = GroupStore::of(&ledger, "shop", &timers, Arc::new(SystemClock), &Limits::default());
    let store = store.context("it keeps documents")?;
    let members = groups * MEMBERS;
    let (_, claim_us, claim_cpu_us) = timed(members, claims(&*ledger, members)).await?;
    let (joined, join_us, join_cpu_us) = timed(members, join_all(&store, groups)).await?;
    let (_, end_us, end_cpu_us) = timed(members, end_all(&store, joined)).await?;
    let record = store.record(&id(0)).await?.context("there is the group")?;
    ensure!(record.state == State::Ended && record.is_sent, "{record:?}");
    println!(
        "{name:9} {groups:5} groups   claim and finish {claim_us:6.0} us, host {claim_cpu_us:5.0}   join {join_us:6.0}, \
         host {join_cpu_us:5.0}   end {end_us:6.0}, host {end_cpu_us:5.0}"
    );
    Ok(())
}

fn id(group: usize) -> String {
    format!("publish-video/video-{group}")
}

/// What every message pays: a claim, and its end.
async fn claims(ledger: &dyn Ledger, count: usize) -> Result<()> {
    let work = |n: usize| async move {
        let key = Key::derive(&[b"claims", &n.to_le_bytes()]);
        let request = ClaimRequest {
            body: BodyDigest::of(b"body"),
            message_id: MessageId(n.to_string()),
            lease: LONG,
            is_redelivery: false,
        };
        let Claim::Fresh(fresh) = ledger.claim(key, &request).await? else { anyhow::bail!("the key is not new") };
        let done = Finish::Done { result: Some(vec![b'r'; 60]), discarded: false, ttl: LONG };
        Ok(ledger.finish(key, fresh.fence, done).await?)
    };
    futures::stream::iter((0..count).map(work)).buffer_unordered(AT_ONCE).try_collect().await
}

async fn join_all(store: &GroupStore, groups: usize) -> Result<Vec<Membership>> {
    let work = |group: usize| async move {
        let member =
            |n| NewMember { key: format!("{group}/{n}"), queue: "videos".into(), kind: "picture_wanted".into() };
        let body = "{}".into();
        let attributes = Default::default();
        let then = FollowUp {
            key: format!("then {group}"),
            queue: "videos".into(),
            kind: "video_ready".into(),
            on_failure: OnFailure::Send,
            message: Outgoing { body, attributes, delay_s: 0, group: None, deduplication_id: None },
        };
        let joining = Joining { group: id(group), members: (0..MEMBERS).map(member).collect(), then: Some(then) };
        Ok::<_, anyhow::Error>(store.join(Key::derive(&[&group.to_le_bytes()]), &joining).await?)
    };
    let all: Vec<_> = futures::stream::iter((0..groups).map(work)).buffered(AT_ONCE).try_collect().await?;
    Ok(all.concat())
}

/// Each with a result, in the order in which they were sent: members of one group end together.
async fn end_all(store: &GroupStore, members: Vec<Membership>) -> Result<()> {
    let work = |member: Membership| async move {
        Ok(store.end(&member, EndState::Done, Some(vec![b'r'; 60]), String::new()).await?)
    };
    futures::stream::iter(members.into_iter().map(work)).buffer_unordered(AT_ONCE).try_collect().await
}
