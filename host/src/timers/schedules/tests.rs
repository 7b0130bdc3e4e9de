use std::time::Duration;

use wasq_ledgers::Fence;
use wasq_ledgers::timers::Timetable;

use super::*;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// 1 October 2026, at midnight in UTC.
const OCTOBER: UnixMs = UnixMs(1_790_812_800_000);

fn schedules(text: &str) -> Schedules {
    let text = format!("[queues.jobs]\n[schedules.report]\nqueue = 'jobs'\ntype = 'report'\n{text}");
    let config = crate::config::Config::parse(&text, std::path::Path::new("wasq.toml")).expect("it is a config");
    Schedules { since: OCTOBER.into(), ..Schedules::new(&config.schedules, |_| false) }
}

/// A store, and hosts that look into it, each in its turn. The store's clock alone counts.
struct Fleet {
    table: Timetable,
    fences: u64,
    sent: Vec<String>,
}

impl Fleet {
    fn new(schedules: &Schedules, now: UnixMs) -> Self {
        let mut fleet = Self { table: Timetable::default(), fences: 0, sent: Vec::new() };
        let schedule = schedules.get("report").expect("it is there");
        let record = schedule.begin(now, OCTOBER);
        let due = When::At(schedule.due("report", &record));
        let (id, queue) = (timer_id("report"), "jobs".to_owned());
        let timer = NewTimer { id, due, queue, message: record.to_bytes() };
        let fence = fleet.next_fence();
        fleet.table.set(timer, fence, now).expect("it fits");
        fleet
    }

    fn next_fence(&mut self) -> Fence {
        self.fences += 1;
        Fence(self.fences)
    }

    /// A host looks. One that dies has sent its messages, and says nothing to the ledger.
    fn look(&mut self, schedules: &Schedules, now: UnixMs, dies: bool) -> Option<UnixMs> {
        let fences = &mut self.fences;
        let due = self.table.take_due(Duration::from_secs(60), 10, now, || {
            *fences += 1;
            Fence(*fences)
        });
        for taken in due.taken {
            let then = match schedules.turn(&taken, now) {
                Turn::Send { messages, then, .. } => {
                    let key = |message: &Outgoing| message.attributes[OWN_KEY_ATTRIBUTE].text().map(str::to_owned);
                    self.sent.extend(messages.iter().filter_map(key));
                    then
                }
                Turn::Change(then) => then,
                Turn::Forget => panic!("{} is forgotten", taken.id),
            };
            if !dies {
                let fence = self.next_fence();
                assert!(self.table.update(then, fence, now).expect("the fence is right"));
            }
        }
        let first = self.table.list(1, None, now).timers.into_iter().next();
        first.map(|first| first.due)
    }

    /// The ticks for which messages were sent.
    fn ticks(&self) -> Vec<&str> {
        let tick = |key: &String| key.strip_prefix("schedule/report/").expect("it is its key").len();
        self.sent.iter().map(|key| &key[key.len() - tick(key)..]).collect()
    }
}

/// Looks whenever something is due, from one moment to another.
fn live(fleet: &mut Fleet, schedules: &Schedules, mut now: UnixMs, until: UnixMs) {
    while now < until {
        let due = fleet.look(schedules, now, false).expect("it goes on");
        now = due.max(UnixMs(now.0 + 1));
    }
}

#[test]
fn a_month_has_each_tick_once() {
    let hourly = schedules("cron = '0 * * * *'\ntimezone = 'Europe/Berlin'");
    let mut fleet = Fleet::new(&hourly, OCTOBER);
    live(&mut fleet, &hourly, OCTOBER, UnixMs(OCTOBER.0 + 31 * DAY_MS));
    assert_eq!(fleet.sent.len(), 31 * 24 - 1, "the first tick is after the beginning");
    let all: std::collections::BTreeSet<_> = fleet.sent.iter().collect();
    assert_eq!(all.len(), fleet.sent.len());
}

#[test]
fn a_host_that_dies_behind_its_send_has_it_sent_again_under_the_same_key() {
    let daily = schedules("cron = '@daily'");
    let mut fleet = Fleet::new(&daily, OCTOBER);
    let tick = UnixMs(OCTOBER.0 + DAY_MS);
    fleet.look(&daily, tick, true);
    fleet.look(&daily, UnixMs(tick.0 + 30_000), false);
    assert_eq!(fleet.ticks(), ["2026-10-02T00:00:00Z"], "its lease holds");
    fleet.look(&daily, UnixMs(tick.0 + 60_000), false);
    assert_eq!(fleet.ticks(), ["2026-10-02T00:00:00Z", "2026-10-02T00:00:00Z"]);
    fleet.look(&daily, UnixMs(tick.0 + 120_000), false);
    assert_eq!(fleet.sent.len(), 2);
}

