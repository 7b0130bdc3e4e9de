//! The fuzz targets, shortly: on the saved corpus, and on as many inputs made of it as cost little.

use wasq_tests::fuzz::{Mutator, Target};

/// As many in every run, whatever the machine.
fn check(target: Target, inputs: usize) {
    let corpus = target.corpus().unwrap();
    let mut mutator = Mutator::new(corpus.clone(), 1);
    let made = std::iter::repeat_with(move || mutator.input()).take(inputs);
    for input in corpus.into_iter().chain(made) {
        if let Err(crash) = target.check(input) {
            panic!("{target:?} panics on {:?}", String::from_utf8_lossy(&crash.input));
        }
    }
}

#[test]
fn any_body_is_decoded_or_refused() {
    check(Target::Decode, 5_000);
}

#[test]
fn any_manifest_is_read_or_refused() {
    check(Target::Manifest, 2_000);
}

#[test]
fn any_url_is_matched_or_refused() {
    check(Target::Egress, 10_000);
}

#[test]
fn any_file_is_a_component_or_refused() {
    check(Target::Component, 300);
}
