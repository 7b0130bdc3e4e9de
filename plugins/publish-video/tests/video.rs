//! The handler's parts, each as the host calls it.

use publish_video::publish_video;
use serde_json::{Value, json};
use wasq_sdk::test::{Builder, Reply, member};
use wasq_sdk::{Context, Failure, GroupPart, OnFailure, Outcome};

const CLIP: &str = "https://clips.example/v1.bin";

fn video() -> Value {
    json!({ "video_id": "v1", "url": CLIP, "seconds": 25 })
}

fn of_type(kind: &str) -> Builder {
    Context::test().manifest(include_str!("../plugin.toml")).kind(kind)
}

#[test]
fn an_upload_becomes_a_group_and_what_follows_it() {
    let cx = of_type("video_uploaded").json(&video()).build();
    assert_eq!(publish_video(&cx), Ok(Outcome::done()));
    let sent = cx.recorded().sent();
    let kinds: Vec<_> = sent.iter().map(|message| message.kind.as_str()).collect();
    let pictures = ["picture_wanted"; 3];
    let expect = [&["rendition_wanted"; 4][..], &pictures, &["moderation_wanted", "video_ready"]].concat();
    assert_eq!(kinds, expect);
    let member = GroupPart::Member(Some("v1".into()));
    assert!(sent[..8].iter().all(|message| message.part.as_ref() == Some(&member)), "{sent:?}");
    assert_eq!(sent[8].part, Some(GroupPart::Then(Some("v1".into()), OnFailure::Send)));
}

#[test]
fn a_part_is_stored_and_its_url_is_the_result() {
    let url = "https://storage.example/videos/v1/renditions/1080";
    let cx = of_type("rendition_wanted")
        .json(&json!({ "video": video(), "at": 1080 }))
        .reply("GET", CLIP, Reply::status(200).body(vec![7; 100]))
        .reply("PUT", url, Reply::status(201))
        .build();
    assert_eq!(publish_video(&cx), Ok(Outcome::result(json!(url).to_string())));
    assert_eq!(cx.recorded().requests()[1].body, vec![7; 50]);
}

#[test]
fn moderation_is_asked_for_once_and_its_answer_is_the_result() {
    let api = "https://moderation.example/reviews";
    let cx = of_type("moderation_wanted").json(&video()).reply("POST", api, Reply::status(201)).build();
    assert!(matches!(publish_video(&cx), Ok(Outcome::Snooze(_))));
    let asked: Value = cx.recorded().requests()[0].json();
    assert_eq!(asked, json!({ "video_id": "v1", "token": "token-of-moderation" }));
    let again = of_type("moderation_wanted").json(&video()).answered("moderation", r#"{"fit":true}"#).build();
    assert_eq!(publish_video(&again), Ok(Outcome::result(r#"{"fit":true}"#)));
    let late = of_type("moderation_wanted").json(&video()).timed_out("moderation").build();
    assert!(matches!(publish_video(&late), Err(Failure::Reject { .. })));
}

#[test]
fn the_record_has_what_the_members_gave() {
    let members = || {
        let url = |name: &str| json!(format!("https://storage.example/videos/v1/{name}"));
        vec![
            member("jobs", "rendition_wanted").done(&url("renditions/1080")),
            member("jobs", "picture_wanted").done(&url("pictures/0")),
            member("jobs", "moderation_wanted").done(&json!({ "fit": true })),
        ]
    };
    let api = "https://catalogue.example/videos";
    let cx = of_type("video_ready")
        .json(&video())
        .ended_group("v1", members())
        .reply("POST", api, Reply::status(201))
        .build();
    assert_eq!(publish_video(&cx), Ok(Outcome::done()));
    let record: Value = cx.recorded().requests()[0].json();
    assert_eq!(record["renditions"], json!(["https://storage.example/videos/v1/renditions/1080"]));
    assert_eq!(record["moderation"], json!([{ "fit": true }]));

    let failed = members().into_iter().chain([member("jobs", "picture_wanted").dead_lettered("no such clip")]);
    let cx = of_type("video_ready").json(&video()).ended_group("v1", failed).build();
    assert_eq!(publish_video(&cx), Ok(Outcome::discard("1 of its parts are dead letters")));
}
