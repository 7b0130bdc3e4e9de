use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use wasq_core::clock::Clock;
use wasq_ledgers::documents::{Document, DocumentMap, Documents, Listed, Put};
use wasq_ledgers::{Fence, LedgerError};

use super::*;
use crate::admission::in_hand::InHand;
use crate::quotas::QuotaStore;

/// Documents in memory, which hosts share.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<(DocumentMap, u64)>>);

/// The time of the document store. It stands still: what is kept is kept.
const NOW: UnixMs = UnixMs(1);

#[async_trait]
impl Documents for Shared {
    async fn get(&self, id: &str) -> Result<Option<Document>, LedgerError> {
        Ok(self.0.lock().0.get(id, NOW))
    }

    async fn put(&self, put: Put) -> Result<Fence, LedgerError> {
        let (documents, fences) = &mut *self.0.lock();
        *fences += 1;
        documents.put(put, Fence(*fences), NOW)
    }

    async fn list(&self, prefix: &str, limit: usize, after: Option<&str>) -> Result<Vec<Listed>, LedgerError> {
        Ok(self.0.lock().0.list(prefix, limit, after, NOW))
    }
}

/// A wall clock that moves as the test's time does.
struct Wall(Instant);

impl Clock for Wall {
    fn now(&self) -> Instant {
        clock::now()
    }

    fn unix_ms(&self) -> UnixMs {
        UnixMs(1_750_000_000_000 + self.0.elapsed().as_millis() as u64)
    }
}

/// Hosts that keep to one rate.
struct Fleet {
    hosts: Vec<Arc<Rates>>,
    tasks: tokio::task::JoinSet<()>,
    documents: Shared,
}

impl Fleet {
    fn start(hosts: usize, limit: &str, burst: u32, limits: &Limits) -> Self {
        let (documents, began) = (Shared::default(), clock::now());
        let mut fleet = Self { hosts: Vec::new(), tasks: tokio::task::JoinSet::new(), documents };
        for host in 0..hosts {
            let config = RateConfig { limit: limit.parse().expect("a rate"), burst, on_outage: OnOutage::Hold };
            let rates = Arc::new(Rates::of([("r".to_owned(), config)], limits));
            let (kept, documents) = (rates.clone(), Arc::new(fleet.documents.clone()));
            fleet.tasks.spawn(async move {
                let store = QuotaStore::on(documents, Arc::new(Wall(began)), format!("host-{host}"));
                kept.keep(Some(&store)).await;
            });
            fleet.hosts.push(rates);
        }
        fleet
    }

    fn bucket(&self, host: usize, key: LimitKey) -> BucketId {
        self.hosts[host].bucket("r", key).expect("the rate is there")
    }
}

fn room(size: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(size))
}

/// Asks for a slot of each, for a message that was sent then.
async fn acquire(rates: &Rates, ids: &[BucketId], sent_ms: u64, room: &Arc<Semaphore>) -> Result<Vec<Slot>, Limited> {
    let in_hand = InHand::default();
    let claimant = Claimant { sent_at: UnixMs(sent_ms), is_returned: false, in_hand: &in_hand, room };
    rates.acquire(ids, claimant).await
}

