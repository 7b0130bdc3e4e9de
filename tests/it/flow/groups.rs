//! Messages that belong together, and one that is sent when all of them have ended.

use serde_json::{Value, json};
use wasq::dlq::replayed_message::{ReplayOptions, replayed};
use wasq::groups::{EndState, Record, State};
use wasq_queues::Broker;

use crate::support::brokers::on_each_broker;
use crate::support::{Dead, Plugin, Rig, Setup, until};

on_each_broker!(
    one_message_follows_when_all_members_have_ended_and_reads_how,
    a_group_that_waits_for_its_dead_letters_ends_when_they_are_replayed,
    a_dead_letter_cancels_a_group_and_what_has_not_run_is_discarded,
);

/// A message whose handler opens the group `video`, with these members, and has the sink's `ended`
/// told of its end.
fn open(rig: &Rig, members: &[Value], on_failure: &str) -> Value {
    let follow_ups = json!([{ "do": "ended", "url": rig.sink.url("ended") }]);
    let done = json!({ "do": "done" });
    json!({ "do": "group", "name": "video", "members": members, "follow_ups": follow_ups, "on_failure": on_failure, "then": done })
}

async fn record(rig: &Rig, group: &str) -> Record {
    let groups = rig.services().groups.as_ref().expect("the ledger keeps documents");
    groups.record(group).await.expect("the ledger answers").expect("there is the group")
}

/// The states of the members of `probe/video`, sorted.
async fn states(rig: &Rig) -> Vec<&'static str> {
    let groups = rig.services().groups.as_ref().expect("the ledger keeps documents");
    let record = record(rig, "probe/video").await;
    let page = groups.members("probe/video", &record, 0).await.expect("the ledger answers");
    let state = |end: Option<EndState>| end.map_or("open", EndState::name);
    let mut states: Vec<_> =
        page.members.iter().map(|member| state(member.end.as_ref().map(|end| end.state))).collect();
    states.sort_unstable();
    states
}

/// What the sink was told of the group's end, once it was.
async fn ended_report(rig: &Rig) -> Value {
    rig.until_called("ended", 1).await;
    rig.emptied().await;
    let calls = rig.sink.calls("ended");
    assert_eq!(calls.len(), 1, "one message follows: {calls:?}");
    calls[0].report.clone()
}

fn members_of(report: &Value) -> Vec<&str> {
    let members = report["members"].as_array().expect("they are a list");
    members.iter().map(|member| member.as_str().expect("each is a text")).collect()
}

async fn replay(rig: &Rig, dead: &Dead, body: &Value) {
    let mut again =
        replayed(&dead.delivery, Some(&dead.letter), &rig.rules().await, &ReplayOptions::default()).unwrap();
    again.body = body.to_string().into();
    rig.queue("jobs").await.send(&[again]).await.remove(0).unwrap();
}

