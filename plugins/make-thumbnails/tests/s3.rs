//! The handler on events of S3, against a played host.

use make_thumbnails::make_thumbnails;
use serde_json::{Value, json};
use wasq_sdk::test::{self, Builder, Reply};
use wasq_sdk::{Context, Failure, Outcome};

const S3: &str = "https://s3.eu-central-1.amazonaws.com";

#[test]
fn an_object_becomes_a_message_for_each_size_with_its_url() {
    for (key, path, name) in [
        ("photos/shoe.png", "photos/shoe.png", "shoe.png-"),
        ("photos/red+shoe.png", "photos/red%20shoe.png", "red-shoe.png-"),
        ("a%2Bb%3D100%25%3F%23.png", "a%2Bb%3D100%25%3F%23.png", "a-b-100---.png-"),
        ("Gr%C3%BC%C3%9Fe/%E5%B1%B1.png", "Gr%C3%BC%C3%9Fe/%E5%B1%B1.png", "png-"),
        ("%2Fa%2F%2F.hidden~1.png", "/a//.hidden~1.png", "hidden-1.png-"),
        ("no-utf-8-%FF", "no-utf-8-%FF", "no-utf-8---"),
        ("%E5%B1%B1", "%E5%B1%B1", ""),
    ] {
        let sent = sent(&records(&[record("in", key, "e-1")]));
        let [(small, 160), (large, 640)] = &sent[..] else { panic!("{key}: {sent:?}") };
        assert_eq!(small["url"], format!("{S3}/in/{path}"));
        assert_eq!((&small["url"], &small["image_id"]), (&large["url"], &large["image_id"]));
        let id = small["image_id"].as_str().unwrap();
        let hash = id.strip_prefix(name).unwrap_or_else(|| panic!("{id} does not begin with {name}"));
        assert!(hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
}

#[test]
fn what_is_wanted_of_an_object_is_taken() {
    for key in ["photos/red+shoe.png".to_owned(), "%E5%B1%B1".to_owned(), "x".repeat(1024)] {
        let (wanted, size) = sent(&records(&[record("in", &key, "e-1")])).remove(0);
        let target = format!("https://storage.example/thumbnails/{}/{size}.jpg", wanted["image_id"].as_str().unwrap());
        let cx = context("thumbnail_wanted", &wanted)
            .reply("GET", wanted["url"].as_str().unwrap(), Reply::status(200).body(png()))
            .reply("PUT", &target, Reply::status(200))
            .build();
        assert_eq!(test::run(make_thumbnails, &cx), Ok(Outcome::done()), "{key}");
    }
}

#[test]
fn each_record_of_an_event_becomes_its_messages() {
    let all = sent(&records(&[record("in", "a.png", "e-1"), record("in", "b+c.png", "e-2")]));
    let urls: Vec<_> = all.iter().map(|(wanted, size)| (wanted["url"].as_str().unwrap(), *size)).collect();
    let (a, b) = (&*format!("{S3}/in/a.png"), &*format!("{S3}/in/b%20c.png"));
    assert_eq!(urls, [(a, 160), (a, 640), (b, 160), (b, 640)]);
    // A pipe sends a record alone.
    assert_eq!(sent(&record("in", "a.png", "e-1")), all[..2]);
}

#[test]
fn an_image_id_is_of_one_content_of_one_object() {
    let id = |record: Value| sent(&records(&[record])).remove(0).0["image_id"].clone();
    let versioned = |version: &str| {
        let mut record = record("in", "a/b.png", "e-1");
        record["s3"]["object"]["versionId"] = version.into();
        id(record)
    };
    let first = id(record("in", "a/b.png", "e-1"));
    assert_eq!(id(record("in", "a/b.png", "e-1")), first, "of the same event, sent again");
    assert_eq!(versioned("null"), first);
    let others = [
        id(record("in", "a/b.png", "e-2")),
        id(record("other", "a/b.png", "e-1")),
        id(record("in", "a-b.png", "e-1")),
        id(record("in", "b.png", "e-1")),
        versioned("v-1"),
        versioned("v-2"),
    ];
    for (number, other) in others.iter().enumerate() {
        assert!(*other != first && !others[..number].contains(other), "{number}: {other}");
    }
}

#[test]
fn no_thumbnails_are_made_of_thumbnails() {
    let event = records(&[record("acme", "thumbs/a.png-1/160.jpg", "e-1"), record("acme", "thumbs.png", "e-2")]);
    let run = |storage_url: String| {
        let cx = context("s3:ObjectCreated:Put", &event).variable("storage_url", storage_url).build();
        assert_eq!(test::run(make_thumbnails, &cx), Ok(Outcome::done()));
        cx.recorded().sent().len()
    };
    assert_eq!(run(format!("{S3}/acme/thumbs")), 2);
    assert_eq!(run(format!("{S3}/acme/thumbs/")), 2);
    assert_eq!(run(format!("{S3}/other")), 4);
}

#[test]
fn a_wrong_variable_is_named_and_waited_for() {
    let event = records(&[record("in", "a.png", "e-1")]);
    for (name, value, expect) in [
        ("sizes", "160;640", "the variables s3_url and sizes: invalid digit"),
        ("sizes", "", "the variables s3_url and sizes: cannot parse integer from empty string"),
        ("sizes", "100000", "the variables s3_url and sizes: a size must be"),
        ("sizes", "1,2,3,4,5,6,7,8,9", "the variables s3_url and sizes: sizes has 9 sizes"),
        ("s3_url", "s3.example", "the variables s3_url and sizes: url must begin with"),
    ] {
        let cx = context("s3:ObjectCreated:Put", &event).variable(name, value).build();
        match test::run(make_thumbnails, &cx) {
            Err(Failure::Retry { reason, .. }) => assert!(reason.contains(expect), "{reason}"),
            other => panic!("{name} = {value:?}: {other:?}"),
        }
        assert!(cx.recorded().sent().is_empty());
    }
}

#[test]
fn what_s3_does_not_give_is_rejected_with_its_status() {
    for (status, expect) in [(404, "status 404"), (403, "status 403: it is not there, or may not be read")] {
        let (wanted, _) = sent(&records(&[record("in", "a.png", "e-1")])).remove(0);
        let url = wanted["url"].as_str().unwrap().to_owned();
        let cx = context("thumbnail_wanted", &wanted).reply("GET", &url, Reply::status(status)).build();
        match test::run(make_thumbnails, &cx) {
            Err(Failure::Reject { reason }) => assert!(reason.ends_with(expect), "{reason}"),
            other => panic!("{status}: {other:?}"),
        }
    }
}

fn record(bucket: &str, key: &str, e_tag: &str) -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": bucket }, "object": { "key": key, "size": 7, "eTag": e_tag, "sequencer": "0055" } },
    })
}

fn records(records: &[Value]) -> Value {
    json!({ "Records": records })
}

/// What an event becomes: bodies of `thumbnail_wanted`, with their sizes.
fn sent(event: &Value) -> Vec<(Value, u64)> {
    let cx = context("s3:ObjectCreated:CompleteMultipartUpload", event).build();
    assert_eq!(test::run(make_thumbnails, &cx), Ok(Outcome::done()), "{event}");
    let sent = cx.recorded().sent().into_iter();
    sent.map(|message| {
        assert_eq!((&*message.queue, &*message.kind), ("", "thumbnail_wanted"));
        let body: Value = serde_json::from_slice(&message.body).expect("JSON");
        let size = body["size"].as_u64().expect("a size");
        (body, size)
    })
    .collect()
}

fn context(kind: &str, body: &Value) -> Builder {
    Context::test().kind(kind).json(body).manifest(include_str!("../plugin.toml"))
}

fn png() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(64, 32).write_to(&mut bytes, image::ImageFormat::Png).expect("a picture");
    bytes.into_inner()
}
