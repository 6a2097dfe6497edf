//! Every connection there is: how many may be, which one makes room for the next, and which ones are overdue.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use tokio::sync::Notify;

use super::EdgeLimits;
use super::activity::{Activity, Order};

/// Connections that were told to make room and are not gone yet. When they are that many, nobody is let in until one is.
const MAX_LEAVING: usize = 64;
/// When one that could not make room is looked at again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A connection, behind the time of the last look at it: it is idle since then or later.
type Place = (Instant, u64);

/// All connections.
#[derive(Debug)]
pub struct Roster {
    limits: EdgeLimits,
    members: Mutex<Members>,
    left: Notify,
    /// Headers that are not complete, beyond small ones: bytes.
    large_heads: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Members {
    all: HashMap<u64, Member>,
    /// Those that were not told to make room: without a call with credentials, and with one.
    staying: [BTreeSet<Place>; 2],
    next_id: u64,
    /// Everybody was told to leave: so is whoever comes.
    leaving: bool,
}

#[derive(Debug)]
struct Member {
    activity: Arc<Activity>,
    /// Where it is in `staying`.
    authenticated: bool,
    place: Place,
}

/// A connection is there for as long as it has this.
#[derive(Debug)]
pub struct Membership {
    roster: Arc<Roster>,
    id: u64,
    activity: Arc<Activity>,
}

impl Roster {
    /// Of nobody.
    pub fn new(limits: EdgeLimits) -> Arc<Self> {
        Arc::new(Self { limits, members: Mutex::default(), left: Notify::new(), large_heads: Arc::default() })
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock()
    }

    /// Whether a connection may be accepted, whatever becomes of it.
    pub fn is_open(&self) -> bool {
        self.members().all.len() < self.limits.max_connections + MAX_LEAVING
    }

    /// Waits until a connection is gone.
    pub async fn left(&self) {
        self.left.notified().await;
    }

    /// Lets a new connection in, and tells an idle one to make room if there are as many as may be; `None` when all are
    /// busy.
    pub fn enter(self: &Arc<Self>) -> Option<Membership> {
        let mut members = self.members();
        let now = Instant::now();
        let staying = members.staying.iter().map(BTreeSet::len).sum::<usize>();
        if staying >= self.limits.max_connections && !members.make_room(now) {
            return None;
        }
        members.next_id += 1;
        let (id, activity) = (members.next_id, Arc::new(Activity::new(self.limits, Arc::clone(&self.large_heads))));
        if members.leaving {
            activity.take_one_call();
        }
        let place = (now, id);
        members.staying[0].insert(place);
        members.all.insert(id, Member { activity: Arc::clone(&activity), authenticated: false, place });
        Some(Membership { roster: Arc::clone(self), id, activity })
    }

    /// Tells those that are overdue.
    pub fn sweep(&self) {
        for Member { activity, .. } in self.members().all.values() {
            if let Some((order, why)) = activity.overdue() {
                tracing::debug!(why, "a connection is ended");
                activity.tell(order);
            }
        }
    }

    /// Tells everybody to leave, and whoever comes from now on with its first call.
    pub fn send_away(&self) {
        let mut members = self.members();
        members.leaving = true;
        members.all.values().for_each(|member| member.activity.tell(Order::Leave));
    }
}

impl Members {
    /// Tells the one that is to make room: of those without credentials the one that is idle the longest, else of all.
    /// Whoever turns out to be idle for less long than it was thought to be, or not at all, goes where it belongs; so
    /// each is looked at seldom, however many there are.
    fn make_room(&mut self, now: Instant) -> bool {
        for authenticated in [false, true] {
            while let Some(place) = self.staying[usize::from(authenticated)].first().copied().filter(|at| at.0 <= now) {
                self.staying[usize::from(authenticated)].remove(&place);
                let Some(member) = self.all.get_mut(&place.1) else { continue };
                let idle_since = member.activity.idle_since();
                member.authenticated = member.activity.is_authenticated();
                if member.authenticated == authenticated && idle_since.is_some_and(|since| since <= place.0) {
                    // Somebody with credentials may be about to call, and is told in time to call elsewhere.
                    let leave = authenticated && member.activity.is_between_calls();
                    member.activity.tell(if leave { Order::Leave } else { Order::Cut });
                    return true;
                }
                member.place = (idle_since.unwrap_or(now + LOOK_AGAIN_AFTER), place.1);
                self.staying[usize::from(member.authenticated)].insert(member.place);
            }
        }
        false
    }
}

impl Membership {
    /// Of this connection.
    pub fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut members = self.roster.members();
        if let Some(member) = members.all.remove(&self.id) {
            members.staying[usize::from(member.authenticated)].remove(&member.place);
        }
        drop(members);
        self.roster.left.notify_one();
    }
}
