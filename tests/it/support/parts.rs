//! A host's parts put together over a ledger of the test's, which can be made to fail.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wasq::clock::SystemClock;
use wasq::config::Config;
use wasq::flow::settle::Settler;
use wasq::flow::{Breakers, Lane, Services};
use wasq::health::Health;
use wasq::host::open_queue;
use wasq::lease::Keeper;
use wasq::ledger::local::LocalLedger;
use wasq::ledger::{Claim, ClaimRequest, Fence, Finish, Ledger, LedgerError};
use wasq::message::Key;
use wasq::permits::Permits;
use wasq::plugins::{Catalogs, Loader};
use wasq::queue::Queue;
use wasq::queue::sqs::Sqs;
use wasq::sandbox::Sandbox;
use wasq::stats::Stats;
use wasq::worker::Worker;

/// One worker over the first queue of a config.
pub struct Parts {
    pub services: Arc<Services>,
    worker: JoinHandle<()>,
    stop: CancellationToken,
}

impl Parts {
    pub async fn start(config: &Config, ledger: Arc<dyn Ledger>) -> Self {
        let config = Arc::new(config.clone());
        let sandbox = Sandbox::new(&config.limits).unwrap();
        let catalogs = Catalogs::new(Loader::new(sandbox.clone(), config.clone()).unwrap());
        catalogs.reload(&config.plugins_dir).unwrap();
        let sqs = Sqs::connect(&config.aws).await;
        let (name, queue_config) = config.queues.first_key_value().expect("a rig has a queue");
        let (queue, dlq) = open_queue(&sqs, name, queue_config, 1).await.unwrap();
        let queue: Arc<dyn Queue> = Arc::new(queue);
        let services = Arc::new(Services {
            scope: config.scope.clone(),
            limits: config.limits.clone(),
            clock: Arc::new(SystemClock),
            catalogs: Arc::new(catalogs),
            sandbox,
            permits: Permits::new(&config.limits),
            ledger: ledger.clone(),
            breakers: Breakers::new(config.limits.breaker_failures, config.limits.breaker_probe),
            stats: Stats::default(),
            health: Health::default(),
            outlets: [(name.clone(), queue.clone())].into(),
            interrupt: CancellationToken::new(),
        });
        let kept = queue.clone();
        let lane = Arc::new(Lane {
            name: name.clone(),
            keeper: Keeper::start(move || async { kept }, queue_config.visibility, ledger),
            settler: Settler::start(queue.clone()),
            queue,
            dlq: Arc::new(dlq),
            config: queue_config.clone(),
        });
        let stop = CancellationToken::new();
        let worker = tokio::spawn(Worker::new(services.clone(), lane, stop.clone()).run());
        Self { services, worker, stop }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.worker.await.unwrap();
    }
}

/// What is wrong with a [`Faulty`] ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// Every call is refused, as by a full disk.
    Down,
    /// Claims are given, and nothing else is recorded.
    DownAfterClaim,
    /// The next claim panics, and the ones after it do not.
    PanicOnce,
}

/// A local ledger with troubles.
pub struct Faulty {
    inner: LocalLedger,
    trouble: Mutex<Trouble>,
}

impl Faulty {
    pub fn new(inner: LocalLedger, trouble: Trouble) -> Arc<Self> {
        Arc::new(Self { inner, trouble: Mutex::new(trouble) })
    }

    pub fn set(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = trouble;
    }

    fn check(&self, claiming: bool) -> Result<(), LedgerError> {
        let full = || Err(LedgerError::Unavailable("no space left on device".into()));
        let mut trouble = self.trouble.lock().unwrap();
        match *trouble {
            Trouble::None => Ok(()),
            Trouble::Down => full(),
            Trouble::DownAfterClaim if claiming => Ok(()),
            Trouble::DownAfterClaim => full(),
            Trouble::PanicOnce if claiming => {
                *trouble = Trouble::None;
                drop(trouble);
                panic!("this claim panics, as the test wants it");
            }
            Trouble::PanicOnce => Ok(()),
        }
    }
}

#[async_trait]
impl Ledger for Faulty {
    async fn claim(&self, key: Key, request: &ClaimRequest) -> Result<Claim, LedgerError> {
        self.check(true)?;
        self.inner.claim(key, request).await
    }

    async fn extend(&self, claims: &[(Key, Fence)], lease: Duration) -> Result<Vec<bool>, LedgerError> {
        self.check(false)?;
        self.inner.extend(claims, lease).await
    }

    async fn finish(&self, key: Key, fence: Fence, finish: Finish) -> Result<(), LedgerError> {
        self.check(false)?;
        self.inner.finish(key, fence, finish).await
    }

    async fn get_step(&self, key: Key, fence: Fence, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.check(false)?;
        self.inner.get_step(key, fence, name).await
    }

    async fn put_step(&self, key: Key, fence: Fence, name: &str, value: &[u8]) -> Result<(), LedgerError> {
        self.check(false)?;
        self.inner.put_step(key, fence, name, value).await
    }

    async fn put_envelope(&self, id: &str, json: &[u8], ttl: Duration) -> Result<(), LedgerError> {
        self.check(false)?;
        self.inner.put_envelope(id, json, ttl).await
    }

    async fn get_envelope(&self, id: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.check(false)?;
        self.inner.get_envelope(id).await
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        self.check(false)?;
        self.inner.ping().await
    }
}
