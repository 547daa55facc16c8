//! What another process of this machine uses, out of `/proc`.

use std::path::Path;

use anyhow::Context;

/// Kernel ticks a second; Linux shows user programs 100 on every machine it runs on.
const TICKS_PER_S: f64 = 100.0;

/// A reading of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
    /// Processor time since its start, in seconds.
    pub cpu_s: f64,
}

/// Reads what process `pid` uses now.
///
/// # Errors
/// When there is no such process.
pub fn usage(pid: u32) -> anyhow::Result<Usage> {
    let folder = Path::new("/proc").join(pid.to_string());
    let read = |file: &str| {
        let path = folder.join(file);
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    parse(&read("stat")?, &read("status")?).context("read /proc: unknown form")
}

fn parse(stat: &str, status: &str) -> Option<Usage> {
    // The name in brackets may hold anything; what follows it does not.
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: u64 = rss.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Usage { rss_bytes: kib * 1024, cpu_s: ticks as f64 / TICKS_PER_S })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_proc_is_read() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 5 0 0 0 120 30 0 0 20 0 3 0 9 1 2";
        let status = "Name:\ta\nVmRSS:\t    2048 kB\nThreads:\t3\n";
        assert_eq!(parse(stat, status), Some(Usage { rss_bytes: 2 << 20, cpu_s: 1.5 }));
        assert_eq!(parse(stat, "Name:\ta\n"), None);
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(usage(std::process::id()).expect("is alive").rss_bytes > 0);
    }
}
