use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// How far the weight of many polls may be from what the kernel says of them.
const TOLERANCE: f64 = 0.1;

fn compute(cpu: Duration) {
    let began = clock::thread_cpu();
    while clock::thread_cpu().saturating_sub(began) < cpu {}
}

/// What polls weighed, and what they had.
#[derive(Default)]
struct Sum {
    weighed: Duration,
    had: Duration,
}

impl Sum {
    fn poll(&mut self, cpu: Duration) {
        let (had, weighed) = weighed(|| {
            let began = clock::thread_cpu();
            compute(cpu);
            clock::thread_cpu().saturating_sub(began)
        });
        self.weighed += weighed;
        self.had += had;
    }

    fn check(&self, what: &str) {
        let ratio = self.weighed.as_secs_f64() / self.had.as_secs_f64();
        assert!((ratio - 1.0).abs() < TOLERANCE, "{what}: {:?} of {:?}", self.weighed, self.had);
    }
}

/// Does it on a machine whose cores have twice as much to do as they can.
fn under_load<T>(work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 * std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let done = work();
        stop.store(true, Ordering::Relaxed);
        done
    })
}

#[test]
fn what_other_threads_take_is_not_counted() {
    let (mut alone, mut light, mut moderate) = (Sum::default(), Sum::default(), Sum::default());
    let wall = under_load(|| {
        let began = clock::now();
        for _ in 0..150 {
            alone.poll(Duration::from_micros(300));
            // A receive: its runs, and the host's work between them.
            together(|| {
                for _ in 0..10 {
                    compute(Duration::from_micros(20));
                    light.poll(Duration::from_micros(40));
                    moderate.poll(Duration::from_micros(150));
                }
            });
        }
        began.elapsed()
    });
    let had = alone.had + light.had + moderate.had;
    assert!(wall > had * 3 / 2, "the test is in vain: nobody was displaced in {wall:?}");
    alone.check("a poll by itself");
    light.check("polls of a receive");
    moderate.check("longer polls of a receive");
}

#[test]
fn a_sleep_before_a_poll_is_not_taken_from_it() {
    let mut sum = Sum::default();
    for _ in 0..50 {
        together(|| sum.poll(Duration::from_micros(100)));
        std::thread::sleep(Duration::from_micros(100));
    }
    sum.check("polls with sleeps between");
}

#[test]
fn a_poll_that_panics_ends_what_is_shared() {
    let panics = std::panic::catch_unwind(|| together(|| weighed(|| panic!("in a handler"))));
    assert!(panics.is_err());
    assert!(matches!(SHARED.get(), Shared::No));
}