#[test]
fn what_was_missed_is_made_up_for_as_the_config_says() {
    let check = |catch_up: &str, rule: &str, away_ms: u64, expect: &[&str]| {
        let schedules = schedules(&format!("catch_up = '{catch_up}'\n{rule}"));
        let mut fleet = Fleet::new(&schedules, OCTOBER);
        let back = UnixMs(OCTOBER.0 + away_ms);
        fleet.look(&schedules, back, false);
        fleet.look(&schedules, UnixMs(back.0 + 1), false);
        assert_eq!(fleet.ticks(), expect, "{catch_up}, {rule}, after {away_ms} ms");
    };
    let (daily, days_3) = ("cron = '0 2 * * *'", 3 * DAY_MS);
    check("last", daily, days_3, &["2026-10-03T02:00:00Z"]);
    check("all", daily, days_3, &["2026-10-01T02:00:00Z", "2026-10-02T02:00:00Z", "2026-10-03T02:00:00Z"]);
    check("none", daily, days_3, &[]);
    // In time.
    for catch_up in ["last", "all", "none"] {
        check(catch_up, daily, DAY_MS / 12, &["2026-10-01T02:00:00Z"]);
        check(catch_up, daily, DAY_MS / 12 + 50_000, &["2026-10-01T02:00:00Z"]);
    }
    // One that comes in time stands for those that were missed.
    check("last", daily, days_3 + DAY_MS / 12, &["2026-10-04T02:00:00Z"]);
    check("none", daily, days_3 + DAY_MS / 12, &["2026-10-04T02:00:00Z"]);
    // Ticks of each second are not looked at one by one.
    let tail: Vec<_> = (59..=60)
        .map(|s| format!("2026-10-{}Z", if s == 60 { "08T00:00:00".into() } else { format!("07T23:59:{s}") }))
        .collect();
    let seconds = schedules("catch_up = 'last'\nevery = '1s'");
    let mut fleet = Fleet::new(&seconds, OCTOBER);
    fleet.look(&seconds, UnixMs(OCTOBER.0 + 7 * DAY_MS), false);
    assert_eq!(fleet.ticks().last_chunk(), Some(&[tail[0].as_str(), tail[1].as_str()]));
    assert!(fleet.sent.len() <= 62, "{}", fleet.sent.len());
}

#[test]
fn all_that_was_missed_is_sent_a_hundred_at_a_time() {
    let minutely = schedules("catch_up = 'all'\nevery = '1m'");
    let mut fleet = Fleet::new(&minutely, OCTOBER);
    let back = UnixMs(OCTOBER.0 + DAY_MS);
    fleet.look(&minutely, back, false);
    assert_eq!(fleet.sent.len(), 100);
    while fleet.look(&minutely, back, false).is_some_and(|due| due <= back) {}
    assert_eq!(fleet.sent.len(), 24 * 60);
    assert_eq!(fleet.ticks().last(), Some(&"2026-10-02T00:00:00Z"));
}

#[test]
fn jitter_is_the_same_on_every_host_and_within_its_bound() {
    let daily = schedules("cron = '@daily'\njitter = '30m'");
    let mut fleet = Fleet::new(&daily, OCTOBER);
    live(&mut fleet, &daily, OCTOBER, UnixMs(OCTOBER.0 + 30 * DAY_MS));
    assert_eq!(fleet.sent.len(), 29);
    let delays: Vec<_> = (0..30).map(|day| UnixMs(OCTOBER.0 + day * DAY_MS)).collect();
    let delays: std::collections::BTreeSet<_> =
        delays.into_iter().map(|tick| jittered(tick, "report", Duration::from_secs(1_800)).0 - tick.0).collect();
    assert!(delays.len() > 25 && delays.iter().all(|delay_ms| *delay_ms < 1_800_000), "{delays:?}");
}

