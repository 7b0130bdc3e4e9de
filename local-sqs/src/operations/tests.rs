use std::path::Path;

use super::{
    super::{
        address::{DEFAULT_REGION, Home},
        attributes,
        log::Log,
        record::{Definition, is_fifo},
    },
    *,
};

/// A service without queues.
pub fn service(dir: &Path) -> Service {
    let (log, replayed) = Log::open(dir).unwrap();
    Service::new(log, replayed, false)
}

/// A service whose log takes nothing.
pub fn service_on_full_disk(dir: &Path) -> Service {
    std::os::unix::fs::symlink("/dev/full", dir.join(format!("{:020}.log", 1))).unwrap();
    service(dir)
}

/// A queue with nothing said, of a region of the default account, or of every region.
pub fn definition(number: u64, name: &str, region: Option<&str>) -> Definition {
    Definition {
        number,
        name: name.to_owned(),
        home: region.map(|region| Home { region: region.to_owned(), account: Account::DEFAULT }),
        attributes: attributes::defaults(is_fifo(name)),
        tags: Default::default(),
        permissions: Default::default(),
        created_s: 0,
        modified_s: 0,
        next_seq: 1,
    }
}

pub fn caller() -> Caller {
    let (base_url, region) = ("http://localhost".to_owned(), DEFAULT_REGION.to_owned());
    Caller { base_url, region, account: Account::DEFAULT, trace: None }
}

#[test]
fn batches_have_one_to_ten_entries_with_distinct_plain_ids() {
    let check = |ids: &[&str]| check_entries("Entry", ids.iter().copied()).map_err(|error| error.code);
    assert_eq!(check(&["a", "b-_9"]), Ok(()));
    assert_eq!(check(&[]), Err(Code::EmptyBatchRequest));
    assert_eq!(check(&["a"; 11]), Err(Code::TooManyEntriesInBatchRequest));
    assert_eq!(check(&["a", "a"]), Err(Code::BatchEntryIdsNotDistinct));
    assert_eq!(check(&["a b"]), Err(Code::InvalidBatchEntryId));
    assert_eq!(check(&[""]), Err(Code::InvalidBatchEntryId));
}

#[tokio::test]
async fn attributes_that_cannot_be_stored_are_not_set() {
    let dir = tempfile::tempdir().unwrap();
    let service = service_on_full_disk(dir.path());
    service.queues_mut().insert(Arc::new(Queue::new(definition(1, "q", None))));
    let queue = service.at("q", &caller()).unwrap();
    let before = queue.state().definition.clone();
    let request = serde_json::json!({ "QueueUrl": "q", "Attributes": { "VisibilityTimeout": "5" } });
    let request = serde_json::from_value(request).unwrap();
    let error = service.set_queue_attributes(request, &caller()).await.err().unwrap();
    assert_eq!(error.code, Code::InternalFailure, "{error}");
    let state = queue.state();
    assert_eq!((state.settings.visibility_s, &state.definition), (30, &before));
}
