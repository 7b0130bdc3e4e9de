//! The cases that the documents of every store pass, with two hosts.

mod model;

use std::sync::Arc;

use bytes::Bytes;
use wasq_ledgers::documents::{Documents, ID_MAX_BYTES, Put, VALUE_MAX_BYTES};
use wasq_ledgers::{Fence, Ledger, LedgerError};

use super::contract::{ENDED, LONG, new_key};
use super::two_hosts::TwoHosts;

pub use model::*;

/// Two hosts' ways to one store, and what has to outlive them.
pub struct Hosts {
    one: Arc<dyn Documents>,
    other: Arc<dyn Documents>,
    /// Of another service in the same store.
    stranger: Arc<dyn Documents>,
    _kept: Option<tempfile::TempDir>,
}

impl Hosts {
    fn new(TwoHosts { one, other, kept }: TwoHosts) -> Self {
        let (service, another) = (new_key().to_hex(), new_key().to_hex());
        let documents =
            |ledger: &Arc<dyn Ledger>, service: &str| ledger.documents(service).expect("it keeps documents");
        let (one, other, stranger) =
            (documents(&one, &service), documents(&other, &service), documents(&one, &another));
        Self { one, other, stranger, _kept: kept }
    }
}

/// Makes a module with a test of each case for each store.
macro_rules! document_contract {
    ($($case:ident)*) => {
        document_contract! { @store contract_of_local, local; $($case)* }
        document_contract! { @store contract_of_redis, redis; $($case)* }
        document_contract! { @store contract_of_postgres, postgres; $($case)* }
        document_contract! { @store contract_of_dynamodb_on_moto, moto; $($case)* }
        document_contract! { @store contract_of_dynamodb_on_dynalite, dynalite; $($case)* }
    };
    (@store $store:ident, $open:ident; $($case:ident)*) => {
        mod $store {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::ledger::contract::run(|| async {
                    let hosts = super::Hosts::new(super::TwoHosts::$open().await);
                    super::$case(&hosts).await;
                })
                .await;
            }
        )*}
    };
}

document_contract! {
    a_document_is_what_was_put_last
    only_who_has_read_it_may_change_it
    of_changes_made_at_once_one_counts
    two_hosts_that_count_miss_nothing
    what_is_over_is_gone_and_may_be_written_anew
    a_list_has_all_that_begin_alike_page_by_page
    ids_and_values_of_any_kind
    what_is_too_large_is_refused
    services_do_not_touch_each_other
    it_decides_as_the_document_map_does
}

async fn get(documents: &dyn Documents, id: &str) -> Option<(Fence, String)> {
    let found = documents.get(id).await.expect("the store answers");
    found.map(|document| (document.fence, String::from_utf8(document.value.to_vec()).expect("it is text")))
}

async fn put(
    documents: &dyn Documents,
    id: &str,
    expects: Option<Fence>,
    value: impl Into<Bytes>,
) -> Result<Fence, LedgerError> {
    documents.put(Put { id: id.to_owned(), expects, value: value.into(), kept: LONG }).await
}

async fn ids(documents: &dyn Documents, prefix: &str, limit: usize, after: Option<&str>) -> Vec<String> {
    let listed = documents.list(prefix, limit, after).await.expect("the store answers");
    listed.into_iter().map(|listed| listed.id).collect()
}

pub async fn a_document_is_what_was_put_last(hosts: &Hosts) {
    assert_eq!(get(&*hosts.one, "d").await, None);
    let first = put(&*hosts.one, "d", None, "one").await.expect("there is none");
    assert_eq!(get(&*hosts.other, "d").await, Some((first, "one".into())));
    let second = put(&*hosts.other, "d", Some(first), "two").await.expect("it is as it was read");
    assert!(second > first, "{second:?}");
    assert_eq!(get(&*hosts.one, "d").await, Some((second, "two".into())));
}

pub async fn only_who_has_read_it_may_change_it(hosts: &Hosts) {
    let stale = |answer: Result<Fence, LedgerError>| matches!(answer, Err(LedgerError::Stale));
    assert!(stale(put(&*hosts.one, "d", Some(Fence(1)), "x").await), "there is none");
    let first = put(&*hosts.one, "d", None, "one").await.expect("there is none");
    assert!(stale(put(&*hosts.other, "d", None, "x").await), "there is one");
    let second = put(&*hosts.other, "d", Some(first), "two").await.expect("it is as it was read");
    assert!(stale(put(&*hosts.one, "d", Some(first), "x").await), "it has changed");
    assert_eq!(get(&*hosts.one, "d").await, Some((second, "two".into())));
}

