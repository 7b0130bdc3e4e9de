//! What a handler can ask of the host: steps, outbox, variables, its delivery, its log.

use std::time::{Duration, SystemTime};

use serde_json::json;
use wasq_sdk::{Attribute, AttributeValue, Context, Failure, MAX_DELAY, Outcome, Waiting, log, tracing};

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
#[allow(clippy::disallowed_methods, reason = "a handler's times are the wall clock's")]
fn a_delay_is_of_any_time_up_to_its_limit_and_a_time_that_has_passed_is_now() {
    let cx = Context::test().build();
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    cx.outbox("a", "b").delay(year).send(&()).unwrap();
    cx.outbox("a", "b").at(SystemTime::now() + year).send(&()).unwrap();
    cx.outbox("a", "b").at(SystemTime::now() - year).send(&()).unwrap();
    let delays: Vec<_> = cx.recorded().sent().iter().map(|sent| u64::from(sent.delay_s)).collect();
    assert_eq!(delays[0], year.as_secs());
    assert!(delays[1].abs_diff(year.as_secs()) <= 60, "{delays:?}");
    assert_eq!(delays[2], 0);
    let too_long = cx.outbox("a", "b").delay(MAX_DELAY + Duration::from_millis(1)).send(&());
    assert!(matches!(too_long, Err(Failure::Reject { reason }) if reason.contains("over the limit")));
}

#[test]
fn a_wait_is_pending_until_a_test_says_what_came_of_it() {
    let hour = Duration::from_secs(3_600);
    let cx = Context::test().answered("a", "[1]").answered("b", "{").timed_out("c").build();
    assert_eq!(cx.wait_for("a", hour).unwrap().json::<Vec<u8>>(), Ok(Some(vec![1])));
    assert!(matches!(cx.wait_for("b", hour).unwrap().json::<Vec<u8>>(), Err(Failure::Reject { .. })));
    assert_eq!(cx.wait_for("c", hour), Ok(Waiting::TimedOut));
    assert_eq!(cx.wait_for("c", hour).unwrap().json::<Vec<u8>>(), Ok(None));
    let Ok(Waiting::Pending(pending)) = cx.wait_for("d", hour) else { panic!("nobody has said a word on it") };
    assert!(!pending.token().is_empty());
    assert_eq!(pending.outcome(), Outcome::snooze(hour));
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
