//! Profiles of plugins: on a running host through its admin port, and by `wasq invoke --profile`.

mod sampling;

use std::net::SocketAddr;

use axum::Router;
use axum::routing::any;
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use wasq::config::PluginConfig;

use crate::cli::binary::wasq;
use crate::support::{Plugin, Rig, Setup, get, until, wat};

const THUMBNAILS: &str = "make-thumbnails";
/// The function that makes a PNG's pixels of its bytes.
const DECODING: &str = "fdeflate::decompress::Decompressor::read";

/// A handler that computes until its timeout, in a function of this name.
fn spin() -> Vec<u8> {
    wat::handler("(func $spin_for_ever (loop (br 0)))", "(call $spin_for_ever) (i32.const 1024)")
}

pub fn spinning(timeout: &str) -> Plugin {
    Plugin::component("spin", spin()).manifest(&format!("timeout = '{timeout}'\n[retry]\nmax_attempts = 1\n"))
}

fn admin(rig: &Rig) -> String {
    rig.host().admin_addr().to_string()
}

async fn until_recorded(rig: &Rig, plugin: &str) {
    let path = format!("/profiles/{plugin}");
    until("a profile is recorded", || async {
        let (status, body) = get(rig.host().admin_addr(), &path).await;
        status == 200 && body.contains("remaining_ms")
    })
    .await;
}

