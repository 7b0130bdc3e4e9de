//! The deliveries of one receive, on their way together.
//!
//! One task takes all of them along: each goes on as far as it can, and what they then ask of the
//! ledger is one call, whose answers set them going again. So a receive costs one task and about
//! two calls, whatever it brought. A delivery that waits, for its handler or for a permit, holds up
//! no other, and one that panics ends alone.

use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use wasq_core::message::Key;
use wasq_ledgers::{Claim, ClaimRequest, Completion, Fence, Finish, Ledger, LedgerError};

use crate::sandbox::processor::together;

/// What the deliveries of a batch share.
pub struct Batch<'l> {
    ledger: &'l dyn Ledger,
    claims: Questions<(Key, ClaimRequest), Claim>,
    ends: Questions<(Key, Fence, Finish), ()>,
    known: Questions<Key, bool>,
    completions: Questions<(Key, Completion), ()>,
}

/// What is to be asked with the next call, and who waits for the answers.
struct Questions<Q, A>(Mutex<Vec<(Q, Caller<A>)>>);

type Caller<A> = oneshot::Sender<Result<A, LedgerError>>;

type Calls<'b> = FuturesUnordered<BoxFuture<'b, ()>>;

impl<'l> Batch<'l> {
    pub fn new(ledger: &'l dyn Ledger) -> Self {
        Self {
            ledger,
            claims: Questions::default(),
            ends: Questions::default(),
            known: Questions::default(),
            completions: Questions::default(),
        }
    }

    /// As [`Ledger::claim`], together with what other deliveries ask.
    pub async fn claim(&self, key: Key, request: ClaimRequest) -> Result<Claim, LedgerError> {
        self.claims.ask((key, request)).await
    }

    /// As [`Ledger::finish`], together with what other deliveries ask.
    pub async fn finish(&self, key: Key, fence: Fence, finish: Finish) -> Result<(), LedgerError> {
        self.ends.ask((key, fence, finish)).await
    }

    /// As [`Ledger::known_batch`], together with what other deliveries ask.
    pub async fn is_known(&self, key: Key) -> Result<bool, LedgerError> {
        self.known.ask(key).await
    }

    /// As [`Ledger::complete_batch`], together with what other deliveries ask.
    pub async fn complete(&self, key: Key, completion: Completion) -> Result<(), LedgerError> {
        self.completions.ask((key, completion)).await
    }

    /// Takes each delivery its way, to the end of the last.
    pub async fn drive<W: Future<Output = ()>>(&self, ways: impl IntoIterator<Item = W>) {
        // Boxed, because a way has some 14 KiB, and what holds it would copy it nine times.
        let ways = ways.into_iter().map(|way| AssertUnwindSafe(Box::pin(way)).catch_unwind().map(report_panic));
        let mut ways: FuturesUnordered<_> = ways.collect();
        let mut calls = Calls::new();
        std::future::poll_fn(|context| together(|| self.poll(&mut ways, &mut calls, context))).await;
    }

    fn poll<'b, W: Future<Output = ()>>(
        &'b self,
        ways: &mut FuturesUnordered<W>,
        calls: &mut Calls<'b>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            while let Poll::Ready(Some(())) = ways.poll_next_unpin(context) {}
            let mut goes_on = self.call(calls);
            while let Poll::Ready(Some(())) = calls.poll_next_unpin(context) {
                goes_on = true;
            }
            if ways.is_empty() && calls.is_empty() {
                return Poll::Ready(());
            }
            if !goes_on {
                return Poll::Pending;
            }
        }
    }

    /// Asks what is to be asked. Whether there was anything.
    fn call<'b>(&'b self, calls: &mut Calls<'b>) -> bool {
        let claims = self.claims.call(|claims| async move { self.ledger.claim_batch(&claims).await });
        let ends = self.ends.call(|ends| self.ledger.finish_batch(ends));
        let known = self.known.call(|keys| async move { self.ledger.known_batch(&keys).await });
        let completions = self.completions.call(|completions| self.ledger.complete_batch(completions));
        let before = calls.len();
        calls.extend(claims.into_iter().chain(ends).chain(known).chain(completions));
        calls.len() > before
    }
}

fn report_panic(ended: std::thread::Result<()>) {
    if ended.is_err() {
        tracing::error!("a delivery's task panicked; the message is delivered again when its lease ends");
    }
}

impl<Q, A> Default for Questions<Q, A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Q: Send, A: Send> Questions<Q, A> {
    async fn ask(&self, question: Q) -> Result<A, LedgerError> {
        let (tell, answer) = oneshot::channel();
        self.0.lock().push((question, tell));
        answer.await.unwrap_or_else(|_| Err(LedgerError::Unavailable("the call to it panicked".into())))
    }

    /// One call for all that was asked, if anything was.
    fn call<'b, C>(&self, ask: impl FnOnce(Vec<Q>) -> C) -> Option<BoxFuture<'b, ()>>
    where
        C: Future<Output = Vec<Result<A, LedgerError>>> + Send + 'b,
        A: 'b,
    {
        let asked = std::mem::take(&mut *self.0.lock());
        if asked.is_empty() {
            return None;
        }
        let (questions, callers): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let answers = AssertUnwindSafe(ask(questions)).catch_unwind();
        let call = async move {
            // Whoever asked in a call that panicked hears it from the one who no longer tells.
            for (caller, answer) in callers.into_iter().zip(answers.await.into_iter().flatten()) {
                // A caller that no longer waits has gone away; what was recorded stands.
                drop(caller.send(answer));
            }
        };
        Some(call.boxed())
    }
}

#[cfg(test)]
mod tests;
