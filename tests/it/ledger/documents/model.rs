//! Random operations: a store gives the answers of the pure functions.

use std::collections::BTreeMap;

use wasq_core::clock;
use wasq_ledgers::documents::{DocumentMap, Put};
use wasq_ledgers::{Fence, LedgerError};

use super::Hosts;
use crate::ledger::contract::{ENDED, LONG};

const OPERATIONS: u32 = 60;

/// The same operations, of which nobody chose the order, get the same answers from this store as
/// from the pure functions, whichever of two hosts asks.
pub async fn it_decides_as_the_document_map_does(hosts: &Hosts) {
    let mut choose = fastrand::Rng::with_seed(7);
    let mut model = DocumentMap::default();
    // What each side has answered: they give out fences of their own.
    let (mut expected_fences, mut fences) = (BTreeMap::new(), BTreeMap::new());
    let mut told = Vec::new();
    for n in 0..OPERATIONS {
        let host = if choose.bool() { &hosts.one } else { &hosts.other };
        let (id, now) = (format!("document {}", choose.u8(..3)), clock::unix_ms());
        let (expected, answered) = match choose.u8(..6) {
            0..4 => {
                let expects = choose.bool();
                let (value, kept) = (format!("value {n}"), if choose.u8(..5) == 0 { ENDED } else { LONG });
                let put = |fences: &BTreeMap<String, Fence>| Put {
                    id: id.clone(),
                    expects: fences.get(&id).copied().filter(|_| expects),
                    value: value.clone().into(),
                    kept,
                };
                let expected = model.put(put(&expected_fences), Fence(u64::from(n) + 1), now);
                let answered = host.put(put(&fences)).await;
                let saw = |seen: &mut BTreeMap<String, Fence>, answer: &Result<Fence, LedgerError>| {
                    if let Ok(fence) = answer {
                        seen.insert(id.clone(), *fence);
                    }
                };
                saw(&mut expected_fences, &expected);
                saw(&mut fences, &answered);
                (format!("{:?}", expected.map(drop)), format!("{:?}", answered.map(drop)))
            }
            4 => {
                let expected = model.get(&id, now).map(|document| document.value);
                let answered = host.get(&id).await.expect("the store answers").map(|document| document.value);
                (format!("{expected:?}"), format!("{answered:?}"))
            }
            _ => {
                let expected = model.list("document ", 100, None, now);
                let answered = host.list("document ", 100, None).await.expect("the store answers");
                (format!("{expected:?}"), format!("{answered:?}"))
            }
        };
        told.push(format!("{n} {id}: {expected}"));
        assert_eq!(answered, expected, "{told:#?}");
    }
}
