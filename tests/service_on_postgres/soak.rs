//! A soak: four processes whose clocks differ serve mixed load while they are killed and paused and the database
//! crashes. No acknowledged grant is lost, nothing is granted twice, no cap is exceeded, and every change of the
//! catalog takes effect in every process at once.
//!
//! The soak takes some seconds; `CART_PROMOTIONS_TEST_SOAK_SECONDS` makes it longer.

mod recapped;
mod switched;
mod target;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::RwLock;

use self::recapped::Recapped;
use self::switched::{SwitchKind, Switched};
use self::target::LoadTarget;
use crate::cluster::Cluster;
use crate::load::{self, OF_OTHERS, load_catalog, random};
use crate::server_process::{Process, clock_library, verify};
use crate::support::*;

/// Default duration in seconds, and the variable that changes it.
const SECONDS: u64 = 15;
const SECONDS_VARIABLE: &str = "CART_PROMOTIONS_TEST_SOAK_SECONDS";
/// Shift of the clock of each process, where clocks can be shifted.
const CLOCKS: [&str; 4] = ["+0s", "+600s", "-600s", "+0s"];

/// One process of the fleet, which is killed and started again at its address.
struct Member {
    process: Process,
    url: String,
    address: String,
    library: Option<&'static str>,
    clock: &'static str,
}

impl Member {
    fn start(url: &str, clock: &'static str, library: Option<&'static str>) -> Self {
        let process = Process::start_by_clock(library, clock, &["--database-url", url, "--listen", "127.0.0.1:0"]);
        let address = process.caller.address.to_string();
        Self { process, url: url.to_owned(), address, library, clock }
    }

    async fn kill_and_start_again(mut self) -> Self {
        let started = tokio::task::spawn_blocking(move || {
            self.process.kill();
            let options = ["--database-url", &self.url, "--listen", &self.address];
            self.process = Process::start_by_clock(self.library, self.clock, &options);
            self
        });
        started.await.unwrap()
    }

    async fn pause(&self, pause: Duration) {
        self.process.signal("STOP");
        tokio::time::sleep(pause).await;
        self.process.signal("CONT");
    }

    /// Kills and pauses the process until `until`. A process does not start without the database, so the database is not
    /// crashed meanwhile.
    async fn torment(mut self, database: Arc<RwLock<()>>, until: Instant) -> (Self, [u32; 2]) {
        let (mut done, begun, mut paused) = ([0, 0], Instant::now(), Duration::ZERO);
        // The pause exceeds the wait for any lock: in a soak of ten minutes it is 90 s.
        let longest = Duration::from_secs(6).max((until - Instant::now()) * 3 / 20);
        loop {
            tokio::time::sleep(Duration::from_millis(500 + random(3_000))).await;
            if Instant::now() > until {
                return (self, done);
            }
            if random(2) == 0 {
                let _left_alone = database.read().await;
                self = self.kill_and_start_again().await;
                done[0] += 1;
            } else {
                // The other processes must be able to answer most of the time.
                let is_long = random(4) == 0 && paused * 4 < begun.elapsed();
                let most = if is_long { longest } else { Duration::from_millis(1_500) };
                let pause = most.mul_f64(rand::random());
                paused += pause;
                self.pause(pause).await;
                done[1] += 1;
            }
        }
    }
}

/// Crashes the database until `until`. Returns the number of crashes.
async fn crash(mut cluster: Cluster, database: Arc<RwLock<()>>, until: Instant) -> (Cluster, u32) {
    let mut crashes = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(2_500 + random(3_000))).await;
        if Instant::now() > until {
            return (cluster, crashes);
        }
        let _alone = database.write().await;
        let gone = tokio::task::spawn_blocking(move || {
            cluster.stop_immediate();
            cluster.start_again();
            cluster
        });
        cluster = gone.await.unwrap();
        crashes += 1;
    }
}

fn catalog() -> Value {
    let mut catalog = load_catalog();
    catalog["promotions"].as_array_mut().unwrap().extend(SwitchKind::ALL.map(SwitchKind::record));
    catalog
}

#[tokio::test(flavor = "multi_thread")]
async fn four_processes_serve_exactly_while_everything_around_them_fails() {
    let cluster = Cluster::find_and_start(&[("fsync", "off"), ("max_connections", "300")]).expect("PostgreSQL");
    let database = Database::at(cluster.create_database("wallet"));
    import(&database, &catalog()).await.unwrap();
    let seconds = std::env::var(SECONDS_VARIABLE).map_or(SECONDS, |seconds| seconds.parse().expect(SECONDS_VARIABLE));
    let duration = Duration::from_secs(seconds);
    let library = clock_library();
    let members: Vec<_> = CLOCKS.map(|clock| Member::start(database.url(), clock, library)).into();
    let callers: Vec<_> = members.iter().map(|member| member.process.caller.clone()).collect();
    let target = LoadTarget { callers: callers.clone(), url: database.url().to_owned() };

    let until = Instant::now() + duration;
    let load = tokio::spawn(load::run_for(callers, duration));
    let switched: Vec<_> =
        SwitchKind::ALL.map(|kind| tokio::spawn(Switched::run(kind, target.clone(), until))).into_iter().collect();
    let recapped = tokio::spawn(Recapped::run(target, until));
    let left_alone = Arc::new(RwLock::new(()));
    let crashing = tokio::spawn(crash(cluster, Arc::clone(&left_alone), until));
    let torment = |member: Member| tokio::spawn(member.torment(Arc::clone(&left_alone), until));
    let tormented: Vec<_> = members.into_iter().map(torment).collect();

    let mut members = Vec::new();
    let (mut kills, mut pauses) = (0, 0);
    for member in tormented {
        let (member, done) = member.await.unwrap();
        members.push(member);
        (kills, pauses) = (kills + done[0], pauses + done[1]);
    }
    let (_cluster, crashes) = crashing.await.unwrap();
    let ledger = load.await.unwrap();
    let recapped = recapped.await.unwrap();
    let rows = format!(
        "SELECT promotion_id, customer_id, event_id, earn_id FROM earned_promotions WHERE promotion_id LIKE '{OF_OTHERS}%'"
    );
    println!(
        "{kills} kills, {pauses} pauses, {crashes} crashes of the database; clocks shifted: {}",
        library.is_some()
    );
    let mut told = Vec::new();
    for switched in switched {
        told.push(switched.await.unwrap());
    }
    let rows = database.rows(&rows).await;
    for switched in told {
        switched.compare(&rows);
    }
    recapped.compare(&rows);
    ledger.compare(&database).await;
    verify(database.url());
    assert!(kills > 0 && pauses > 0 && crashes > 0, "{kills} kills, {pauses} pauses, {crashes} crashes");
}
