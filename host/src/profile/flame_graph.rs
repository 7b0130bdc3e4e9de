//! A profile as a flame graph in SVG: each bar is a call, as wide as its share of the time, on top
//! of its caller. A bar says its name, share and time when the pointer is over it.
//!
//! It has no script and no style sheet, so that the dashboard's content policy holds for it too.

use std::cmp::Reverse;
use std::time::Duration;

use maud::{Markup, html};

use super::summary::{ProfileSummary, time};
use crate::sandbox::{Profile, Stacks};

const WIDTH: f64 = 1200.0;
const ROW_HEIGHT: usize = 18;
/// Above the bars: the title, and what was measured.
const HEAD_HEIGHT: usize = 52;
/// How wide a letter is, in the monospaced font's 12 pixels.
const LETTER_WIDTH: f64 = 7.3;
const FONT: &str = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
/// Narrower bars are not drawn: nobody sees them.
const BAR_MIN_WIDTH: f64 = 0.25;
/// The most bars, the widest ones: a browser draws so many without pause.
const BARS_MAX: usize = 10_000;

struct Bar<'a> {
    name: &'a str,
    x: f64,
    width: f64,
    row: usize,
    time: Duration,
}

pub fn draw(profile: &Profile) -> String {
    let whole = profile.stacks.weight();
    let bars = bars(&profile.plugin, &profile.stacks);
    let rows = bars.iter().map(|bar| bar.row + 1).max().unwrap_or_default();
    let height = HEAD_HEIGHT + rows * ROW_HEIGHT;
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {WIDTH} {height}")) width=(WIDTH) height=(height)
            font-family=(FONT) font-size="12" role="img" aria-label=(format!("Flame graph of {}", profile.plugin)) {
            rect width="100%" height="100%" fill="#fdfdfb" {}
            text x="8" y="20" font-size="15" font-weight="bold" { (profile.plugin) }
            text x="8" y="40" fill="#555" { (ProfileSummary::of(profile)) }
            @for bar in &bars { (drawn(bar, whole, height)) }
        }
    };
    picture.into_string()
}

fn drawn(bar: &Bar, whole: Duration, height: usize) -> Markup {
    let y = height - (bar.row + 1) * ROW_HEIGHT;
    let share = 100.0 * bar.time.as_secs_f64() / whole.as_secs_f64();
    let label = fitting(bar.name, bar.width);
    html! {
        g {
            title { (bar.name) (format!(": {share:.1} %, {}", time(bar.time.as_secs_f64() * 1e3))) }
            rect x=(format!("{:.2}", bar.x)) y=(y) width=(format!("{:.2}", bar.width)) height=(ROW_HEIGHT - 1) rx="1" fill=(colour(bar.name)) {}
            @if !label.is_empty() { text x=(format!("{:.2}", bar.x + 3.0)) y=(y + 13) fill="#201a10" { (label) } }
        }
    }
}

/// The bars: one for the whole below all, and the calls above. Those of one caller stand in the
/// order of their names, so that two profiles of a plugin look alike.
fn bars<'a>(plugin: &'a str, stacks: &'a Stacks) -> Vec<Bar<'a>> {
    let mut times = vec![Duration::ZERO; stacks.calls.len()];
    for sample in &stacks.samples {
        times[sample.call as usize] += sample.weight;
    }
    let mut called = vec![Vec::new(); stacks.calls.len()];
    let mut outermost = Vec::new();
    // Callers stand before what they call.
    for (index, call) in stacks.calls.iter().enumerate().rev() {
        match call.caller {
            Some(caller) => {
                let time = times[index];
                times[caller as usize] += time;
                called[caller as usize].push(index);
            }
            None => outermost.push(index),
        }
    }
    let name = |index: usize| stacks.functions[stacks.calls[index].function as usize].as_str();
    let whole = stacks.weight();
    let scale = WIDTH / whole.as_secs_f64();
    let mut bars = vec![Bar { name: plugin, x: 0.0, width: WIDTH, row: 0, time: whole }];
    let mut open = vec![(outermost, 0.0, 1)];
    while let Some((mut calls, mut x, row)) = open.pop() {
        calls.sort_by_key(|index| name(*index));
        for index in calls {
            let width = times[index].as_secs_f64() * scale;
            if width >= BAR_MIN_WIDTH {
                bars.push(Bar { name: name(index), x, width, row, time: times[index] });
                open.push((std::mem::take(&mut called[index]), x, row + 1));
            }
            x += width;
        }
    }
    // A caller is no narrower than what it calls, and stands before it.
    bars.sort_by_key(|bar| Reverse(bar.time));
    bars.truncate(BARS_MAX);
    bars
}

/// As much of a name as a bar has room for.
fn fitting(name: &str, width: f64) -> String {
    let letters = ((width - 6.0) / LETTER_WIDTH) as usize;
    match name.chars().count() {
        count if count <= letters => name.to_owned(),
        _ if letters < 3 => String::new(),
        _ => name.chars().take(letters - 1).chain(['…']).collect(),
    }
}

/// A function's own, from yellow to red: the same in every picture.
fn colour(name: &str) -> String {
    let hash = blake3::hash(name.as_bytes());
    let between = |byte: usize, from: u32, to: u32| from + (to - from) * u32::from(hash.as_bytes()[byte]) / 255;
    format!("#{:02x}{:02x}{:02x}", between(0, 225, 255), between(1, 120, 220), between(2, 60, 110))
}
