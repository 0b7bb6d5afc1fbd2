//! A host's gauges and counters in Prometheus' text form.

use std::fmt::Write as _;

use samovar_model::HostStats;

/// Appends them.
pub(crate) fn write(host: &HostStats, out: &mut String) {
    let families = [
        ("samovar_host_instances", "gauge", "Instances alive now.", host.instances),
        ("samovar_host_instances_max", "gauge", "The most instances alive at once.", host.max_instances),
        ("samovar_host_memory_bytes", "gauge", "Memory resident, with page tables.", host.memory_bytes),
        ("samovar_host_memory_used_bytes", "gauge", "Memory resident or promised.", host.memory_used_bytes),
        ("samovar_host_memory_budget_bytes", "gauge", "The most memory to be used.", host.memory_budget_bytes),
        ("samovar_host_code_bytes", "gauge", "Compiled code loaded.", host.code_bytes),
        ("samovar_host_code_budget_bytes", "gauge", "The most compiled code kept loaded.", host.code_budget_bytes),
        ("samovar_host_components", "gauge", "Components whose code is loaded.", host.components),
        ("samovar_host_code_loads_total", "counter", "Loads of code.", host.code_loads),
        ("samovar_host_code_evictions_total", "counter", "Code let go to make room.", host.code_evictions),
        (
            "samovar_host_instance_evictions_total",
            "counter",
            "Idle instances dropped for room.",
            host.instance_evictions,
        ),
    ];
    for (name, kind, help, value) in families {
        // Samples of a counter end in `_total`, its name in the metadata does not.
        let family = name.strip_suffix("_total").unwrap_or(name);
        let written = write!(out, "# HELP {family} {help}\n# TYPE {family} {kind}\n{name} {value}\n");
        written.expect("writing to a string cannot fail");
    }
}
