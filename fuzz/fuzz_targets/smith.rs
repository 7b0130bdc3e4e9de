//! Valid components, made by wasm-smith of the fuzzer's bytes.
#![no_main]

use arbitrary::Unstructured;

#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(component) = wasm_smith::Component::new(wasm_smith::Config::default(), &mut Unstructured::new(data)) {
        targets::component(&component.to_bytes());
    }
});