#[test]
fn a_schedule_that_no_config_has_is_forgotten_after_a_while() {
    let daily = schedules("cron = '@daily'");
    let others = Schedules { by_name: BTreeMap::new(), since: OCTOBER.into() };
    let mut fleet = Fleet::new(&daily, OCTOBER);
    let tick = OCTOBER.0 + DAY_MS;
    let mut looks = 0;
    let gone_ms = (0..).step_by(1_000).find(|after_ms| {
        let now = UnixMs(tick + after_ms);
        let due = fleet.table.take_due(Duration::from_secs(60), 10, now, || Fence(1_000_000 + after_ms));
        due.taken.iter().any(|taken| {
            looks += 1;
            match others.turn(taken, now) {
                Turn::Forget => true,
                Turn::Change(update) => {
                    !fleet.table.update(update, Fence(2_000_000 + after_ms), now).expect("it is ours")
                }
                Turn::Send { .. } => panic!("nobody knows what to send"),
            }
        })
    });
    let gone_ms = gone_ms.expect("it is forgotten");
    assert!((600_000..620_000).contains(&gone_ms) && looks > 50, "after {gone_ms} ms and {looks} looks");
    assert!(is_one(&timer_id("gone")) && !is_one(&TimerId("parked/jobs/1".into())));
}

#[test]
fn a_host_with_an_older_config_leaves_ticks_to_those_with_a_later_one() {
    let (older, later) = (schedules("every = '5m'"), schedules("every = '1m'"));
    let since = UnixMs(OCTOBER.0 + 1);
    let later = Schedules { since: since.into(), ..later };
    let mut fleet = Fleet::new(&later, OCTOBER);
    let record = later.get("report").expect("it is there").begin(OCTOBER, since);
    let tick = UnixMs(OCTOBER.0 + 60_000);
    let (id, queue) = (timer_id("report"), "jobs".to_owned());
    let taken = |now: u64| Taken {
        id: id.clone(),
        fence: Fence(1),
        due: UnixMs(now),
        queue: queue.clone(),
        message: record.to_bytes(),
    };
    match older.turn(&taken(tick.0), tick) {
        Turn::Change(Update { due, message, .. }) => assert_eq!((due, message), (When::In(AGAIN), None)),
        _ => panic!("it is not this host's"),
    }
    assert!(matches!(later.turn(&taken(tick.0), tick), Turn::Send { .. }));
    // They may all be gone.
    let late = UnixMs(tick.0 + 61_000);
    assert!(matches!(older.turn(&taken(late.0), late), Turn::Change(Update { message: Some(_), .. })));
    fleet.look(&later, tick, false);
    assert_eq!(fleet.sent.len(), 1);
}

#[tokio::test]
async fn a_later_config_counts_and_a_pause_outlasts_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = wasq_ledgers::local::LocalLedger::open(dir.path()).expect("it can be opened");
    let timers = wasq_ledgers::Ledger::timers(&ledger, "shop").expect("it keeps timers");
    let timers = &*timers;
    let now = wasq_core::clock::unix_ms();
    let of = |text: &str, since| Schedules { since: UnixMs(since).into(), ..schedules(text) };
    let (daily, hourly) = (of("cron = '@daily'", 1), of("cron = '@hourly'", 2));
    let record = async || Record::read(&timers.get(&timer_id("report")).await.unwrap().unwrap().message).unwrap();
    daily.keep(timers, now).await.unwrap();
    let first = record().await;
    assert_eq!(first.tick, daily.get("report").unwrap().rule.next_after(now));
    let paused = change(timers, &daily, "report", Change::Pause, now).await.unwrap().expect("it is there");
    assert!(paused.0.is_paused);
    hourly.keep(timers, now).await.unwrap();
    daily.keep(timers, now).await.unwrap();
    let changed = record().await;
    assert_eq!((changed.since, changed.is_paused), (UnixMs(2), true));
    let timer = timers.get(&timer_id("report")).await.unwrap().unwrap();
    assert_eq!(timer.due, END_OF_TIME);
    let resumed = change(timers, &hourly, "report", Change::Resume, now).await.unwrap().expect("it is there");
    assert_eq!(resumed.0.tick, hourly.get("report").unwrap().rule.next_after(now));
    assert_eq!(change(timers, &hourly, "another", Change::Pause, now).await.unwrap(), None);
    let key = run_now(timers, "report", hourly.get("report").unwrap(), now).await.unwrap();
    assert!(timers.get(&TimerId(key)).await.unwrap().is_some());
    assert!(remove(timers, "report").await.unwrap());
    assert!(!remove(timers, "report").await.unwrap());
}
