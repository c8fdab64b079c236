//! Metrics of the process, with the names of Prometheus's own libraries
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>).

use std::{fmt, fs};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::health::now_seconds;

#[derive(Debug)]
struct Process {
    /// When the process started, in seconds since 1970.
    started: f64,
}

/// Adds the metrics to the registry.
pub(super) fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(Process { started: now_seconds() }));
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
        let cpu = encoder.encode_descriptor(
            "process_cpu",
            "Time that all threads have spent on processors",
            Some(&Unit::Seconds),
            MetricType::Counter,
        )?;
        ConstCounter::new(seconds).encode(cpu)?;
        let mut gauge = |name, help, unit: Option<&Unit>, value: Option<f64>| {
            let Some(value) = value else { return Ok(()) }; // unknown without /proc
            let metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)
        };
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        gauge(
            "process_resident_memory",
            "Memory in use",
            Some(&Unit::Bytes),
            size_in_bytes(&status, "VmRSS:"),
        )?;
        gauge(
            "process_virtual_memory",
            "Address space in use",
            Some(&Unit::Bytes),
            size_in_bytes(&status, "VmSize:"),
        )?;
        gauge(
            "process_start_time",
            "When the process started, since 1970",
            Some(&Unit::Seconds),
            Some(self.started),
        )?;
        let open = fs::read_dir("/proc/self/fd").ok().map(|all| all.count() as f64);
        gauge("process_open_fds", "Open file descriptors", None, open)?;
        let most = getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |most| most as f64);
        gauge("process_max_fds", "File descriptors that may be open", None, Some(most))
    }
}

/// Reads a size of `/proc/self/status`, which is in KiB, and returns it in bytes.
fn size_in_bytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok().map(|size: f64| size * 1024.0)
}
