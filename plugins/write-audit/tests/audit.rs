//! The chain that the audit service is sent, against a service that has other writers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::{Value, json};
use wasq_sdk::test::{self, Reply};
use wasq_sdk::{Context, Failure, Outcome};
use write_audit::order_completed;

const HEAD: &str = "https://audit.example/head";
const ENTRIES: &str = "https://audit.example/entries";

/// An audit service to which another writer appends, so often, between our reading of the head and
/// our writing.
fn context(rivals: u64) -> Context {
    let sequence = Rc::new(Cell::new(7));
    let rivals = Cell::new(rivals);
    let appended = RefCell::new(Vec::new());
    let head = Rc::clone(&sequence);
    Context::test()
        .manifest(include_str!("../plugin.toml"))
        .key("k1")
        .json(&json!({
            "order_id": "A-1001",
            "customer": {"email": "ada@example.com", "name": "Ada"},
            "items": [{"sku": "MUG-BLUE", "quantity": 2, "unit_price_cents": 1299}],
            "total_cents": 2598,
            "currency": "EUR",
            "placed_at": "2026-01-02T03:04:05Z",
        }))
        .reply_with("GET", HEAD, move |_| {
            let sequence: u64 = head.get();
            Reply::status(200).json(&json!({"sequence": sequence, "hash": format!("{sequence:064x}")}))
        })
        .reply_with("POST", ENTRIES, move |request| {
            let key = request.header("Idempotency-Key").map(str::to_owned);
            if appended.borrow().contains(&key) {
                return Reply::status(200);
            }
            if rivals.get() > 0 {
                rivals.set(rivals.get() - 1);
                sequence.set(sequence.get() + 1);
            }
            if request.json::<Value>()["sequence"] != json!(sequence.get() + 1) {
                return Reply::status(409);
            }
            sequence.set(sequence.get() + 1);
            appended.borrow_mut().push(key);
            Reply::status(201)
        })
        .build()
}

fn posts(cx: &Context) -> Vec<Value> {
    let requests = cx.recorded().requests();
    requests.iter().filter(|request| request.method == "POST").map(|request| request.json()).collect()
}

#[test]
fn an_entry_is_chained_to_the_head() {
    let cx = context(0);

    assert_eq!(test::run(order_completed, &cx), Ok(Outcome::done()));

    let previous = format!("{:064x}", 7);
    let entry = r#"{"currency":"EUR","items":[{"quantity":2,"sku":"MUG-BLUE","unit_price_cents":1299}],"order_id":"A-1001","placed_at":"2026-01-02T03:04:05Z","total_cents":2598}"#;
    let hash = blake3::hash(format!("{previous}{entry}").as_bytes()).to_hex();
    let entry: Value = serde_json::from_str(entry).unwrap();
    let expect = json!({"sequence": 8, "previous": previous, "entry": entry, "hash": hash.as_str()});
    assert_eq!(posts(&cx), [expect]);
}

#[test]
fn another_writer_makes_it_read_the_head_again() {
    let cx = context(2);
    assert_eq!(test::run(order_completed, &cx), Ok(Outcome::done()));
    let sequences: Vec<_> = posts(&cx).iter().map(|append| append["sequence"].clone()).collect();
    assert_eq!(sequences, [8, 9, 10]);
}

#[test]
fn it_does_not_read_the_head_for_ever() {
    let cx = context(u64::MAX);
    let expect = Failure::retry("another writer was first 3 times in a row");
    assert_eq!(test::run(order_completed, &cx), Err(expect));
    assert_eq!(posts(&cx).len(), 3);
}

#[test]
fn an_entry_that_is_there_already_is_enough() {
    let cx = context(0);
    assert_eq!(test::run(order_completed, &cx), Ok(Outcome::done()));
    assert_eq!(test::run(order_completed, &cx), Ok(Outcome::done()));
    assert_eq!(posts(&cx).len(), 2);
    assert_eq!(posts(&cx)[1]["sequence"], 9);
}
