//! Metrics of the process itself: processor time, memory, files and threads, as Linux tells them in `/proc`.

use std::fs;

use parking_lot::Mutex;
use prometheus::{Counter, Gauge, Registry};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::registration::{MetricsError, registered};

/// Metrics of this process.
#[derive(Debug)]
pub struct ProcessMetrics {
    /// The counter of processor time. Its lock keeps two scrapes at one time from counting the same time twice.
    cpu: Mutex<Counter>,
    start: Gauge,
    threads: Gauge,
    virtual_memory: Gauge,
    resident_memory: Gauge,
    open_files: Gauge,
    max_files: Gauge,
}

impl ProcessMetrics {
    /// Returns the metrics, which are 0 until [`Self::read`].
    ///
    /// # Errors
    /// Returns an error when two metrics have one name.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let gauge = |name, help| registered(registry, Gauge::new(name, help)?);
        let cpu = Counter::new("process_cpu_seconds_total", "Processor time of the process in seconds.")?;
        Ok(Self {
            cpu: Mutex::new(registered(registry, cpu)?),
            start: gauge("process_start_time_seconds", "Start of the process in seconds since 1970-01-01T00:00:00Z.")?,
            threads: gauge("process_threads", "Threads of the process.")?,
            virtual_memory: gauge("process_virtual_memory_bytes", "Virtual memory of the process in bytes.")?,
            resident_memory: gauge("process_resident_memory_bytes", "Resident memory of the process in bytes.")?,
            open_files: gauge("process_open_fds", "Open file descriptors of the process.")?,
            max_files: gauge("process_max_fds", "Highest number of file descriptors that the process may open.")?,
        })
    }

    /// Reads the present values. What the system does not tell stays as it is.
    pub fn read(&self) {
        if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse) {
            let cpu = self.cpu.lock();
            cpu.inc_by((stat.cpu_seconds - cpu.get()).max(0.0));
            self.threads.set(stat.threads);
            self.virtual_memory.set(stat.virtual_bytes);
            self.resident_memory.set(stat.resident_bytes);
            if let Some(boot) = boot_seconds() {
                self.start.set(boot + stat.start_seconds);
            }
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            self.open_files.set(float(open.count() as u64));
        }
        if let Some(max) = getrlimit(Resource::Nofile).current {
            self.max_files.set(float(max));
        }
    }
}

/// Fields of `/proc/PID/stat` (proc(5)).
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: f64,
    /// Start of the process in seconds since the machine started.
    start_seconds: f64,
    virtual_bytes: f64,
    resident_bytes: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name of the program, in brackets, may have spaces and brackets.
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<_> = fields.split_ascii_whitespace().collect();
        // The first of them is the third field of the page.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let ticks = float(clock_ticks_per_second());
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            threads: field(20)?,
            start_seconds: field(22)? / ticks,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * float(page_size() as u64),
        })
    }
}

/// Returns the start of the machine in seconds since 1970-01-01T00:00:00Z.
fn boot_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "exact below 9 peta")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_is_passed_over() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 8 18 4200 1000000 25 0";
        let stat = Stat::parse(&format!("17 (a) b (c) {fields}")).unwrap();
        let ticks = float(clock_ticks_per_second());
        assert_eq!((stat.cpu_seconds, stat.threads, stat.virtual_bytes), (300.0 / ticks, 8.0, 1_000_000.0));
        assert_eq!((stat.start_seconds, stat.resident_bytes), (4200.0 / ticks, 25.0 * float(page_size() as u64)));
        assert_eq!(Stat::parse("17 (short) S 1 2"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_values_of_this_process_are_read() {
        let registry = Registry::new();
        let metrics = ProcessMetrics::new(&registry).unwrap();
        metrics.read();
        let read = registry.gather();
        assert_eq!(read.len(), 7);
        // A process that has just started may have used less than one tick.
        for family in read.iter().filter(|family| family.name() != "process_cpu_seconds_total") {
            assert!(family.get_metric()[0].get_gauge().get_value() > 0.0, "{family:?}");
        }
        assert!(metrics.start.get() <= float(u64::try_from(chrono::Utc::now().timestamp()).unwrap()) + 1.0);
    }
}
