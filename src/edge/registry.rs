//! The connection registry: limits the number of connections, selects the one that makes room for a new one, and ends
//! overdue ones.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use tokio::sync::Notify;

use super::EdgeLimits;
use super::activity::{Activity, Order};
use super::crowd::{Crowd, MAX_CALLS_OF_STRANGERS};

/// Limits the connections that were told to make room and are not gone yet. At this number none is accepted until one
/// is gone.
const MAX_LEAVING: usize = 64;
/// Time after which a connection that could not make room is checked again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A position in the order of idleness: the time up to which the connection was last known to be busy, and its id.
type AcceptOrder = (Instant, u64);

/// All connections.
#[derive(Debug)]
pub struct Registry {
    limits: EdgeLimits,
    members: Mutex<Members>,
    left: Notify,
    crowd: Arc<Crowd>,
}

/// Numbers of open connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionCounts {
    /// Connections without a running call.
    pub idle: usize,
    /// Connections with a running call.
    pub active: usize,
}

#[derive(Debug, Default)]
struct Members {
    all: HashMap<u64, Member>,
    /// Connections that were not told to make room: without an authenticated call, and with one.
    staying: [BTreeSet<AcceptOrder>; 2],
    next_id: u64,
    /// Set once every connection was told to leave; a new one is told so too.
    leaving: bool,
}

#[derive(Debug)]
struct Member {
    activity: Arc<Activity>,
    /// Index of the set in `staying`.
    authenticated: bool,
    place: AcceptOrder,
}

/// The registration of a connection, which lasts until this is dropped.
#[derive(Debug)]
pub struct Registration {
    registry: Arc<Registry>,
    id: u64,
    activity: Arc<Activity>,
}

impl Registry {
    /// Returns a registry without connections.
    pub fn new(limits: EdgeLimits) -> Arc<Self> {
        Arc::new(Self { limits, members: Mutex::default(), left: Notify::new(), crowd: Arc::default() })
    }

    /// Returns the limits of connections.
    pub fn limits(&self) -> &EdgeLimits {
        &self.limits
    }

    /// Returns the number of open connections.
    pub fn counts(&self) -> ConnectionCounts {
        let members = self.members();
        let idle = members.all.values().filter(|member| member.activity.idle_since().is_some()).count();
        ConnectionCounts { idle, active: members.all.len() - idle }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock()
    }

    /// Returns true if a connection may be accepted.
    pub fn is_open(&self) -> bool {
        self.members().all.len() < self.limits.max_connections + MAX_LEAVING
    }

    /// Waits until a connection is gone.
    pub async fn left(&self) {
        self.left.notified().await;
    }

    /// Registers a new connection. At the limit, tells an idle connection to make room, or returns `None` if all are
    /// busy.
    pub fn enter(self: &Arc<Self>) -> Option<Registration> {
        let mut members = self.members();
        let now = Instant::now();
        let staying = members.staying.iter().map(BTreeSet::len).sum::<usize>();
        if staying >= self.limits.max_connections && !members.make_room(now) {
            return None;
        }
        members.next_id += 1;
        let (id, activity) = (members.next_id, Arc::new(Activity::new(self.limits, Arc::clone(&self.crowd))));
        if members.leaving {
            activity.stop();
            activity.tell(Order::LastCall);
        }
        let place = (now, id);
        members.staying[0].insert(place);
        members.all.insert(id, Member { activity: Arc::clone(&activity), authenticated: false, place });
        Some(Registration { registry: Arc::clone(self), id, activity })
    }

    /// Waits until connections without credentials take more room for calls than they may.
    pub async fn crowded(&self) {
        self.crowd.full().await;
    }

    /// Ends connections without credentials that take much room for calls and are idle, those first that are idle the
    /// longest, until a quarter of the room is free.
    pub fn thin_out(&self) {
        let members = self.members();
        let large = members.all.values().map(|member| &member.activity).filter(|activity| activity.is_large());
        let mut idle: Vec<_> = large.filter_map(|activity| Some((activity.idle_since()?, activity))).collect();
        idle.sort_unstable_by_key(|(since, _)| *since);
        for (_, activity) in idle {
            if !self.crowd.exceeds(MAX_CALLS_OF_STRANGERS / 4 * 3) {
                break;
            }
            tracing::debug!("a connection is ended: those without credentials take too much room for calls");
            activity.give_way();
        }
    }

    /// Ends connections that are overdue.
    pub fn sweep(&self) {
        for Member { activity, .. } in self.members().all.values() {
            if let Some((order, why)) = activity.overdue() {
                tracing::debug!(why, "a connection is ended");
                activity.tell(order);
            }
        }
    }

    /// Tells every connection, because the service stops. Each new one is told to leave with its first call.
    pub fn send_away(&self, order: Order) {
        let mut members = self.members();
        members.leaving = true;
        for Member { activity, .. } in members.all.values() {
            activity.stop();
            activity.tell(order);
        }
    }
}

impl Members {
    /// Tells the longest idle connection to make room, first among those without credentials. A connection that was
    /// busy since the last check is moved to its new position instead, so each is checked seldom, however many there
    /// are.
    fn make_room(&mut self, now: Instant) -> bool {
        for authenticated in [false, true] {
            while let Some(place) = self.staying[usize::from(authenticated)].first().copied().filter(|at| at.0 <= now) {
                self.staying[usize::from(authenticated)].remove(&place);
                let Some(member) = self.all.get_mut(&place.1) else { continue };
                let idle_since = member.activity.idle_since();
                member.authenticated = member.activity.is_authenticated();
                if member.authenticated == authenticated && idle_since.is_some_and(|since| since <= place.0) {
                    // A client with credentials may be sending a call, so it is told first and can call elsewhere.
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

impl Registration {
    /// Returns the activity of the connection.
    pub fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut members = self.registry.members();
        if let Some(member) = members.all.remove(&self.id) {
            members.staying[usize::from(member.authenticated)].remove(&member.place);
        }
        drop(members);
        self.registry.left.notify_one();
    }
}
