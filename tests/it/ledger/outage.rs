//! A ledger whose server goes away and comes back.

use std::time::Duration;

use wasq_ledgers::{Claim, Ledger, LedgerError};
use wasq_tests::servers::{PASSWORD, Server};

use super::contract::{LONG, claim, done, finish, fresh, new_key};

/// How long an operation may take when the server is gone, with what a busy machine adds.
const GIVES_UP: Duration = Duration::from_secs(15);
/// How long a test waits until the ledger works again.
const SOON: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

/// Its operations fail in time as long as the server is away, and succeed again by themselves when
/// it is back; what was recorded before is there.
pub async fn outage(
    ledger: &dyn Ledger,
    server: &mut Server,
    away: fn(&mut Server) -> anyhow::Result<()>,
    back: fn(&mut Server) -> anyhow::Result<()>,
) {
    let (key, before) = (new_key(), new_key());
    let fence = fresh(ledger, key, LONG).await.fence;
    let fence_before = fresh(ledger, before, LONG).await.fence;
    finish(ledger, before, fence_before, done(LONG)).await;
    let claims = [(key, fence)];

    away(server).expect("the server obeys");
    for _ in 0..2 {
        let answers = async {
            tokio::join!(
                ledger.ping(),
                ledger.finish(key, fence, done(LONG)),
                ledger.extend(&claims, LONG),
                ledger.get_step(key, fence, "step")
            )
        };
        let answers = tokio::time::timeout(GIVES_UP, answers).await;
        let (ping, finish, extend, step) = answers.expect("they give up in time");
        let extended = extend.into_iter().map(|answer| answer.map(drop));
        for outcome in [ping, finish, step.map(drop)].into_iter().chain(extended) {
            let Err(LedgerError::Unavailable(reason)) = &outcome else { panic!("{outcome:?}") };
            assert!(!reason.contains(PASSWORD) && reason.contains("127.0.0.1"), "{reason}");
        }
    }

    back(server).expect("the server obeys");
    let works = async {
        while ledger.ping().await.is_err() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(SOON, works).await.expect("it works again by itself");
    finish(ledger, key, fence, done(LONG)).await;
    for key in [key, before] {
        assert_eq!(claim(ledger, key, LONG).await, Claim::Done { same_message: true });
    }
}
