use super::*;

const OWN: &str = "wasq-heavy";

fn thread() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

fn compute(cpu: Duration) {
    let began = clock::thread_cpu();
    while clock::thread_cpu().saturating_sub(began) < cpu {}
}

#[tokio::test]
async fn a_run_that_computes_goes_on_in_a_thread_of_its_own_and_the_next_begins_there() {
    let cpu_class = CpuClass::default();
    let first = async {
        let before = thread();
        compute(OFFLOAD_AFTER);
        tokio::task::yield_now().await;
        (before, thread())
    };
    let line = Arc::new(Line::default());
    let ((before, after), had) = drive(first, &cpu_class, line.clone(), |_| false).await;
    assert!(before != OWN && after == OWN, "{before}, {after}");
    assert!(
        (OFFLOAD_AFTER..10 * OFFLOAD_AFTER).contains(&had),
        "what it had in both threads, and not the wait: {had:?}"
    );
    assert_eq!(Duration::from_nanos(line.cpu_ns.get()), had, "it is counted poll by poll");
    assert_eq!(drive(async { thread() }, &cpu_class, Arc::default(), |_| false).await.0, OWN);
    // That one was light.
    assert_ne!(drive(async { thread() }, &cpu_class, Arc::default(), |_| false).await.0, OWN);
}

#[tokio::test]
async fn a_run_that_is_dropped_ends_in_its_thread() {
    let (held, cpu_class) = (Arc::new(()), CpuClass::default());
    cpu_class.set(Class::Heavy);
    let endless = {
        let held = held.clone();
        async move {
            loop {
                compute(OFFLOAD_AFTER);
                tokio::task::yield_now().await;
                drop(held.clone());
            }
        }
    };
    let dropped =
        tokio::time::timeout(Duration::from_millis(20), drive::<()>(endless, &cpu_class, Arc::default(), |()| false))
            .await;
    assert!(dropped.is_err());
    while Arc::strong_count(&held) > 1 {
        tokio::task::yield_now().await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn after_a_run_that_computed_until_its_timeout_the_next_goes_alone_and_is_not_idle_to_the_kernel() {
    let cpu_class = CpuClass::default();
    // So much that it is a hundredth of its time even where its threads wait long for a
    // processor.
    let computes = async {
        for _ in 0..2 {
            (0..ENDLESS_SHARE / 4).for_each(|_| compute(OFFLOAD_AFTER));
            tokio::task::yield_now().await;
        }
    };
    assert!(cpu_class.alone().is_none());
    drive(computes, &cpu_class, Arc::default(), |()| true).await;
    assert_eq!(cpu_class.alone().map(|alone| alone.available_permits()), Some(1));
    // The scheduling policy is the 41st field; the state is the third, and the first after the
    // name.
    let looks = async {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("Linux tells it");
        let after_name = stat.rsplit(')').next().expect("there is a name");
        let policy = after_name.split_whitespace().nth(41 - 3).expect("it is there").to_owned();
        (thread(), rustix::process::getpriority_process(None).expect("every thread has one"), policy)
    };
    let looked = drive(looks, &cpu_class, Arc::default(), |_| false).await.0;
    assert_eq!(looked, (OWN.to_owned(), NICENESS, "0".to_owned()), "0 is SCHED_OTHER, 5 SCHED_IDLE");
    assert!(cpu_class.alone().is_none(), "the one before was light");
}

#[test]
fn what_computed_until_its_timeout_is_endless_and_what_had_hardly_a_processor_is_not() {
    let began = clock::now().checked_sub(Duration::from_secs(30)).expect("the machine is up that long");
    let check = |before, is_heavy, had, timed_out: fn(&()) -> bool, expect| {
        let had = Duration::from_millis(had);
        let meter = CpuMeter { is_heavy, had, began, ..CpuMeter::new(before, Arc::default(), timed_out) };
        assert_eq!(meter.class(&()), expect, "{had:?} of 30 s, heavy {is_heavy}, after {before:?}");
    };
    check(Class::Light, true, 15_000, |()| true, Class::Endless);
    check(Class::Endless, false, 15_000, |()| true, Class::Endless);
    check(Class::Light, false, 15_000, |()| true, Class::Light);
    check(Class::Endless, true, 200, |()| true, Class::Heavy);
    check(Class::Endless, false, 200, |()| true, Class::Light);
    check(Class::Heavy, true, 15_000, |()| false, Class::Heavy);
}

#[tokio::test]
async fn a_run_that_takes_a_while_gives_the_next_a_task_of_its_own_until_one_is_quick() {
    let cpu_class = CpuClass::default();
    let task = async || drive(async { tokio::task::try_id() }, &cpu_class, Arc::default(), |_| false).await.0;
    let here = task().await;
    drive(async { compute(OWN_TASK_AFTER) }, &cpu_class, Arc::default(), |()| false).await;
    assert_ne!(task().await, here);
    assert_eq!(task().await, here);
}
