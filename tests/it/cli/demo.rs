//! `wasq demo`: the shop's checkout, whole.

use std::ffi::OsStr;
use std::path::Path;

use wasq_queues::Broker;

use super::binary::wasq;
use crate::support::brokers::{RigBroker, on_each_broker};

on_each_broker!(the_world_sees_every_effect_as_often_as_it_should);

async fn the_world_sees_every_effect_as_often_as_it_should(broker: Broker) {
    // The handlers were compiled for the tests already; in the same target directory there is
    // nothing left to do.
    let built = wasq_tests::plugin("send-receipt");
    let target = built.ancestors().nth(3).expect("TARGET_DIR/wasm32-wasip2/release/FILE");
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let (broker, url) = (broker.name(), RigBroker::new(broker).url());
    let arguments = ["demo", "--orders", "30", "--broker", broker, "--plugins"].map(OsStr::new);
    let demo = wasq(arguments.into_iter().chain([plugins.as_os_str()]));
    let demo = match url {
        Some(url) => demo.env("WASQ_BROKER_URL", url),
        None => demo,
    };
    let ran = demo
        .compiles()
        .env("CARGO_TARGET_DIR", target)
        .check(
            0,
            &[
                "before the replay: the world saw each of",
                "after the replay: the world saw each of",
                "exactly once",
                "nights, each asked for once",
            ],
        )
        .await;
    let shop = ["send-receipt", "make-receipt", "update-inventory", "notify-partner", "track-analytics", "write-audit"];
    for plugin in shop.iter().chain(&["make-thumbnails", "video_ready", "moderation_wanted", "nightly-report"]) {
        let row = ran.out.lines().find(|line| line.contains(plugin)).unwrap_or_else(|| panic!("{plugin}: {}", ran.out));
        assert!(row.contains("ms") || row.contains(" s"), "{plugin} has been timed: {row}");
    }
    assert!(ran.out.contains("inline, every call in the request"), "{}", ran.out);
}

#[tokio::test]
async fn without_the_handlers_it_says_where_they_should_be() {
    let dir = tempfile::tempdir().unwrap();
    wasq(["demo", "--plugins", "nowhere"]).dir(&dir).check(1, &["nowhere"]).await;
}

#[tokio::test]
async fn a_broker_without_a_server_is_refused_with_the_way_out() {
    wasq(["demo", "--broker", "rabbitmq"]).check(1, &["--broker rabbitmq", "--broker-url"]).await;
    wasq(["demo", "--broker-url", "amqp://localhost"]).check(1, &["--broker-url", "add --broker"]).await;
    wasq(["demo", "--broker", "pigeons"]).check(2, &["pigeons", "sqs, rabbitmq, redis, kafka"]).await;
}
