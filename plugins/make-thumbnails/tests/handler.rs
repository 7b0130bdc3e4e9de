//! The handler against a played host.

use std::io::Cursor;

use make_thumbnails::make_thumbnails;
use serde_json::{Value, json};
use wasq_sdk::test::{self, Builder, Reply};
use wasq_sdk::{Context, Failure, Outcome};

const SOURCE: &str = "https://images.example/cat.png";
const TARGET: &str = "https://storage.example/thumbnails/cat-1/64.jpg";

#[test]
fn an_upload_becomes_a_message_for_each_size_always_in_the_same_order() {
    for sizes in [json!([64, 256]), json!([256, 64, 64])] {
        let cx = context("image_uploaded", &json!({"image_id": "cat-1", "url": SOURCE, "sizes": sizes})).build();
        assert_eq!(test::run(make_thumbnails, &cx), Ok(Outcome::done()));
        let sent: Vec<_> = cx.recorded().sent().into_iter().map(|m| (m.queue, m.kind, json_of(&m.body))).collect();
        let wanted = |size| (String::new(), "thumbnail_wanted".to_owned(), wanted("cat-1", size));
        assert_eq!(sent, [wanted(64), wanted(256)]);
    }
}

#[test]
fn a_wanted_thumbnail_is_made_of_the_image_and_stored() {
    let cx = context("thumbnail_wanted", &wanted("cat-1", 64))
        .reply("GET", SOURCE, Reply::status(200).body(png(200, 100)))
        .reply("PUT", TARGET, Reply::status(201))
        .build();
    assert_eq!(test::run(make_thumbnails, &cx), Ok(Outcome::done()));
    let put = &cx.recorded().requests()[1];
    assert_eq!((put.method.as_str(), put.url.as_str()), ("PUT", TARGET));
    assert_eq!(put.header("content-type"), Some("image/jpeg"));
    assert_eq!(put.header("idempotency-key"), Some(cx.idempotency_key()));
    let small = image::load_from_memory_with_format(&put.body, image::ImageFormat::Jpeg).expect("a JPEG");
    assert_eq!((small.width(), small.height()), (64, 32));
}

#[test]
fn what_cannot_become_a_thumbnail_is_rejected() {
    let get = |reply| context("thumbnail_wanted", &wanted("cat-1", 64)).reply("GET", SOURCE, reply);
    check_rejected(get(Reply::status(200).body("<html>")), "image cat-1: the image is not a PNG or JPEG");
    check_rejected(get(Reply::status(404)), "image cat-1 was not given: status 404");
    check_rejected(context("thumbnail_wanted", &wanted("../cat", 64)), "image_id must be");
    check_rejected(context("thumbnail_wanted", &wanted("cat-1", 0)), "a size must be");
    check_rejected(context("thumbnail_wanted", &json!({"image_id": "cat-1"})), "missing field `url`");
    let upload =
        |url, sizes: Value| context("image_uploaded", &json!({"image_id": "cat-1", "url": url, "sizes": sizes}));
    check_rejected(upload(SOURCE, json!([])), "sizes has 0 sizes");
    check_rejected(upload(SOURCE, json!([1, 2, 3, 4, 5, 6, 7, 8, 9])), "sizes has 9 sizes");
    check_rejected(upload(SOURCE, json!([64, 100_000])), "a size must be");
    check_rejected(upload("file:///etc/passwd", json!([64])), "url must begin with");
    check_rejected(context("image_deleted", &json!({})), "the type image_deleted is not");
}

#[test]
fn a_source_that_may_come_back_is_tried_again() {
    let failed = |status| {
        let cx = context("thumbnail_wanted", &wanted("cat-1", 64)).reply("GET", SOURCE, Reply::status(status)).build();
        test::run(make_thumbnails, &cx).expect_err("a failure")
    };
    assert!(matches!(failed(503), Failure::Unavailable { dependency, .. } if dependency == "images.example"));
    assert!(matches!(failed(429), Failure::Unavailable { .. }));
    assert!(matches!(failed(500), Failure::Retry { .. }));
    assert!(matches!(failed(408), Failure::Retry { .. }));
}

fn check_rejected(context: Builder, expect: &str) {
    let cx = context.build();
    match test::run(make_thumbnails, &cx) {
        Err(Failure::Reject { reason }) => assert!(reason.contains(expect), "{reason:?} does not say {expect:?}"),
        other => panic!("expected a reject with {expect:?}, got {other:?}"),
    }
    assert!(cx.recorded().sent().is_empty() && cx.recorded().requests().iter().all(|r| r.method == "GET"));
}

fn context(kind: &str, body: &Value) -> Builder {
    Context::test().kind(kind).json(body).manifest(include_str!("../plugin.toml"))
}

fn wanted(image_id: &str, size: u32) -> Value {
    json!({"image_id": image_id, "url": SOURCE, "size": size})
}

fn json_of(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("JSON")
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image::RgbImage::new(width, height).write_to(&mut bytes, image::ImageFormat::Png).expect("a picture");
    bytes.into_inner()
}
