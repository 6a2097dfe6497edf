//! The return of freed memory to the system.
//!
//! The allocator keeps what other threads freed of a thread's memory until that thread allocates again and again. After many
//! calls that were held open, as by peers that do not read, an idle service would keep all that they had. This loop makes each
//! thread of the runtime allocate so often that it looks.

use std::hint::black_box;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Interval of the loop. Memory is returned within a few of them.
const EVERY: Duration = Duration::from_secs(10);
/// Allocations after which the allocator collects what other threads freed, with some to spare. They take less than a
/// millisecond.
const ALLOCATIONS: usize = 12_000;
/// Size of an allocation: above that of the allocator's short way, which does not count, in bytes.
const BYTES: usize = 2 * 1024;
/// Tasks for each thread of the runtime, so that each thread takes one.
const TASKS_OF_A_THREAD: usize = 4;

/// Runs until it is dropped.
pub(super) async fn run() {
    let threads = Handle::current().metrics().num_workers();
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let tasks: JoinSet<()> = (0..threads * TASKS_OF_A_THREAD).map(|_| async { collect() }).collect();
        tasks.join_all().await;
    }
}

/// Makes the allocator collect what other threads freed of this thread's memory.
fn collect() {
    for _ in 0..ALLOCATIONS {
        drop(black_box(Vec::<u8>::with_capacity(BYTES)));
    }
}
