//! Reads from `/proc` the processor time and the resident memory that processes use.

use std::fs;
use std::ops::Sub;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Units of `/proc/PID/stat` in a second, the same on every Linux in user space.
const TICKS_PER_SECOND: f64 = 100.0;
/// Time between two looks at a process's memory.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Processor time in seconds, by process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    /// The callers in this process, and `pgbench`.
    pub callers: f64,
    pub server: f64,
    /// All processes of PostgreSQL.
    pub postgres: f64,
}

impl Sub for Spent {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            callers: self.callers - earlier.callers,
            server: self.server - earlier.server,
            postgres: self.postgres - earlier.postgres,
        }
    }
}

/// The processes whose time is measured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watched {
    pub server: Option<u32>,
    /// The parent of PostgreSQL's processes, or `None` if it runs on another machine.
    pub postmaster: Option<u32>,
}

impl Watched {
    /// Returns the time that the processes spent since they started.
    pub fn spent(self) -> Spent {
        let own = ProcessStat::of(std::process::id()).map_or(0.0, |stat| stat.own + stat.of_ended_children);
        let server = self.server.and_then(ProcessStat::of).map_or(0.0, |stat| stat.own);
        Spent { callers: own, server, postgres: self.postmaster.map_or(0.0, family_spent) }
    }
}

/// Returns the time of a process and of its children, including those that ended.
fn family_spent(parent: u32) -> f64 {
    let ids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let children = ids.filter_map(ProcessStat::of).filter(|stat| stat.parent == parent).map(|stat| stat.own);
    let parent = ProcessStat::of(parent).map_or(0.0, |stat| stat.own + stat.of_ended_children);
    parent + children.sum::<f64>()
}

/// Returns the process of PostgreSQL that has this one as a child.
pub fn postmaster_of(backend: u32) -> Option<u32> {
    ProcessStat::of(backend).filter(|stat| stat.name.starts_with("postgres")).map(|stat| stat.parent)
}

/// The fields of `/proc/PID/stat`.
struct ProcessStat {
    name: String,
    parent: u32,
    own: f64,
    of_ended_children: f64,
}

impl ProcessStat {
    /// Reads the fields of a process. Returns `None` if there is no such process.
    fn of(process: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name may have spaces and brackets; it ends with the last one.
        let (name, rest) = text.rsplit_once(") ")?;
        let name = name.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = rest.split(' ').collect();
        let seconds = |index: usize| Some(fields.get(index)?.parse::<f64>().ok()? / TICKS_PER_SECOND);
        Some(Self {
            name,
            parent: fields.get(1)?.parse().ok()?,
            own: seconds(11)? + seconds(12)?,
            of_ended_children: seconds(13)? + seconds(14)?,
        })
    }
}

/// Returns the resident memory of a process, in MiB.
pub fn resident_mib(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Returns the highest resident memory of a process during `work`, in MiB.
pub fn highest_resident_mib(process: u32, work: impl FnOnce()) -> f64 {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut highest = resident_mib(process);
            while !done.load(Ordering::Relaxed) {
                thread::sleep(LOOK_EVERY);
                highest = highest.max(resident_mib(process));
            }
            highest
        });
        // The watcher must end even if the work panics.
        let ends = SetOnDrop(&done);
        work();
        drop(ends);
        watcher.join().unwrap()
    })
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
