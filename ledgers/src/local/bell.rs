//! Wakes a thread that has something to do.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

#[derive(Default)]
pub struct Bell {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Default)]
struct State {
    is_rung: bool,
    is_over: bool,
}

/// Why a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    Rung,
    TimeIsUp,
    Over,
}

impl Bell {
    pub fn ring(&self) {
        self.state.lock().is_rung = true;
        self.rung.notify_one();
    }

    /// The thread is to end.
    pub fn end(&self) {
        self.state.lock().is_over = true;
        self.rung.notify_one();
    }

    /// Waits for the bell, at most so long. One that was rung before counts.
    pub fn wait(&self, at_most: Duration) -> Woken {
        let mut state = self.state.lock();
        if !state.is_rung && !state.is_over {
            self.rung.wait_for(&mut state, at_most);
        }
        match (state.is_over, std::mem::take(&mut state.is_rung)) {
            (true, _) => Woken::Over,
            (false, true) => Woken::Rung,
            (false, false) => Woken::TimeIsUp,
        }
    }
}