#[tokio::test(start_paused = true)]
async fn hosts_start_as_many_runs_as_the_rate_allows_and_hardly_fewer() {
    for hosts in [1, 4] {
        let fleet = Fleet::start(hosts, "100/s", 1, &Limits::default());
        let began = clock::now();
        let mut busy = tokio::task::JoinSet::new();
        let starts = Arc::new(Mutex::new(Vec::new()));
        for host in 0..hosts {
            let (rates, id, room, starts) =
                (fleet.hosts[host].clone(), fleet.bucket(host, LimitKey::All), room(32), starts.clone());
            for message in 0..32 {
                let (rates, id, room, starts) = (rates.clone(), id.clone(), room.clone(), starts.clone());
                busy.spawn(async move {
                    for round in 0.. {
                        match acquire(&rates, std::slice::from_ref(&id), round * 100 + message, &room).await {
                            Ok(_) => starts.lock().push(began.elapsed()),
                            Err(limited) => tokio::time::sleep(limited.remaining).await,
                        }
                    }
                });
            }
        }
        tokio::time::sleep(Duration::from_secs(12)).await;
        let starts = starts.lock();
        let within = |from: u64| starts.iter().filter(|at| (from..from + 10).contains(&at.as_secs())).count();
        assert!((980..=1_002).contains(&within(1)), "{hosts} hosts: {} in 10 s", within(1));
        let each: Vec<_> = fleet.hosts.iter().map(|rates| rates.status()[0].started).collect();
        let fewest = each.iter().min().expect("there is one");
        assert!(*fewest > 1_100 / hosts as u64 / 2, "{each:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_in_hand_for_a_while_and_is_hidden_for_the_rest() {
    let fleet = Fleet::start(1, "1/s", 1, &Limits::default());
    let (id, room) = ([fleet.bucket(0, LimitKey::All)], room(3));
    let rates = &fleet.hosts[0];
    let began = clock::now();
    let waits = |sent_ms| {
        let (id, room) = (&id, &room);
        async move {
            let answer = acquire(rates, id, sent_ms, room).await;
            (answer.map(|_| ()), began.elapsed().as_secs_f64().round() as u64)
        }
    };
    let answers = futures::future::join_all((0..5).map(waits)).await;
    let (slots, hidden): (Vec<_>, Vec<_>) = answers.iter().partition(|(answer, _)| answer.is_ok());
    assert_eq!(slots.iter().map(|(_, at)| *at).collect::<Vec<_>>(), [0, 1, 2], "{answers:?}");
    // There is no more room: they come back when the others are through.
    for (answer, at) in hidden {
        let limited = answer.as_ref().expect_err("it is hidden");
        assert!(*at == 0 && limited.rate == "r" && limited.remaining >= Duration::from_secs(3), "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_message_gets_the_room_of_a_newer_one() {
    let fleet = Fleet::start(1, "1/s", 1, &Limits::default());
    let (id, room) = ([fleet.bucket(0, LimitKey::All)], room(1));
    let rates = &fleet.hosts[0];
    acquire(rates, &id, 0, &room).await.expect("it is the first");
    let newer = acquire(rates, &id, 20, &room);
    let older = async {
        tokio::task::yield_now().await;
        acquire(rates, &id, 10, &room).await
    };
    let (newer, older) = tokio::join!(newer, older);
    assert!(older.is_ok() && newer.is_err(), "{older:?} {newer:?}");
}

#[tokio::test(start_paused = true)]
async fn each_key_has_the_rate_for_itself_and_the_host_remembers_so_many() {
    let limits = Limits { rate_keys: 100, ..Limits::default() };
    let fleet = Fleet::start(1, "1/h", 1, &limits);
    let (rates, room) = (&fleet.hosts[0], room(1_000));
    let keys = (0..150).map(|n| LimitKey::of(Some(format!("tenant {n}"))));
    let ids: Vec<_> = keys
        .chain([LimitKey::of(None), LimitKey::of(Some("x".repeat(1_000_000)))])
        .map(|key| [fleet.bucket(0, key)])
        .collect();
    for id in &ids {
        acquire(rates, id, 0, &room).await.expect("each is the first of its key");
    }
    for id in &ids {
        let limited = acquire(rates, id, 1, &room).await.expect_err("the second is not");
        assert!(limited.remaining >= Duration::from_secs(60), "{limited:?}");
    }
    let status = &rates.status()[0];
    assert_eq!((status.started, status.hidden, status.keys), (152, 152, 100));
    let documents = fleet.documents.list("rate/r/", 1_000, None).await.expect("they are there");
    let kept: BTreeMap<_, _> = documents.iter().map(|listed| (listed.id.as_str(), listed.value.len())).collect();
    assert!(kept.contains_key("rate/r/=tenant 7") && kept.contains_key("rate/r/-"), "{kept:?}");
    assert!(kept.keys().all(|id| id.len() < 100), "a long key stands there as its digest: {kept:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_of_several_rates_holds_none_while_it_waits_for_another() {
    let config =
        |limit: &str| RateConfig { limit: limit.parse().expect("a rate"), burst: 1, on_outage: OnOutage::Hold };
    let all = [("fast".to_owned(), config("100/s")), ("slow".to_owned(), config("1/s"))];
    let rates = Arc::new(Rates::of(all, &Limits::default()));
    let began = clock::now();
    let store = QuotaStore::on(Arc::new(Shared::default()), Arc::new(Wall(began)), "host".into());
    let kept = rates.clone();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { kept.keep(Some(&store)).await });
    let bucket = |name: &str| rates.bucket(name, LimitKey::All).expect("it is there");
    let (both, fast, room) = ([bucket("fast"), bucket("slow")], [bucket("fast")], room(100));
    acquire(&rates, &both, 0, &room).await.expect("it is the first");
    let began = clock::now();
    let slow = acquire(&rates, &both, 1, &room);
    let others = async {
        for n in 0..50 {
            acquire(&rates, &fast, 10 + n, &room).await.expect("nobody holds the fast one");
        }
        began.elapsed()
    };
    let (slow, others) = tokio::join!(slow, others);
    assert!(slow.is_ok() && began.elapsed() >= Duration::from_millis(900), "{slow:?}");
    assert!(others < Duration::from_millis(900), "{others:?}");
}
