//! How long each step of a message's way takes: `cargo bench -p wasq-tests`. What it allocates
//! there, `wasq-tests guard` counts.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wasq_core::clock;
use wasq_tests::steps::{BODY_BYTES, HANDLER, Step, Steps};

/// Handlers by the size of their component. All but the bench's own refuse the order that they get,
/// so that what is timed is making, calling and taking down an instance.
const BY_SIZE: [&str; 4] = [HANDLER, "send-receipt", "make-receipt", "make-thumbnails"];
const BODIES_BYTES: [usize; 3] = [100, 4_000, 256_000];
const THREADS: [usize; 2] = [1, 2];

/// Each step, with the bench's handler and an order of 500 bytes.
fn steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step");
    let mut steps = Steps::new(&wasq_tests::plugin(HANDLER), BODY_BYTES, None);
    for step in Step::value_variants() {
        group.bench_function(step.name(), |bencher| bencher.iter_custom(|times| timed(&mut steps, *step, times)));
    }
}

/// An instance made, called and taken down.
fn by_guest_size(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("run by guest size");
    for name in BY_SIZE {
        let component = wasq_tests::plugin(name);
        let kb = component.metadata().expect("the handler was built").len() / 1_000;
        let mut steps = Steps::new(&component, BODY_BYTES, None);
        let id = BenchmarkId::new(name, format!("{kb} KB"));
        group.bench_function(id, |bencher| bencher.iter_custom(|times| timed(&mut steps, Step::Run, times)));
    }
}

fn by_body(criterion: &mut Criterion) {
    for step in [Step::Decode, Step::Key, Step::Run] {
        let mut group = criterion.benchmark_group(format!("{} by body", step.name()));
        for bytes in BODIES_BYTES {
            let mut steps = Steps::new(&wasq_tests::plugin(HANDLER), bytes, None);
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(bytes.to_string(), |bencher| {
                bencher.iter_custom(|times| timed(&mut steps, step, times));
            });
        }
    }
}

/// Runs a second, of threads that share one sandbox: what one waits for the other.
fn by_threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("run by threads");
    let first = Steps::new(&wasq_tests::plugin(HANDLER), BODY_BYTES, None);
    for threads in THREADS {
        let mut all: Vec<_> = (0..threads).map(|_| first.beside()).collect();
        group.throughput(Throughput::Elements(threads as u64));
        group.bench_function(threads.to_string(), |bencher| {
            bencher.iter_custom(|times| {
                let began = clock::now();
                thread::scope(|scope| {
                    all.iter_mut().for_each(|steps| drop(scope.spawn(move || steps.perform(Step::Run, times))));
                });
                began.elapsed()
            });
        });
    }
}

fn timed(steps: &mut Steps, step: Step, times: u64) -> Duration {
    let began = clock::now();
    black_box(&mut *steps).perform(step, times);
    began.elapsed()
}

criterion_group!(benches, steps, by_guest_size, by_body, by_threads);
criterion_main!(benches);
