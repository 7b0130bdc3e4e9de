use std::path::Path;

use super::*;

fn refused(line: &str, key: &str) {
    let text = format!("{line}\n[queues.jobs]");
    let error = Config::parse(&text, Path::new("wasq.toml")).expect_err(line).to_string();
    assert!(
        error.starts_with("wasq.toml: line ") && error.contains(&format!("`{key}` is ")) && error.contains("use "),
        "{line}: {error}"
    );
}

#[test]
fn every_limit_on_a_guest_is_refused_below_and_above_its_bounds() {
    let none = "none below";
    for (name, below, above) in [
        ("max_instances", "0", "10001"),
        ("max_timeout", "'0s'", "'13h'"),
        ("max_memory", "'1KiB'", "'5GiB'"),
        ("max_component", "0", "'2GiB'"),
        ("compile_time", "'0s'", "'2h'"),
        ("compile_memory", "'1MiB'", "'2TiB'"),
        ("core_instances", "0", "1001"),
        ("memories", "0", "17"),
        ("tables", "0", "65"),
        ("table_elements", "0", "1000001"),
        ("open_handles", "0", "1000001"),
        ("key_bytes", "0", "1000000"),
        ("result_bytes", none, "1000000"),
        ("reason_bytes", "0", "1000000"),
        ("log_bytes", none, "100000000"),
        ("log_records", none, "1000001"),
        ("random_bytes", "0", "100000000"),
        ("hostcall_bytes", "0", "2000000000"),
        ("steps", none, "10001"),
        ("step_bytes", none, "100000000"),
        ("step_total_bytes", none, "2000000000"),
        ("outbox_messages", none, "10001"),
        ("outbox_bytes", none, "2000000000"),
        ("outbox_depth", "0", "10001"),
        ("group_members", "0", "10001"),
        ("permit_wait", none, "'13h'"),
        ("settle_grace", none, "'18446744073709551615s'"),
        ("max_crashes", "0", "1001"),
        ("breaker_failures", "0", "1000001"),
        ("breaker_dependencies", "0", "1025"),
        ("breaker_probe", "'0s'", "'2m'"),
        ("pause_refresh", "'99ms'", "'2m'"),
        ("pause_hold", "'0s'", "'13h'"),
    ] {
        for value in [below, above].into_iter().filter(|value| *value != none) {
            refused(&format!("limits = {{ {name} = {value} }}"), &format!("limits.{name}"));
        }
    }
}

#[test]
fn a_step_larger_than_what_a_call_may_carry_is_refused() {
    refused("limits = { step_bytes = 9000000 }", "limits.step_bytes");
    refused("limits = { step_bytes = 3000000, hostcall_bytes = 2500000 }", "limits.step_bytes");
}

#[test]
fn what_is_said_of_a_plugin_and_the_drain_have_bounds_too() {
    for (line, key) in [
        ("plugins.a.timeout = '0s'", "plugins.a.timeout"),
        ("plugins.a.timeout = '18446744073709551615s'", "plugins.a.timeout"),
        ("plugins.a.memory = 0", "plugins.a.memory"),
        ("plugins.a.max_concurrency = 0", "plugins.a.max_concurrency"),
        ("drain_s = 9223372036854775807", "drain_s"),
        ("telemetry.sample_interval = '999ms'", "telemetry.sample_interval"),
        ("telemetry.export_interval = '61m'", "telemetry.export_interval"),
    ] {
        refused(line, key);
    }
}
