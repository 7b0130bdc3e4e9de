//! What a handler can ask of the host: steps, outbox, variables, its delivery, its log.

use std::time::{Duration, SystemTime};

use serde_json::json;
use wasq_sdk::{Attribute, AttributeValue, Context, Failure, log, tracing};

#[test]
fn a_step_runs_once() {
    let cx = Context::test().build();
    let charge = |id: &'static str| cx.once("charge", || Ok(id.to_owned()));
    assert_eq!(charge("first"), Ok("first".to_owned()));
    assert_eq!(charge("second"), Ok("first".to_owned()));
    assert_eq!(cx.recorded().step::<String>("charge").as_deref(), Some("first"));
}

#[test]
fn a_step_that_fails_is_not_recorded() {
    let cx = Context::test().build();
    let failed = cx.once::<()>("charge", || Err(Failure::reject("no such card")));
    assert_eq!(failed, Err(Failure::reject("step `charge`: no such card")));
    assert_eq!(cx.recorded().steps(), [""; 0]);
}

#[test]
fn a_step_of_another_version_is_tried_again_later() {
    let cx = Context::test().step("charge", &"ch_1").build();
    let reason = "step `charge`: what an earlier attempt recorded does not fit this version of the handler";
    assert_eq!(cx.once::<u64>("charge", || Ok(7)), Err(Failure::retry(reason)));
}

#[test]
fn without_a_ledger_no_step_runs() {
    let cx = Context::test().ledger_unavailable("disk full").build();
    let failed = cx.once::<()>("charge", || panic!("it ran"));
    assert_eq!(failed, Err(Failure::unavailable("ledger", "step `charge`: disk full")));
}

#[test]
fn the_outbox_keeps_messages_in_order() {
    let cx = Context::test().build();
    cx.outbox("emails", "receipt_due").send(&json!({"order": 7})).unwrap();
    cx.outbox("", "picture")
        .delay(Duration::from_millis(1500))
        .group("g")
        .attribute("content-type", "image/png")
        .attribute("width", 20)
        .send_bytes([0xff])
        .unwrap();

    let sent = cx.recorded().sent();
    assert_eq!(sent.len(), 2);
    assert_eq!((&*sent[0].queue, &*sent[0].kind, &*sent[0].body), ("emails", "receipt_due", &b"{\"order\":7}"[..]));
    assert_eq!((sent[1].delay_s, sent[1].group.as_deref(), &*sent[1].body), (2, Some("g"), &[0xff][..]));
    let attribute = |name: &str, value| Attribute { name: name.to_owned(), value };
    assert_eq!(
        sent[1].attributes,
        [
            attribute("content-type", AttributeValue::Text("image/png".to_owned())),
            attribute("width", AttributeValue::Number("20".to_owned())),
        ]
    );
}

#[test]
fn a_delay_over_the_limit_of_sqs_is_refused() {
    let cx = Context::test().build();
    let reason = "outbox, `b` to queue `a`: a delay of 900.001s is over SQS's limit of 900s";
    let delay = Duration::from_millis(900_001);
    assert_eq!(cx.outbox("a", "b").delay(delay).send(&()), Err(Failure::reject(reason)));
    assert_eq!(cx.recorded().sent(), []);
}

#[test]
fn a_variable_comes_from_the_manifest_or_the_operator() {
    let manifest = "name = \"x\"\ntypes = [\"y\"]\n[variables]\na = \"1\"\nb = \"2\"";
    let cx = Context::test().manifest(manifest).variable("b", "3").build();
    assert_eq!(cx.variable("a").as_deref(), Ok("1"));
    assert_eq!(cx.variable("b").as_deref(), Ok("3"));
    let reason = "variable `c` is not set: declare it under [variables] in plugin.toml";
    assert_eq!(cx.variable("c"), Err(Failure::retry(reason)));
}

#[test]
fn the_delivery_is_what_the_test_says() {
    let sent_at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_323_045_678);
    let remaining = Duration::from_secs(3);
    let cx = Context::test().id("m1").attempt(2).key("k1").sent_at(sent_at).remaining(remaining).build();
    assert_eq!((cx.message().id(), cx.attempt(), cx.idempotency_key()), ("m1", 2, "k1"));
    assert_eq!((cx.sent_at(), cx.remaining()), (sent_at, remaining));
}

#[test]
fn both_crates_macros_write_to_the_log() {
    let cx = Context::test().build();
    let error = Failure::from("down").reason().to_owned();
    tracing::info!(order = 7, name = "Ada", missing = tracing::field::Empty, "order {} sent", 7);
    let source = anyhow::anyhow!("refused").context("no stock");
    tracing::error!(target: "shop", error, source = &*source as &(dyn std::error::Error + 'static), debug = ?Some(1));
    log::warn!("stock of {} is low", "MUG");
    tracing::info_span!("ignored", field = 1).in_scope(|| tracing::trace!("inside"));

    let lines: Vec<_> = cx
        .recorded()
        .log()
        .into_iter()
        .map(|line| format!("{} {} {:?} {:?}", line.level, line.target, line.message, line.fields))
        .collect();
    assert_eq!(
        lines,
        [
            r#"INFO context "order 7 sent" [("order", "7"), ("name", "Ada")]"#,
            r#"ERROR shop "" [("error", "down"), ("source", "no stock: refused"), ("debug", "Some(1)")]"#,
            r#"WARN context "stock of MUG is low" []"#,
            r#"TRACE context "inside" []"#,
        ]
    );
    // The next context begins a log of its own.
    assert_eq!(Context::test().build().recorded().log(), []);
}