/// A server that gives a large PNG, and takes its thumbnails.
async fn images() -> SocketAddr {
    let noise = |x: u32, y: u32| (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).to_be_bytes()[1];
    let image = RgbImage::from_fn(1_200, 1_200, |x, y| Rgb([noise(x, y), (x / 8) as u8, (y / 8) as u8]));
    let mut png = std::io::Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).unwrap();
    let png = png.into_inner();
    let router = Router::new()
        .route("/image.png", any(move || async move { png.clone() }))
        .route("/thumbnails/{*name}", any(|| async { "stored" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    addr
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flame_graph_of_make_thumbnails_names_its_decoding_function() {
    let images = images().await;
    let setup = Setup::new().plugin(Plugin::shop(THUMBNAILS)).config(move |config| {
        config.egress.open_hosts.push(images.to_string());
        let plugin = PluginConfig {
            allowed_outbound_hosts: Some(vec![format!("http://{images}")]),
            variables: [("storage_url".to_owned(), format!("http://{images}/thumbnails"))].into(),
            ..PluginConfig::default()
        };
        config.plugins.insert(THUMBNAILS.into(), plugin);
    });
    let rig = setup.start().await;
    let dir = tempfile::tempdir().unwrap();
    let svg = dir.path().join("thumbs.svg");
    let command = ["profile", THUMBNAILS, "--for", "3s", "--json", "--admin"].map(str::to_owned);
    let command = command.into_iter().chain([admin(&rig), "--out".into(), svg.to_str().unwrap().into()]);
    let profile = tokio::spawn(wasq(command).check(0, &[]));
    until_recorded(&rig, THUMBNAILS).await;
    let mut sent = 0;
    while !profile.is_finished() {
        let wanted =
            json!({ "image_id": format!("i{sent}"), "url": format!("http://{images}/image.png"), "size": 100 });
        rig.message(&wanted).kind("thumbnail_wanted").send().await;
        sent += 1;
        rig.until_exits("done", sent).await;
    }
    let ran = profile.await.unwrap().json();
    let number = |name: &str| ran["summary"][name].as_f64().unwrap();
    assert!(number("samples") >= 10.0 && number("runs") >= 1.0 && number("interval_ms") >= 9.0, "{ran}");
    assert!(number("sampled_ms") <= number("elapsed_ms") * 1.05, "one run at a time: {ran}");

    let picture = std::fs::read_to_string(&svg).unwrap();
    for name in [DECODING, "make_thumbnails::thumbnail"] {
        assert!(picture.contains(name), "{name} is not in {picture}");
    }
    // The same profile for the Firefox profiler.
    let (status, json) = get(rig.host().admin_addr(), &format!("/profiles/{THUMBNAILS}/firefox")).await;
    let profile: Value = serde_json::from_str(&json).unwrap();
    assert!(status == 200 && json.contains(DECODING), "{json}");
    assert_eq!(profile["threads"][0]["samples"]["length"], ran["summary"]["samples"]);
    rig.end().await;
}

/// With the code as the compiling process gives it, and as the cache has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_runs_already_is_seen_and_has_its_names_from_the_cache_too() {
    let cache = tempfile::tempdir().unwrap();
    let path = cache.path().join("compiled");
    let setup = Setup::new().plugin(spinning("5s")).config(move |config| config.compile_cache = path);
    let mut rig = setup.without_host().await;
    for start in 1..=2 {
        rig.start_host().await;
        rig.send(json!(start)).await;
        until("it runs", || async { rig.admin("/plugins").await["plugins"][0]["busy"] == 1 }).await;
        let out = cache.path().join("spin.svg");
        let command = ["profile", "spin", "--for", "500ms", "--admin", &admin(&rig), "--out", out.to_str().unwrap()];
        wasq(command).check(0, &["spin.svg: ", "samples in"]).await;
        let picture = std::fs::read_to_string(out).unwrap();
        assert!(picture.contains("<title>spin_for_ever: 100.0 %"), "{picture}");
        rig.letter().await;
        rig.stop_host().await;
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_profiled_is_said() {
    let rig = Setup::probe().start().await;
    let dir = tempfile::tempdir().unwrap();
    let admin = admin(&rig);
    let profile = |more: &[&str]| wasq(["profile"].iter().chain(more).chain(&["--admin", admin.as_str()])).dir(&dir);
    profile(&["prob", "--for", "1s"]).check(1, &["404", "no plugin `prob`; it has probe"]).await;
    profile(&["probe", "--for", "11m"]).check(1, &["400", "up to 600s"]).await;
    profile(&["probe", "--for", "0s"]).check(1, &["400", "up to 600s"]).await;
    profile(&["probe", "--out", "probe.png"]).check(1, &["probe.png", ".svg", ".json"]).await;
    profile(&["probe", "--for", "100ms"]).check(1, &["plugin `probe`: nothing ran in", "--for"]).await;
    let (status, body) = get(rig.host().admin_addr(), "/profiles/probe/svg").await;
    assert!(status == 404 && body.contains("nothing ran in"), "{status} {body}");
    wasq(["profile", "probe", "--admin", "127.0.0.1:1"]).check(1, &["no host answers at 127.0.0.1:1"]).await;

    let first = profile(&["probe", "--for", "2s"]);
    let first = tokio::spawn(first.check(1, &["nothing ran in"]));
    until_recorded(&rig, "probe").await;
    profile(&["probe", "--for", "1s"]).check(1, &["409", "being recorded already"]).await;
    first.await.unwrap();
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0, "no empty picture is written");
    rig.end().await;
}

#[tokio::test]
async fn one_message_is_profiled_by_invoke() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("spin.wasm"), spin()).unwrap();
    std::fs::write(dir.path().join("spin.toml"), "name = 'spin'\ntypes = ['spin']\ntimeout = '200ms'\n").unwrap();
    let invoke = |more: &[&str]| wasq(["invoke", "spin.wasm", "--body", "{}"].iter().chain(more)).dir(&dir);
    let named = |file: &str| std::fs::read_to_string(dir.path().join(file)).unwrap().contains("spin_for_ever");
    invoke(&["--profile"]).check(1, &["timeout", "profile-spin.svg: ", "samples in"]).await;
    invoke(&["--profile", "spin.json"]).check(1, &["timeout", "spin.json: "]).await;
    assert!(named("profile-spin.svg") && named("spin.json"));
    invoke(&["--profile", "spin.png"]).check(1, &["spin.png", ".svg"]).await;
}
