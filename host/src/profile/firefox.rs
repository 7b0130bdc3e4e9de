//! A profile in the Firefox profiler's format, with each sample at its time.

use fxprof_processed_profile::{
    CategoryHandle, CpuDelta, Frame, FrameFlags, FrameInfo, Profile as Document, ReferenceTimestamp, SamplingInterval,
    Timestamp,
};

use crate::sandbox::Profile;

pub fn write(profile: &Profile) -> Vec<u8> {
    let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let began = ReferenceTimestamp::from_millis_since_unix_epoch(profile.began_at.0 as f64);
    let mut document = Document::new("wasq", began, SamplingInterval::from_nanos(nanos(profile.interval)));
    let start = Timestamp::from_nanos_since_reference(0);
    let process = document.add_process(&profile.plugin, 0, start);
    // All runs are one thread: its functions are looked at together.
    let thread = document.add_thread(process, 0, start, true);
    document.set_thread_name(thread, &profile.plugin);
    let mut frames = Vec::with_capacity(profile.stacks.functions.len());
    for name in &profile.stacks.functions {
        let frame = Frame::Label(document.intern_string(name));
        let info = FrameInfo { frame, category_pair: CategoryHandle::OTHER.into(), flags: FrameFlags::empty() };
        frames.push(document.intern_frame(thread, info));
    }
    let mut stacks = Vec::with_capacity(profile.stacks.calls.len());
    for call in &profile.stacks.calls {
        let caller = call.caller.map(|caller| stacks[caller as usize]);
        stacks.push(document.intern_stack(thread, caller, frames[call.function as usize]));
    }
    for sample in &profile.stacks.samples {
        let at = Timestamp::from_nanos_since_reference(nanos(sample.at));
        let stack = stacks[sample.call as usize];
        document.add_sample(thread, at, Some(stack), CpuDelta::from_nanos(nanos(sample.weight)), 1);
    }
    let end = Timestamp::from_nanos_since_reference(nanos(profile.elapsed));
    document.set_thread_end_time(thread, end);
    document.set_process_end_time(process, end);
    serde_json::to_vec(&document).expect("a profile is plain data with text keys")
}
