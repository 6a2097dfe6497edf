//! The connection registry: limits the number of connections, selects the one that makes room for a new one, and ends
//! overdue ones.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use tokio::sync::Notify;

use super::activity::Activity;
use super::crowd::{Crowd, MAX_CALLS_OF_STRANGERS};
use super::limits::EdgeLimits;
use super::orders::Order;

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
    connections: Mutex<Connections>,
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
struct Connections {
    all: HashMap<u64, RegisteredConnection>,
    /// Connections that were not told to make room: without an authenticated call, and with one.
    staying: [BTreeSet<AcceptOrder>; 2],
    next_id: u64,
    /// Set once every connection was told to leave; a new one is told so too.
    leaving: bool,
}

#[derive(Debug)]
struct RegisteredConnection {
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
        let crowd = Arc::new(Crowd::new(limits.max_running_of_strangers));
        Arc::new(Self { limits, connections: Mutex::default(), left: Notify::new(), crowd })
    }

    /// Returns the limits of connections.
    pub fn limits(&self) -> &EdgeLimits {
        &self.limits
    }

    /// Returns the number of open connections.
    pub fn counts(&self) -> ConnectionCounts {
        let connections = self.connections();
        let idle = connections.all.values().filter(|connection| connection.activity.idle_since().is_some()).count();
        ConnectionCounts { idle, active: connections.all.len() - idle }
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock()
    }

    /// Returns true if a connection may be accepted.
    pub fn is_open(&self) -> bool {
        self.connections().all.len() < self.limits.max_connections + MAX_LEAVING
    }

    /// Waits until a connection is gone.
    pub async fn left(&self) {
        self.left.notified().await;
    }

    /// Registers a new connection. At the limit, tells an idle connection to make room, or returns `None` if all are
    /// busy.
    pub fn enter(self: &Arc<Self>) -> Option<Registration> {
        let mut connections = self.connections();
        let now = Instant::now();
        let staying = connections.staying.iter().map(BTreeSet::len).sum::<usize>();
        if staying >= self.limits.max_connections && !connections.make_room(now) {
            return None;
        }
        connections.next_id += 1;
        let (id, activity) = (connections.next_id, Arc::new(Activity::new(self.limits, Arc::clone(&self.crowd))));
        if connections.leaving {
            activity.stop();
            activity.orders.tell(Order::LastCall);
        }
        let place = (now, id);
        connections.staying[0].insert(place);
        connections
            .all
            .insert(id, RegisteredConnection { activity: Arc::clone(&activity), authenticated: false, place });
        Some(Registration { registry: Arc::clone(self), id, activity })
    }

    /// Waits until connections without credentials take more room for calls than they may.
    pub async fn crowded(&self) {
        self.crowd.full().await;
    }

    /// Ends connections without credentials that take much room for calls and are idle, those first that are idle the
    /// longest, until a quarter of the room is free.
    pub fn thin_out(&self) {
        let connections = self.connections();
        let large =
            connections.all.values().map(|connection| &connection.activity).filter(|activity| activity.is_large());
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
        for RegisteredConnection { activity, .. } in self.connections().all.values() {
            if let Some((order, why)) = activity.overdue() {
                tracing::debug!(why, "a connection is ended");
                activity.orders.tell(order);
            }
        }
    }

    /// Tells every connection, because the service stops. Each new one is told to leave with its first call.
    pub fn send_away(&self, order: Order) {
        let mut connections = self.connections();
        connections.leaving = true;
        for RegisteredConnection { activity, .. } in connections.all.values() {
            activity.stop();
            activity.orders.tell(order);
        }
    }
}

impl Connections {
    /// Tells the longest idle connection to make room, first among those without credentials. A connection that was
    /// busy since the last check is moved to its new position instead, so each is checked seldom, however many there
    /// are.
    fn make_room(&mut self, now: Instant) -> bool {
        for authenticated in [false, true] {
            while let Some(place) = self.staying[usize::from(authenticated)].first().copied().filter(|at| at.0 <= now) {
                self.staying[usize::from(authenticated)].remove(&place);
                let Some(connection) = self.all.get_mut(&place.1) else { continue };
                let idle_since = connection.activity.idle_since();
                connection.authenticated = connection.activity.is_authenticated();
                if connection.authenticated == authenticated && idle_since.is_some_and(|since| since <= place.0) {
                    // A client with credentials may be sending a call, so it is told first and can call elsewhere.
                    let leave = authenticated && connection.activity.is_between_calls();
                    connection.activity.orders.tell(if leave { Order::Leave } else { Order::Cut });
                    return true;
                }
                connection.place = (idle_since.unwrap_or(now + LOOK_AGAIN_AFTER), place.1);
                self.staying[usize::from(connection.authenticated)].insert(connection.place);
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
        let mut connections = self.registry.connections();
        if let Some(connection) = connections.all.remove(&self.id) {
            connections.staying[usize::from(connection.authenticated)].remove(&connection.place);
        }
        drop(connections);
        self.registry.left.notify_one();
    }
}
