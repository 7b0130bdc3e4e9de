use std::collections::BinaryHeap;

use super::*;

/// A queue with a backlog before a server that does so many calls at once; others wait in line.
struct Model {
    limit: AutoLimit,
    now: Instant,
    /// Calls that the server does at once, and how long one takes.
    servers: Vec<Instant>,
    call: Duration,
    /// Runs by their end, each with its number, its start and its plugin.
    running: BinaryHeap<std::cmp::Reverse<(Instant, u64, Instant, &'static str)>>,
    /// The next run's plugin is that of its number modulo their count.
    plugins: &'static [(&'static str, u32)],
    done: usize,
    random: u64,
}

impl Model {
    fn new(servers: usize, call: Duration) -> Self {
        let now = wasq_core::clock::now();
        Self {
            limit: AutoLimit::new(2, 256, now),
            now,
            servers: vec![now; servers],
            call,
            running: BinaryHeap::new(),
            plugins: &[("a", 1)],
            done: 0,
            random: 7,
        }
    }

    /// From now on the server is another one.
    fn server(&mut self, servers: usize, call: Duration) {
        self.servers.resize(servers, self.now);
        self.call = call;
    }

    /// Between 0.5 and 1.5, so that no two calls take the same time.
    fn noise(&mut self) -> f64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        0.5 + (self.random >> 33) as f64 / f64::from(1_u32 << 31)
    }

    fn start_some(&mut self) {
        while self.running.len() < self.limit.limit() {
            let (plugin, weight) = self.plugins[self.done % self.plugins.len()];
            let number = self.limit.start(plugin, self.running.len() + 1, self.now);
            let takes = self.call.mul_f64(self.noise() * f64::from(weight));
            let free = self.servers.iter_mut().min().expect("there is one");
            let ends = (*free).max(self.now) + takes;
            *free = ends;
            self.running.push(std::cmp::Reverse((ends, number, self.now, plugin)));
        }
    }

    /// The limits after each run of this time.
    fn run(&mut self, time: Duration) -> Vec<usize> {
        let until = self.now + time;
        let mut limits = Vec::new();
        while self.now < until {
            self.start_some();
            let std::cmp::Reverse((ends, number, started, plugin)) = self.running.pop().expect("something runs");
            self.now = ends;
            self.limit.end(plugin, number, RunEnd::Took(ends - started), ends);
            self.done += 1;
            limits.push(self.limit.limit());
        }
        limits
    }
}

const CALL: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(120);

fn least_and_most(limits: &[usize]) -> (usize, usize) {
    (*limits.iter().min().expect("some ran"), *limits.iter().max().expect("some ran"))
}

#[test]
fn the_limit_becomes_what_the_server_can_do_and_a_little_more() {
    for servers in [4, 16, 64] {
        let mut model = Model::new(servers, CALL);
        model.run(LONG);
        let done = model.done;
        // Without the cohorts that learn what is usual, once a minute.
        let mut limits = model.run(LONG);
        limits.sort_unstable();
        let (low, high) = (limits[limits.len() / 20], limits[limits.len() * 19 / 20]);
        assert!(low >= servers && high <= servers * 3 + 2, "{servers} servers: {low} to {high}");
        let possible = LONG.as_secs_f64() / CALL.as_secs_f64() * servers as f64;
        let share = (model.done - done) as f64 / possible;
        assert!(share > 0.93, "{servers} servers: {share:.3} of what they can do");
    }
}

#[test]
fn a_server_that_can_do_less_lowers_it_and_one_that_can_do_more_again_brings_it_back() {
    let mut model = Model::new(32, CALL);
    let (_, high) = least_and_most(&model.run(LONG));
    assert!(high >= 32, "{high}");
    model.server(4, CALL);
    model.run(Duration::from_secs(30));
    let (_, most) = least_and_most(&model.run(Duration::from_secs(20)));
    assert!(most <= 16, "{most} in hand at a server that does 4 at once");
    model.server(32, CALL);
    model.run(Duration::from_secs(30));
    let (_, high) = least_and_most(&model.run(Duration::from_secs(5)));
    assert!(high >= 32, "{high}");
}

#[test]
fn calls_that_take_longer_however_few_there_are_need_more_in_hand_and_get_it() {
    let mut model = Model::new(100, CALL);
    model.run(LONG);
    model.server(100, CALL * 10);
    model.run(LONG * 2);
    let (_, high) = least_and_most(&model.run(LONG));
    assert!(high >= 60, "{high} where nothing stands in line");
}

#[test]
fn it_does_not_creep_up_with_the_line_that_it_makes() {
    for servers in [1, 2, 8] {
        let mut model = Model::new(servers, CALL);
        model.run(LONG * 30);
        let (_, most) = least_and_most(&model.run(LONG));
        assert!(most <= servers * 3 + 4, "{servers} servers: {most} in hand after an hour");
    }
}

#[test]
fn short_and_long_handlers_of_one_queue_are_each_compared_with_their_own() {
    let mut model = Model::new(200, CALL);
    model.plugins = &[("short", 1), ("long", 40), ("short", 1), ("short", 1)];
    model.run(LONG);
    let (_, high) = least_and_most(&model.run(LONG));
    assert!(high >= 150, "{high} where nothing stands in line");
}

#[test]
fn it_stays_within_its_bounds_and_grows_only_where_it_is_used() {
    let now = wasq_core::clock::now();
    let mut limit = AutoLimit::new(2, 20, now);
    assert_eq!(limit.limit(), 16);
    let mut at = now;
    let mut pass = |limit: &mut AutoLimit, in_use: usize, took: Duration, end: fn(Duration) -> RunEnd| {
        for _ in 0..40 {
            let run = limit.start("a", in_use, at);
            at += Duration::from_millis(50);
            limit.end("a", run, end(took), at);
        }
    };
    pass(&mut limit, 3, CALL, RunEnd::Took);
    assert_eq!(limit.limit(), 16, "little is in use");
    pass(&mut limit, 16, CALL, RunEnd::Took);
    assert_eq!(limit.limit(), 20, "it is the most");
    pass(&mut limit, 20, CALL, |_| RunEnd::Refused);
    assert!((16..20).contains(&limit.limit()), "{}: what refuses runs wants fewer", limit.limit());
    pass(&mut limit, 20, CALL, |_| RunEnd::Unknown);
    let before = limit.limit();
    pass(&mut limit, 20, CALL, |_| RunEnd::Unknown);
    assert_eq!(limit.limit(), before, "what failed says nothing");
    for _ in 0..8 {
        pass(&mut limit, 20, CALL * 1_000, RunEnd::Took);
    }
    assert!(limit.limit() >= 2);
    assert_eq!(AutoLimit::new(40, 50, now).limit(), 40, "it begins within its bounds");
}
