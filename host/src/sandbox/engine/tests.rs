use wasq_core::clock;

use super::*;

#[test]
fn instances_that_the_kernel_has_no_maps_for_are_refused_with_the_number_that_fits() {
    assert_eq!(fits(512, 65_530), Ok(()));
    assert_eq!(fits(6_836, 65_530), Ok(()));
    let refused = fits(6_837, 65_530).expect_err("one too many");
    assert!(refused.contains("vm.max_map_count=65533") && refused.ends_with("max_instances to 6836"), "{refused}");
    assert!(fits(1, 0).is_err());
}

/// `(module (func (export "loop") (loop (br 0))))`
const ENDLESS: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x08\x01\x04loop\0\0\x0a\x09\x01\x07\0\x03\x40\x0c\0\x0b\x0b";

fn until(what: &str, holds: impl Fn() -> bool) {
    let began = clock::now();
    while !holds() {
        assert!(clock::now() - began < Duration::from_secs(60), "{what}: waited in vain");
        std::thread::yield_now();
    }
}

#[test]
fn an_idle_ticker_sleeps_and_ticks_again_for_the_first_guest() {
    let engine = engine(&Limits { max_instances: 1, ..Limits::default() }).expect("an engine can be made");
    let ticker = Ticker::start(&engine, EPOCH_TICK);
    let sleeps = || ticker.shared.sleeps.load(Ordering::SeqCst);
    until("it sleeps", sleeps);
    let running = ticker.running();
    until("it ticks", || !sleeps());
    // And goes on as long as the guest runs.
    let mut store = wasmtime::Store::new(&engine, ());
    store.set_epoch_deadline(3);
    let module = wasmtime::Module::new(&engine, ENDLESS).expect("it is valid");
    let instance = wasmtime::Instance::new(&mut store, &module, &[]).expect("it has no imports");
    let endless = instance.get_typed_func::<(), ()>(&mut store, "loop").expect("it is there");
    let trap = endless.call(&mut store, ()).expect_err("it has no end");
    assert_eq!(trap.downcast_ref::<wasmtime::Trap>(), Some(&wasmtime::Trap::Interrupt));
    drop(running);
    until("it sleeps again", sleeps);
}
