use std::time::Duration;

use wasq_core::message::UnixMs;

use super::*;
use crate::sandbox::{Call, Sample, Stacks};

/// `handle` calls `decode` for three quarters of the time, and `<b>&` for the rest.
fn profile() -> Profile {
    let call = |caller, function| Call { caller, function };
    let sample = |call, n: u64| Sample { at: Duration::from_millis(10 * n), call, weight: Duration::from_millis(10) };
    let stacks = Stacks {
        functions: ["handle", "decode", "<b>&"].map(str::to_owned).to_vec(),
        calls: vec![call(None, 0), call(Some(0), 1), call(Some(0), 2)],
        samples: vec![sample(1, 1), sample(1, 2), sample(2, 3), sample(1, 4)],
        is_full: false,
    };
    Profile {
        plugin: "thumbs".into(),
        began_at: UnixMs(1_700_000_000_000),
        elapsed: Duration::from_secs(2),
        interval: Duration::from_millis(10),
        runs: 7,
        cpu: Duration::from_millis(42),
        stacks,
    }
}

#[test]
fn a_bar_is_as_wide_as_its_share_and_stands_on_its_caller() {
    let svg = String::from_utf8(Format::Svg.write(&profile())).unwrap();
    let bar = |title: &str| -> (f64, f64, u32) {
        let group = svg.split("<g>").find(|group| group.contains(&format!("<title>{title}</title>")));
        let group = group.unwrap_or_else(|| panic!("no {title} in {svg}"));
        let value = |name: &str| group.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap();
        (value("x").parse().unwrap(), value("width").parse().unwrap(), value("y").parse().unwrap())
    };
    let (whole, handle) = (bar("thumbs: 100.0 %, 40 ms"), bar("handle: 100.0 %, 40 ms"));
    let (other, decode) = (bar("&lt;b&gt;&amp;: 25.0 %, 10 ms"), bar("decode: 75.0 %, 30 ms"));
    assert_eq!((whole.0, whole.1, handle.0, handle.1), (0.0, 1200.0, 0.0, 1200.0));
    assert_eq!((other.0, other.1), (0.0, 300.0), "in the order of names");
    assert_eq!((decode.0, decode.1), (300.0, 900.0));
    assert!(whole.2 > handle.2 && handle.2 > decode.2 && decode.2 == other.2, "the whole is at the bottom");
    for no in ["<script", "style", "<b>"] {
        assert!(!svg.contains(no), "{no} in {svg}");
    }
}

#[test]
fn the_firefox_profiler_gets_each_sample_with_its_stack() {
    let json: serde_json::Value = serde_json::from_slice(&Format::Firefox.write(&profile())).unwrap();
    assert_eq!((&json["meta"]["interval"], &json["meta"]["startTime"]), (&10.0.into(), &1_700_000_000_000.0.into()));
    let thread = &json["threads"][0];
    assert_eq!((&thread["name"], thread["samples"]["length"].as_u64()), (&"thumbs".into(), Some(4)));
    let text = thread.to_string() + &json["shared"].to_string();
    for name in ["handle", "decode", "<b>&"] {
        assert!(text.contains(&format!("{name:?}")), "{name}: {text}");
    }
}

#[test]
fn what_was_measured_is_said_in_a_sentence() {
    let check = |profile: &Profile, expect| assert_eq!(ProfileSummary::of(profile).to_string(), expect);
    let mut profile = profile();
    check(
        &profile,
        "4 samples in 2.00 s, one every 10 ms of computing, for 40 ms of it; 7 runs ended, with 42 ms of processor time",
    );
    profile.stacks = Stacks { is_full: true, ..Stacks::default() };
    check(
        &profile,
        "no sample in 2.00 s: one is taken every 10 ms of computing, and the 7 runs computed for 42 ms; it was full before its end",
    );
    (profile.runs, profile.stacks.is_full) = (0, false);
    check(&profile, "nothing ran in 2.00 s");
}

#[test]
fn a_format_is_known_by_the_ending_of_a_file() {
    let of = |path: &str| Format::of(Path::new(path));
    assert_eq!((of("a/b.svg"), of("b.json")), (Some(Format::Svg), Some(Format::Firefox)));
    assert_eq!((of("svg"), of("b.png")), (None, None));
    for format in [Format::Svg, Format::Firefox] {
        assert_eq!(of(&format.file_name("thumbs")), Some(format));
    }
}
