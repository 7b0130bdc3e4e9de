//! Samples of stacks, merged into a tree of calls.
//!
//! A guest decides how many stacks it has, how deep they are, and what its functions are called. So
//! each of these has a limit. What comes after a limit is not recorded, and the profile says so.

use std::collections::HashMap;
use std::time::Duration;

use super::super::engine::FRAMES_MAX;
use super::name::{Frame, readable};

/// Different calls of one profile. One takes about 50 bytes.
const CALLS_MAX: usize = 100_000;
/// Different functions of one profile. One takes its name twice.
const FUNCTIONS_MAX: usize = 20_000;
/// Samples of one profile: 100 a second and core. One takes 40 bytes.
const SAMPLES_MAX: usize = 100_000;

/// Stands for the callers of a stack that is deeper than [`FRAMES_MAX`].
const DEEPER: &str = "(deeper stack)";

/// What was sampled.
#[derive(Debug, Default)]
pub struct Stacks {
    /// Names.
    pub functions: Vec<String>,
    /// The tree. A caller stands before what it calls.
    pub calls: Vec<Call>,
    pub samples: Vec<Sample>,
    /// A limit was reached: what came later is not in it.
    pub is_full: bool,
}

/// A function, called by this path of callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// Its index in [`Stacks::calls`]; none for an export of the component's modules.
    pub caller: Option<u32>,
    /// Its index in [`Stacks::functions`].
    pub function: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Since the profile began.
    pub at: Duration,
    /// The innermost call's index in [`Stacks::calls`].
    pub call: u32,
    /// The time that it stands for.
    pub weight: Duration,
}

impl Stacks {
    /// The time that all samples stand for.
    pub fn weight(&self) -> Duration {
        self.samples.iter().map(|sample| sample.weight).sum()
    }
}

/// Merges samples.
#[derive(Debug, Default)]
pub struct Recorder {
    stacks: Stacks,
    by_symbol: HashMap<String, u32>,
    by_call: HashMap<Call, u32>,
}

impl Recorder {
    /// Adds one sample, whose frames are given from the outermost to the innermost.
    pub fn add<'a>(&mut self, at: Duration, weight: Duration, frames: impl ExactSizeIterator<Item = Frame<'a>>) {
        if self.stacks.is_full {
            return;
        }
        match self.call(frames) {
            Some(Some(call)) if self.stacks.samples.len() < SAMPLES_MAX => {
                self.stacks.samples.push(Sample { at, call, weight });
            }
            // No function of the guest's is on the stack.
            Some(None) => {}
            Some(Some(_)) | None => self.stacks.is_full = true,
        }
    }

    pub fn into_stacks(self) -> Stacks {
        self.stacks
    }

    /// The innermost call of a stack; none in place of it where a limit is reached.
    fn call<'a>(&mut self, frames: impl ExactSizeIterator<Item = Frame<'a>>) -> Option<Option<u32>> {
        let deeper = Frame { symbol: Some(DEEPER), module: None, index: 0 };
        let outermost = (frames.len() >= FRAMES_MAX).then_some(deeper);
        let mut caller = None;
        for frame in outermost.into_iter().chain(frames) {
            let call = Call { caller, function: self.function(&frame)? };
            caller = Some(match self.by_call.get(&call) {
                Some(index) => *index,
                None if self.stacks.calls.len() < CALLS_MAX => {
                    let index = self.stacks.calls.len() as u32;
                    self.stacks.calls.push(call);
                    self.by_call.insert(call, index);
                    index
                }
                None => return None,
            });
        }
        Some(caller)
    }

    /// Functions of one name are one, whichever module they are in.
    fn function(&mut self, frame: &Frame) -> Option<u32> {
        let unnamed;
        let symbol = match frame.symbol {
            Some(symbol) => symbol,
            None => {
                unnamed = readable(frame);
                &unnamed
            }
        };
        if let Some(index) = self.by_symbol.get(symbol) {
            return Some(*index);
        }
        if self.stacks.functions.len() == FUNCTIONS_MAX {
            return None;
        }
        let index = self.stacks.functions.len() as u32;
        self.stacks.functions.push(readable(frame));
        self.by_symbol.insert(symbol.to_owned(), index);
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(recorder: &mut Recorder, symbols: &[&str]) {
        let frames = symbols.iter().map(|symbol| Frame { symbol: Some(symbol), module: None, index: 0 });
        recorder.add(Duration::ZERO, Duration::from_millis(10), frames);
    }

    #[test]
    fn stacks_that_begin_alike_share_their_calls() {
        let mut recorder = Recorder::default();
        add(&mut recorder, &["handle", "decode", "inflate"]);
        add(&mut recorder, &["handle", "decode"]);
        add(&mut recorder, &["handle", "encode", "decode"]);
        add(&mut recorder, &["handle", "decode", "inflate"]);
        add(&mut recorder, &[]);
        let stacks = recorder.into_stacks();
        assert_eq!(stacks.functions, ["handle", "decode", "inflate", "encode"]);
        let call = |caller, function| Call { caller, function };
        assert_eq!(
            stacks.calls,
            [call(None, 0), call(Some(0), 1), call(Some(1), 2), call(Some(0), 3), call(Some(3), 1)]
        );
        let calls: Vec<_> = stacks.samples.iter().map(|sample| sample.call).collect();
        assert_eq!((calls, stacks.weight(), stacks.is_full), (vec![2, 1, 4, 2], Duration::from_millis(40), false));
    }

    #[test]
    fn a_deep_stack_hangs_below_a_frame_that_says_so() {
        let mut recorder = Recorder::default();
        add(&mut recorder, &["f"; FRAMES_MAX]);
        let stacks = recorder.into_stacks();
        assert_eq!(
            (stacks.functions.as_slice(), stacks.calls.len()),
            (&[DEEPER.into(), "f".into()][..], FRAMES_MAX + 1)
        );
    }

    #[test]
    fn a_guest_cannot_make_a_profile_grow_without_end() {
        let mut recorder = Recorder::default();
        let mut n = 0_u64;
        // Each stack is new, and half of its names are.
        while !recorder.stacks.is_full {
            let symbols: Vec<_> = (0..200)
                .map(|_| {
                    n += 1;
                    format!("f{}", n % (4 * FUNCTIONS_MAX as u64))
                })
                .collect();
            add(&mut recorder, &symbols.iter().map(String::as_str).collect::<Vec<_>>());
        }
        let before = recorder.stacks.samples.len();
        add(&mut recorder, &["one more"]);
        let stacks = recorder.into_stacks();
        assert!(stacks.functions.len() <= FUNCTIONS_MAX && stacks.calls.len() <= CALLS_MAX);
        assert_eq!((stacks.samples.len(), stacks.is_full), (before, true));

        let mut recorder = Recorder::default();
        for _ in 0..=SAMPLES_MAX {
            add(&mut recorder, &["f"]);
        }
        assert_eq!((recorder.stacks.samples.len(), recorder.stacks.is_full), (SAMPLES_MAX, true));
    }
}