async fn one_message_follows_when_all_members_have_ended_and_reads_how(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    let members = [
        json!({ "do": "done" }),
        json!({ "do": "result", "bytes": 5 }),
        json!({ "do": "result", "bytes": 4_096 }),
        json!({ "do": "discard", "reason": "a twin of another" }),
        json!({ "do": "reject", "reason": "no such video" }),
    ];
    rig.send(open(&rig, &members, "send")).await;
    let report = ended_report(&rig).await;
    assert_eq!((&report["name"], &report["done"]), (&json!("video"), &json!(3)));
    assert_eq!((&report["discarded"], &report["dead_lettered"]), (&json!(1), &json!(1)));
    let expect = [
        "done",
        "done with 5 bytes",
        "done with 4096 bytes",
        "discarded: a twin of another",
        "dead-lettered: no such video",
    ];
    assert_eq!(members_of(&report), expect, "in the order in which they were sent");
    let record = record(&rig, "probe/video").await;
    assert_eq!((record.state, record.is_sent, record.members()), (State::Ended, true, 5));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_follows_before_the_last_member_has_ended() {
    let rig = Setup::probe().start().await;
    let held = rig.sink.hold("last");
    rig.send(open(&rig, &[json!({ "do": "done" }), rig.sink.ask("last"), json!({ "do": "done" })], "send")).await;
    rig.until_called("last", 1).await;
    until("the others have ended", || async { states(&rig).await == ["done", "done", "open"] }).await;
    assert_eq!((rig.sink.count("ended"), record(&rig, "probe/video").await.state), (0, State::Open));
    drop(held);
    assert_eq!(ended_report(&rig).await["done"], 3);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_add_members_while_they_run() {
    let rig = Setup::probe().start().await;
    let more = [json!({ "do": "done" }), json!({ "do": "result", "bytes": 1 })];
    let adder = json!({ "do": "group", "members": more, "then": { "do": "done" } });
    rig.send(open(&rig, &[adder.clone(), adder], "send")).await;
    let report = ended_report(&rig).await;
    assert_eq!(report["done"], 6);
    let counts = |words: &str| members_of(&report).into_iter().filter(|member| *member == words).count();
    assert_eq!((counts("done"), counts("done with 1 bytes")), (4, 2));
    rig.end().await;
}

async fn a_group_that_waits_for_its_dead_letters_ends_when_they_are_replayed(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    let members = [json!({ "do": "done" }), json!({ "do": "reject", "reason": "a typing error" })];
    rig.send(open(&rig, &members, "wait")).await;
    let dead = rig.letter().await;
    rig.emptied().await;
    assert_eq!(states(&rig).await, ["dead-lettered", "done"]);
    assert_eq!((rig.sink.count("ended"), record(&rig, "probe/video").await.state), (0, State::Open));
    replay(&rig, &dead, &json!({ "do": "result", "bytes": 2 })).await;
    let report = ended_report(&rig).await;
    assert_eq!((&report["done"], &report["dead_lettered"]), (&json!(2), &json!(0)));
    assert_eq!(members_of(&report), ["done", "done with 2 bytes"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_is_replayed_after_the_end_is_counted_and_nothing_follows_again() {
    let rig = Setup::probe().start().await;
    rig.send(open(&rig, &[json!({ "do": "reject", "reason": "no" })], "send")).await;
    let dead = rig.letter().await;
    assert_eq!(ended_report(&rig).await["dead_lettered"], 1);
    replay(&rig, &dead, &json!({ "do": "done" })).await;
    until("it is counted", || async { record(&rig, "probe/video").await.counts().done == 1 }).await;
    rig.emptied().await;
    assert_eq!((rig.sink.count("ended"), states(&rig).await), (1, vec!["done"]));
    rig.end().await;
}

async fn a_dead_letter_cancels_a_group_and_what_has_not_run_is_discarded(broker: Broker) {
    let probe = Plugin::probe("probe").manifest("max_concurrency = 1");
    let rig = Setup::new().on(broker).plugin(probe).start().await;
    // The others wait for the one permit, and come back when it is free: after the cancellation.
    rig.sink.answers("first", [json!({ "do": "reject", "reason": "the source is damaged" })]);
    let held = rig.sink.hold("first");
    let late = json!({ "do": "ask", "url": rig.sink.url("late") });
    rig.send(open(&rig, &[rig.sink.ask("first"), late.clone(), late], "cancel")).await;
    rig.until_called("first", 1).await;
    drop(held);
    rig.letter().await;
    until("it is cancelled", || async { record(&rig, "probe/video").await.state == State::Cancelled }).await;
    // A member that comes now does not run.
    let member = wasq::groups::Membership {
        group: "probe/video".into(),
        by: "nobody".into(),
        of: "nobody".into(),
        chunk: 0,
        place: 0,
        may_be_cancelled: true,
    };
    let attribute = member.attribute();
    let after = rig.message(rig.sink.ask("after")).attribute("wasq-group-member", attribute.text().unwrap());
    after.attribute("wasq-key", "after").attribute("wasq-depth", "1").send().await;
    rig.until_exits("cancelled", 1).await;
    rig.emptied().await;
    assert_eq!((rig.sink.count("after"), rig.sink.count("ended")), (0, 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_group_does_not_take_is_a_dead_letter_that_says_why() {
    let rig = Setup::probe().start().await;
    let check = async |order: Value, words: &str| {
        rig.send(order).await;
        let letter = rig.letter().await.letter;
        assert_eq!(letter.class, "reject");
        assert!(letter.reason.contains(words), "{}", letter.reason);
    };
    let done = json!({ "do": "done" });
    let mut twice = open(&rig, &[], "send");
    twice["follow_ups"] = json!([done, done]);
    check(twice, "the group `probe/video` has its `then` already").await;
    check(json!({ "do": "group", "members": [done], "then": done }), "a member of no group").await;
    let mut nameless = open(&rig, &[], "send");
    nameless["name"] = json!("n".repeat(257));
    check(nameless, "a group's name has 1 to 256 bytes, and this one 257").await;
    // What only the ledger knows: it was said by another message, or the group has ended.
    let held = rig.sink.hold("member");
    rig.send(open(&rig, &[rig.sink.ask("member")], "send")).await;
    rig.until_called("member", 1).await;
    check(open(&rig, &[], "send"), "has its `then` already, the `probe` to `jobs`").await;
    drop(held);
    ended_report(&rig).await;
    check(open(&rig, std::slice::from_ref(&done), "send"), "the group `probe/video` has ended").await;
    rig.emptied().await;
    assert_eq!(rig.sink.count("ended"), 1);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_nothing_ends_at_once() {
    let rig = Setup::probe().start().await;
    rig.send(open(&rig, &[], "send")).await;
    assert_eq!(ended_report(&rig).await["members"], json!([]));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_group_is_read_some_members_at_a_time() {
    let rig = Setup::probe().config(|config| config.limits.outbox_messages = 300).start().await;
    let mut members: Vec<Value> = (0..234).map(|_| json!({ "do": "done" })).collect();
    members[17] = json!({ "do": "result", "bytes": 17 });
    members[233] = json!({ "do": "discard", "reason": "the last" });
    let mut order = open(&rig, &members, "send");
    // What follows is large, too.
    order["follow_ups"][0]["ballast"] = json!("x".repeat(600_000));
    rig.send(order).await;
    let report = ended_report(&rig).await;
    let told = members_of(&report);
    assert_eq!((told.len(), told[17], told[233]), (234, "done with 17 bytes", "discarded: the last"));
    assert_eq!((&report["done"], &report["discarded"]), (&json!(233), &json!(1)));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_has_ended_when_every_plugin_of_its_type_has() {
    let other = Plugin::probe("other");
    let rig = Setup::probe().plugin(other).start().await;
    // Each of both opens a group of its own, whose member each of both handles.
    let held = rig.sink.hold("other");
    let member = json!({ "do": "ask", "url": rig.sink.url("{plugin}") });
    rig.sink.answers("probe", [json!({ "do": "result", "bytes": 3 }), json!({ "do": "result", "bytes": 3 })]);
    rig.send(open(&rig, &[member], "send")).await;
    rig.until_called("other", 2).await;
    rig.until_called("probe", 2).await;
    assert_eq!((states(&rig).await, rig.sink.count("ended")), (vec!["open"], 0));
    drop(held);
    rig.until_called("ended", 4).await;
    rig.emptied().await;
    for group in ["probe/video", "other/video"] {
        assert_eq!(record(&rig, group).await.state, State::Ended, "{group}");
    }
    let reports = rig.sink.calls("ended");
    assert!(reports.iter().all(|call| members_of(&call.report) == ["done with 3 bytes"]), "{reports:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_members_attribute_is_the_hosts_to_set() {
    let rig = Setup::probe().start().await;
    rig.message(json!({ "do": "done" }))
        .attribute("wasq-group-member", "{\"group\":7}")
        .key("k")
        .attribute("colour", "red")
        .send()
        .await;
    rig.message(json!({ "do": "ended", "url": rig.sink.url("ended") })).send().await;
    assert_eq!(rig.letter().await.letter.reason, "it follows no group");
    rig.emptied().await;
    assert_eq!(rig.exits("done"), 1, "somebody else's attribute of that name changes nothing");
    rig.end().await;
}
