//! Reads the log at start and rebuilds what lives in it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read},
    sync::Arc,
};

use uuid::Uuid;

use super::{
    super::record::{Definition, MessageRecord, MoveTask, Record},
    error::OpenError,
    frame::{FrameError, HEADER_BYTES, Header},
    segment::{Location, Segment, Segments},
};

/// What a log holds.
#[derive(Default)]
pub struct Replayed {
    /// Queues by number.
    pub queues: BTreeMap<u64, ReplayedQueue>,
    /// Move tasks by id.
    pub moves: BTreeMap<Uuid, MoveTask>,
    /// Where the last segment's last whole frame ends.
    pub end: u64,
}

/// A queue as the log left it.
pub struct ReplayedQueue {
    pub definition: Definition,
    pub messages: BTreeMap<u64, ReplayedMessage>,
    /// Messages that opened a deduplication window, gone ones as well.
    pub dedup: Vec<MessageRecord>,
}

/// A message as the log left it.
pub struct ReplayedMessage {
    pub record: MessageRecord,
    pub location: Location,
}

/// Reads all segments. A torn frame at the end of the last is cut off; one elsewhere is damage.
pub fn replay(segments: &Segments) -> Result<Replayed, OpenError> {
    let mut replayed = Replayed::default();
    let all = segments.all();
    for (index, segment) in all.iter().enumerate() {
        let (end, file_bytes) = read(segment, &mut replayed)?;
        segment.grew_to(end);
        if end == file_bytes {
            replayed.end = end;
            continue;
        }
        let is_last = index + 1 == all.len();
        if !is_last {
            return Err(OpenError::Damaged { path: segment.path.clone(), offset: end });
        }
        tracing::warn!(path = %segment.path.display(), offset = end, bytes = file_bytes - end,
            "cut off a torn write at the end of the local queue's log");
        segment.file.set_len(end).and_then(|()| segment.file.sync_all()).map_err(OpenError::io(&segment.path))?;
        replayed.end = end;
    }
    Ok(replayed)
}

/// Applies a segment's frames up to the first that is torn; gives where that is, and the file's
/// length. A whole frame of another version is an error, and stays where it is.
fn read(segment: &Arc<Segment>, replayed: &mut Replayed) -> Result<(u64, u64), OpenError> {
    const READ_AHEAD_BYTES: usize = 1024 * 1024;
    let io = || OpenError::io(&segment.path);
    let file = File::open(&segment.path).map_err(io())?;
    let file_bytes = file.metadata().map_err(io())?.len();
    let mut reader = BufReader::with_capacity(READ_AHEAD_BYTES, file);
    let mut end = 0;
    let mut covered = Vec::new();
    while file_bytes - end >= HEADER_BYTES as u64 {
        let mut header = [0; HEADER_BYTES];
        reader.read_exact(&mut header).map_err(io())?;
        let Some(header) = Header::decode(header) else { break };
        let covered_start = end + HEADER_BYTES as u64;
        if header.length as u64 > file_bytes - covered_start {
            break;
        }
        covered.resize(header.length, 0);
        reader.read_exact(&mut covered).map_err(io())?;
        let (records, contents) = match header.records(&covered) {
            Ok(read) => read,
            Err(FrameError::Damaged) => break,
            Err(FrameError::Unknown(reason)) => {
                return Err(OpenError::Unknown { path: segment.path.clone(), offset: end, reason });
            }
        };
        let mut content = covered_start + contents as u64;
        for record in records {
            replayed.apply(record, segment, &mut content);
        }
        end = covered_start + header.length as u64;
    }
    Ok((end, file_bytes))
}

impl Replayed {
    fn apply(&mut self, record: Record, segment: &Arc<Segment>, content: &mut u64) {
        match record {
            Record::Queue(definition) => {
                let queue = self.queues.entry(definition.number);
                queue.and_modify(|queue| queue.definition = definition.clone()).or_insert_with(|| ReplayedQueue {
                    definition,
                    messages: BTreeMap::new(),
                    dedup: Vec::new(),
                });
            }
            Record::DropQueue(number) => drop(self.queues.remove(&number)),
            Record::Put(record) => {
                let location = Location::new(segment.clone(), *content, record.bytes);
                *content += u64::from(record.bytes);
                if let Some(queue) = self.queues.get_mut(&record.queue) {
                    if let Some((_, until)) = record.dedup {
                        segment.keep_until(until);
                        queue.dedup.push(record.clone());
                    }
                    queue.definition.next_seq = queue.definition.next_seq.max(record.seq + 1);
                    queue.messages.insert(record.seq, ReplayedMessage { record, location });
                }
            }
            Record::State(number, states) => {
                let Some(queue) = self.queues.get_mut(&number) else { return };
                for (seq, state) in states {
                    if let Some(message) = queue.messages.get_mut(&seq) {
                        message.record.state = state;
                    }
                }
            }
            Record::Delete(number, seqs) => {
                let Some(queue) = self.queues.get_mut(&number) else { return };
                for seq in seqs {
                    queue.messages.remove(&seq);
                }
            }
            Record::Purge(number, below) => {
                let Some(queue) = self.queues.get_mut(&number) else { return };
                queue.messages = queue.messages.split_off(&below);
                queue.dedup.retain(|record| record.seq >= below);
            }
            Record::Move(task) => drop(self.moves.insert(task.id, task)),
        }
    }
}
