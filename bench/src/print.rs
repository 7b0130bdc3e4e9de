//! The report as text, the ratios last.

use wasq::cli::table::{Table, name, number};

use crate::contestant::Contestant;
use crate::report::{BenchReport, Ratio, Standing, Watched};

pub fn print(report: &BenchReport) {
    let (machine, settings) = (&report.machine, &report.settings);
    println!(
        "{}: {} messages of {} bytes, {} rounds, medians; ledger {}, handler {}",
        settings.broker, settings.messages, settings.bytes, settings.rounds, settings.ledger, settings.handler
    );
    println!(
        "{}, {} cores: {}; data on {}; load {:.1} before, {:.1} after",
        machine.cpu,
        machine.cores,
        machine.pins.words(),
        machine.file_system,
        machine.load_before,
        machine.load_after
    );
    println!("\n{}", contestants(&report.contestants));
    for left_out in &report.left_out {
        println!("{} was left out: {}", left_out.name.name(), left_out.why);
    }
    if !report.latency.is_empty() {
        println!("\n{}", latency(&report.latency));
    }
    if !report.ratios.is_empty() {
        println!("\nmessages/s, and CPU time a message, of wasq against");
        report.ratios.iter().for_each(|ratio| println!("{}", line(ratio)));
    }
    if !report.optimised {
        println!("\nthis binary is not optimised: its figures mean nothing; build it with --release");
    }
}

fn contestants(standings: &[Standing]) -> String {
    let mut all = Table::new([
        name(""),
        number("messages/s"),
        number("CPU µs a message"),
        number("host"),
        number("guest"),
        number("queue"),
        number("calls a message"),
        number("RSS MiB"),
        number("pollers"),
    ]);
    for standing in standings {
        let median = &standing.median;
        let or_dash = |value: Option<f64>, digits: usize| value.map_or("-".into(), |value| format!("{value:.digits$}"));
        let mut cells = vec![standing.name.name().to_owned()];
        let figures = [
            format!("{:.0}", median.messages_per_s),
            format!("{:.1}", median.cpu_us.contestant),
            or_dash(median.cpu_us.host, 1),
            or_dash(median.cpu_us.guest, 1),
            or_dash(median.cpu_us.queue, 1),
            or_dash(median.calls_per_message, 3),
            format!("{:.1}", median.rss_peak_bytes as f64 / f64::from(1 << 20)),
            standing.pace.pollers.to_string(),
        ];
        cells.extend(figures);
        all.add(cells);
    }
    all.to_string()
}

fn latency(watched: &[Watched]) -> String {
    let mut all = Table::new([
        name("latency, ms"),
        number("messages/s"),
        number("send → start p50"),
        number("p99"),
        number("p99.9"),
        number("start → settled p50"),
        number("p99"),
        number("p99.9"),
    ]);
    for watched in watched {
        let mut cells = vec![watched.name.name().to_owned(), format!("{:.0}", watched.messages_per_s)];
        for times in [&watched.latency.sent_to_start_ms, &watched.latency.start_to_settled_ms] {
            cells.extend([times.p50, times.p99, times.p999].map(|ms| format!("{ms:.1}")));
        }
        all.add(cells);
    }
    all.to_string()
}

fn line(ratio: &Ratio) -> String {
    let Ratio { to, ratio, lowest, highest, more_cpu_us, .. } = ratio;
    let meaning = match to {
        Contestant::WasqNoLedger => "what durability costs",
        Contestant::WasqNative => "what the sandbox costs",
        Contestant::Native => "the ceiling",
        Contestant::SqsConsumer => "Node, in batches",
        Contestant::SqsConsumerSingle => "Node, one by one",
        Contestant::Boto3 => "Python, threads",
        Contestant::Python => "Python",
        Contestant::Trigger => "a task, a timer and a delete a message",
        Contestant::Wasq => "itself",
    };
    format!("  {:<20} {ratio:>6.2} ×  ({lowest:.2} to {highest:.2})  {more_cpu_us:>+8.1} µs   {meaning}", to.name())
}