pub async fn of_changes_made_at_once_one_counts(hosts: &Hosts) {
    let mut fence = None;
    for round in 0..4 {
        let changes = (0..8).map(|n| async move {
            let host = if n % 2 == 0 { &hosts.one } else { &hosts.other };
            put(&**host, "d", fence, format!("{round} {n}")).await.map(|fence| (n, fence))
        });
        let answers = futures::future::join_all(changes).await;
        let made: Vec<_> = answers.iter().flatten().collect();
        let [(n, made)] = made[..] else { panic!("{answers:?}") };
        let refused = answers.iter().filter(|answer| matches!(answer, Err(LedgerError::Stale))).count();
        assert_eq!(refused, 7, "{answers:?}");
        assert_eq!(get(&*hosts.one, "d").await, Some((*made, format!("{round} {n}"))));
        fence = Some(*made);
    }
}

pub async fn two_hosts_that_count_miss_nothing(hosts: &Hosts) {
    let count = async |documents: &dyn Documents| {
        for _ in 0..10 {
            loop {
                let found = get(documents, "count").await;
                let (fence, count) = found
                    .map_or((None, 0), |(fence, text)| (Some(fence), text.parse::<u32>().expect("it is a number")));
                match put(documents, "count", fence, (count + 1).to_string()).await {
                    Ok(_) => break,
                    Err(LedgerError::Stale) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    };
    tokio::join!(count(&*hosts.one), count(&*hosts.other));
    assert_eq!(get(&*hosts.one, "count").await.map(|(_, count)| count), Some("20".into()));
}

pub async fn what_is_over_is_gone_and_may_be_written_anew(hosts: &Hosts) {
    let over = Put { id: "d".into(), expects: None, value: "over".into(), kept: ENDED };
    let first = hosts.one.put(over).await.expect("there is none");
    assert_eq!(get(&*hosts.other, "d").await, None);
    assert_eq!(ids(&*hosts.other, "", 10, None).await, [""; 0]);
    let late = put(&*hosts.one, "d", Some(first), "x").await;
    assert!(matches!(late, Err(LedgerError::Stale)), "{late:?}");
    let second = put(&*hosts.other, "d", None, "anew").await.expect("there is none any more");
    assert!(second > first, "{second:?}");
    assert_eq!(get(&*hosts.one, "d").await, Some((second, "anew".into())));
    let late = put(&*hosts.one, "d", Some(first), "x").await;
    assert!(matches!(late, Err(LedgerError::Stale)), "{late:?}");
}

pub async fn a_list_has_all_that_begin_alike_page_by_page(hosts: &Hosts) {
    let mut expect: Vec<String> = (0..23).map(|n| format!("group/{n}")).collect();
    expect.extend(["group/ä".into(), "group/\u{10ffff}".into()]);
    for id in expect.iter().map(String::as_str).chain(["group", "groups", "grou", "h", "chunk/1"]) {
        put(&*hosts.one, id, None, format!("value of {id}")).await.expect("there is none");
    }
    expect.sort_unstable();
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = hosts.other.list("group/", 7, after.as_deref()).await.expect("the store answers");
        assert!(page.iter().all(|listed| listed.value == format!("value of {}", listed.id)), "{page:?}");
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        pages.extend(page.into_iter().map(|listed| listed.id));
    }
    assert_eq!(pages, expect);
    assert_eq!(ids(&*hosts.one, "group/", 0, None).await, [""; 0]);
    assert_eq!(ids(&*hosts.one, "", 3, Some("group/9")).await, ["group/ä", "group/\u{10ffff}", "groups"]);
}

pub async fn ids_and_values_of_any_kind(hosts: &Hosts) {
    for id in [" ", "a\0b", "\u{1f9fe}", &"i".repeat(ID_MAX_BYTES)] {
        for value in [&b"\x01\0\xff"[..], b"{}", &vec![b'v'; VALUE_MAX_BYTES]] {
            let fence = hosts.one.get(id).await.expect("the store answers").map(|document| document.fence);
            let put = put(&*hosts.one, id, fence, value.to_vec()).await.expect("it fits");
            let found = hosts.other.get(id).await.expect("the store answers").expect("it was put");
            assert_eq!((found.fence, &*found.value), (put, value), "{id:?}");
        }
    }
}

pub async fn what_is_too_large_is_refused(hosts: &Hosts) {
    let refused = [
        put(&*hosts.one, &"i".repeat(ID_MAX_BYTES + 1), None, "x").await,
        put(&*hosts.one, "d", None, vec![b'v'; VALUE_MAX_BYTES + 1]).await,
    ];
    for answer in refused {
        assert!(matches!(answer, Err(LedgerError::TooLarge(_))), "{answer:?}");
    }
    assert_eq!(get(&*hosts.one, "d").await, None);
}

pub async fn services_do_not_touch_each_other(hosts: &Hosts) {
    let ours = put(&*hosts.one, "d", None, "ours").await.expect("there is none");
    assert_eq!(get(&*hosts.stranger, "d").await, None);
    put(&*hosts.stranger, "d", None, "theirs").await.expect("they have none");
    assert_eq!(get(&*hosts.one, "d").await, Some((ours, "ours".into())));
    assert_eq!(ids(&*hosts.one, "", 10, None).await, ["d"]);
}
