//! Numbers that the kernel keeps of the process, under the names that every exporter uses, behind
//! the prefix.

use std::{fs, sync::atomic::AtomicU64};

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

use super::level::level;

/// The figures of the process, taken anew at each scrape.
#[derive(Debug, Default)]
pub(super) struct ProcessMeter {
    cpu: Counter<f64, AtomicU64>,
    resident: Gauge,
    virtual_memory: Gauge,
    descriptors: Gauge,
    most_descriptors: Gauge,
    threads: Gauge,
    started: Gauge<f64, AtomicU64>,
}

impl ProcessMeter {
    /// Registers them.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let meter = Self::default();
        let mut register = |name, help, gauge: &Gauge| registry.register(name, help, gauge.clone());
        let help = "Descriptors in use; near relais_process_max_fds connections wait: raise the limit \
                    (LimitNOFILE, ulimit -n)";
        register("process_open_fds", help, &meter.descriptors);
        register("process_max_fds", "Descriptors that may be in use", &meter.most_descriptors);
        register("process_threads", "Threads of the process", &meter.threads);
        let help = "Memory in use; the queue's part is bounded by max_messages";
        register("process_resident_memory_bytes", help, &meter.resident);
        let help = "Address space in use";
        register("process_virtual_memory_bytes", help, &meter.virtual_memory);
        let help = "CPU time used, in user and kernel mode";
        registry.register("process_cpu_seconds", help, meter.cpu.clone());
        let help = "When the process started, in seconds since 1970";
        registry.register("process_start_time_seconds", help, meter.started.clone());
        meter
    }

    /// Asks the kernel. What it does not tell stays as it was.
    pub(super) fn update(&self) {
        if let Some(figures) = fs::read_to_string("/proc/self/stat").ok().and_then(|t| parse(&t)) {
            let ticks = rustix::param::clock_ticks_per_second() as f64;
            let cpu = figures.cpu_ticks as f64 / ticks;
            self.cpu.inner().store(cpu.to_bits(), std::sync::atomic::Ordering::Relaxed);
            self.threads.set(level(figures.threads));
            self.virtual_memory.set(level(figures.virtual_octets));
            let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
            self.resident.set(level(figures.resident_pages * page));
            if let Some(boot) = boot_time() {
                self.started.set(boot as f64 + figures.start_ticks as f64 / ticks);
            }
        }
        if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
            // One of them is that of the folder itself.
            self.descriptors.set(level(descriptors.count().saturating_sub(1)));
        }
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        self.most_descriptors.set(level(limit.unwrap_or(u64::MAX)));
    }
}

#[derive(Debug, Eq, PartialEq)]
struct Figures {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_octets: u64,
    resident_pages: u64,
}

/// The fields of `/proc/self/stat`, counted from behind the name, which may hold anything.
fn parse(stat: &str) -> Option<Figures> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Figures {
        cpu_ticks: field(14)? + field(15)?,
        threads: field(20)?,
        start_ticks: field(22)?,
        virtual_octets: field(23)?,
        resident_pages: field(24)?,
    })
}

/// Seconds since 1970.
fn boot_time() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 100 50 13 14 15 16 3 18 4000 8192 2 19\n";
        let want = Figures {
            cpu_ticks: 150,
            threads: 3,
            start_ticks: 4000,
            virtual_octets: 8192,
            resident_pages: 2,
        };
        assert_eq!(parse(stat), Some(want));
        assert_eq!(parse("7 (x"), None);
    }

    #[test]
    fn the_kernel_tells_all_of_it() {
        let meter = ProcessMeter::register(&mut Registry::default());
        meter.update();
        for (name, value) in [
            ("resident", meter.resident.get()),
            ("descriptors", meter.descriptors.get()),
            ("threads", meter.threads.get()),
        ] {
            assert!(value > 0, "{name}");
        }
        assert!(meter.most_descriptors.get() >= meter.descriptors.get());
        assert!(meter.started.get() > 1.0e9);
    }
}
