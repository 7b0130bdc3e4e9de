//! make-thumbnails on events of S3, against moto's: the host opens the event, and signs what the
//! plugin asks of S3.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use wasq::config::{Config, Envelope, PluginConfig, SignConfig};

use crate::cli::binary::client;
use crate::signing::{Moto, UNCHECKED_CALLS};
use crate::support::{Plugin, Rig, Setup};

const HANDLER: &str = "make-thumbnails";
/// moto's bucket, with the images and their thumbnails.
const BUCKET: &str = "acme";
const IMAGE: (u32, u32) = (200, 100);
const SIZES: &str = "64, 16";

/// A host with the plugin, as an operator lets it work in the bucket.
async fn rig(moto: &Moto, role: &str) -> Rig {
    let setup = Setup::new().plugin(Plugin::shop(HANDLER)).queue("jobs", |queue| queue.envelope = Envelope::Auto);
    let mut rig = setup.config(|config| config.grant_all = false).without_host().await;
    let s3 = moto.url("s3", "");
    let requests = Some(vec![format!("GET /{BUCKET}/photos/*"), format!("PUT /{BUCKET}/thumbs/*")]);
    let sign =
        SignConfig { service: Some("s3".into()), role: Some(moto.role(role)), requests, ..SignConfig::default() };
    let variables = [("s3_url", s3.clone()), ("storage_url", thumbnails(moto)), ("sizes", SIZES.into())];
    let plugin = PluginConfig {
        queues: Some(vec!["self".to_owned()]),
        allowed_outbound_hosts: Some(vec![s3.clone()]),
        variables: variables.map(|(name, value)| (name.to_owned(), value)).into(),
        sign: [(s3.clone(), sign)].into(),
        ..PluginConfig::default()
    };
    let config: &mut Config = &mut rig.config;
    config.secrets_aws = Some(moto.aws());
    config.egress.open_hosts.push(s3.trim_start_matches("http://").to_owned());
    config.plugins.insert(HANDLER.into(), plugin);
    rig.start_host().await;
    rig
}

fn thumbnails(moto: &Moto) -> String {
    moto.url("s3", &format!("/{BUCKET}/thumbs"))
}

async fn objects(moto: &Moto, arguments: &[&str]) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/clients/s3_objects.py");
    let endpoint = moto.url("s3", "");
    let ran = client("python", [&[script, &endpoint], arguments].concat()).run().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.json()
}

/// Puts an image under each key. The answer is the event.
async fn put(moto: &Moto, unchecked_calls: &str, keys: &[&str]) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("image.png");
    image::RgbImage::from_pixel(IMAGE.0, IMAGE.1, image::Rgb([200, 30, 30])).save(&file).unwrap();
    objects(moto, &[&["put", unchecked_calls, BUCKET, file.to_str().unwrap()], keys].concat()).await
}

/// The sizes of the thumbnails in the bucket, by their image's id without its hash.
async fn thumbnails_in_bucket(moto: &Moto) -> BTreeMap<String, Vec<(u32, u32)>> {
    let found = objects(moto, &["list", BUCKET, "thumbs/"]).await;
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (key, object) in found.as_object().unwrap() {
        let [_, id, file] = key.split('/').collect::<Vec<_>>()[..] else { panic!("{key}") };
        let bytes = STANDARD.decode(object["body"].as_str().unwrap()).unwrap();
        let image = image::load_from_memory_with_format(&bytes, image::ImageFormat::Jpeg).expect("a JPEG");
        assert_eq!((&object["type"], file), (&"image/jpeg".into(), &*format!("{}.jpg", image.width())), "{key}");
        let (name, _) = id.rsplit_once('-').unwrap_or_default();
        all.entry(name.to_owned()).or_default().push((image.width(), image.height()));
    }
    all
}

/// What is there of images with these names.
fn of_each<const N: usize>(names: [&str; N]) -> BTreeMap<String, Vec<(u32, u32)>> {
    names.map(|name| (name.to_owned(), vec![(16, 8), (64, 32)])).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn images_in_s3_get_their_thumbnails_beside_them_by_signed_requests() {
    let moto = Moto::start(UNCHECKED_CALLS).await;
    let event = put(&moto, UNCHECKED_CALLS, &["photos/shoe.png", "photos/coats/coat.png"]).await;
    let rig = rig(&moto, "handler").await;
    rig.message(&event).untyped().send().await;
    rig.emptied().await;
    assert_eq!((rig.exits("done"), rig.counts("jobs-dlq").await), (5, (0, 0, 0)), "the event, and each thumbnail");
    assert_eq!(thumbnails_in_bucket(&moto).await, of_each(["coat.png", "shoe.png"]));

    // The same event again, as S3 may send it; and one of what the plugin itself has put.
    rig.message(&event).untyped().send().await;
    let mut own = event;
    own["Records"].as_array_mut().unwrap().truncate(1);
    own["Records"][0]["s3"]["object"]["key"] = "thumbs/shoe.png-0/64.jpg".into();
    rig.message(&own).untyped().send().await;
    rig.emptied().await;
    assert_eq!((rig.exits("done"), rig.duplicates()), (6, 1));
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    rig.end().await;
}

/// Of a key that is encoded moto computes another signature than S3: here it checks none.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_found_whatever_is_in_it() {
    const NONE_CHECKED: &str = "inf";
    let moto = Moto::start(NONE_CHECKED).await;
    let keys = ["photos/red shoe.png", "photos/2+2=4 & 100%.png", "photos/Gr\u{fc}\u{df}e/\u{5c71}.png"];
    let event = put(&moto, NONE_CHECKED, &keys).await;
    let rig = rig(&moto, "handler").await;
    rig.message(&event).untyped().send().await;
    rig.emptied().await;
    assert_eq!((rig.exits("done"), rig.counts("jobs-dlq").await), (7, (0, 0, 0)));
    assert_eq!(thumbnails_in_bucket(&moto).await, of_each(["2-2-4---100-.png", "png", "red-shoe.png"]));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_s3_does_not_give_is_a_dead_letter_with_the_reason() {
    let moto = Moto::start(UNCHECKED_CALLS).await;
    let (gone, refused) = ("status 404", "status 403: it is not there, or may not be read");
    for (role, key, expect) in [("handler", "photos/gone.png", gone), ("other", "photos/shoe.png", refused)] {
        let mut event = put(&moto, UNCHECKED_CALLS, &["photos/shoe.png"]).await;
        event["Records"][0]["s3"]["object"]["key"] = key.into();
        let rig = rig(&moto, role).await;
        rig.message(&event).untyped().send().await;
        for dead in rig.letters(2).await {
            assert!(dead.letter.reason.ends_with(expect), "{}", dead.letter.reason);
            assert_eq!(dead.letter.class, "reject");
        }
        rig.end().await;
    }
    assert_eq!(thumbnails_in_bucket(&moto).await, of_each([]));
}
