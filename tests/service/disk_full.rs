//! SQLite on a disk that is full, or fails to write at some page: writes that were answered with 200 are in the file,
//! no call hangs, and every write is answered again as soon as there is room.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::catalog::inactive;
use crate::rpcs::{Rpc, call};
use crate::server_process::{Process, verify};
use crate::support::*;
use crate::wallet::transaction;

/// Numbers of pages that are left when the disk fills up: the write fails at another page with each.
const PAGES_LEFT: [u64; 6] = [0, 1, 2, 3, 5, 8];
const PAGE: [u8; 4096] = [0; 4096];
/// Number of writes of one kind while there is no room.
const WRITES_WHILE_FULL: usize = 3;
/// Longest time of a call while there is no room: the time-out of a request, and a little more.
const ANSWERED_WITHIN: Duration = Duration::from_secs(12);
/// Size of the small file system.
const SMALL: &str = "16m";

/// The disk of the database, by the way in which it fills up.
enum Disk {
    /// A limit of file sizes, beyond which writes fail as on a full disk.
    Failing(TempDir),
    /// A file system of its own, in a namespace that lives as long as its keeper.
    Small { keeper: Child, directory: TempDir },
}

impl Disk {
    fn failing() -> Self {
        Self::Failing(tempfile::tempdir().unwrap())
    }

    /// Mounts a small file system. Returns `None`, with a note, where that is not permitted.
    fn small() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let script = format!(r#"mount -t tmpfs -o size={SMALL} none "$0" && echo mounted && exec cat"#);
        let mut keeper = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", &script])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.trim_end() == "mounted" {
            return Some(Self::Small { keeper, directory });
        }
        let _ = keeper.wait();
        let _ = writeln!(std::io::stderr(), "no file system can be mounted here: nothing was tested on a full one");
        None
    }

    /// Returns the command that runs a program in the namespace of the database.
    fn entering(&self) -> Vec<String> {
        match self {
            Self::Failing(_) => vec![],
            Self::Small { keeper, .. } => {
                let target = keeper.id().to_string();
                let words = ["nsenter", "--target", &target, "--user", "--mount", "--preserve-credentials"];
                words.map(str::to_owned).to_vec()
            }
        }
    }

    /// Returns the directory as the programs that use the database see it.
    fn inside(&self) -> &Path {
        let (Self::Failing(directory) | Self::Small { directory, .. }) = self;
        directory.path()
    }

    /// Returns the directory as all other programs see it.
    fn outside(&self) -> PathBuf {
        match self {
            Self::Failing(directory) => directory.path().to_owned(),
            Self::Small { keeper, directory } => {
                let root = PathBuf::from(format!("/proc/{}/root", keeper.id()));
                root.join(directory.path().strip_prefix("/").unwrap())
            }
        }
    }

    fn url(&self) -> String {
        format!("sqlite://{}/wallet.db", self.inside().display())
    }

    /// Leaves room for this number of pages.
    fn fill(&self, process: &Process, pages: u64) -> Option<u64> {
        match self {
            Self::Failing(_) => {
                let files = std::fs::read_dir(self.outside()).unwrap();
                let largest = files.map(|file| file.unwrap().metadata().unwrap().len()).max().unwrap();
                let limit = largest + pages * PAGE.len() as u64 + 1;
                process.limit_files(Some(limit));
                Some(limit)
            }
            Self::Small { .. } => {
                let mut filler = std::fs::File::create(self.outside().join("filler")).unwrap();
                let mut length = 0;
                while let Ok(written @ 1..) = filler.write(&PAGE) {
                    length += written as u64;
                }
                filler.set_len(length.saturating_sub(pages * PAGE.len() as u64)).unwrap();
                None
            }
        }
    }

    fn free(&self, process: &Process) {
        match self {
            Self::Failing(_) => process.limit_files(None),
            Self::Small { .. } => std::fs::remove_file(self.outside().join("filler")).unwrap(),
        }
    }

    /// Runs the program there, with this limit of file sizes. Returns true if it succeeds.
    fn run(&self, limit: Option<u64>, arguments: &[&str]) -> bool {
        let limit = limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
        let output = Command::new("bash")
            .args(["-c", r#"trap "" XFSZ; limit=$1; shift; exec prlimit --fsize="$limit": "$@""#, "bash", &limit])
            .args(self.entering())
            .arg(env!("CARGO_BIN_EXE_cart-promotions"))
            .args(arguments)
            .args(["--database-url", &self.url()])
            .env_remove("CART_PROMOTIONS_DATABASE_URL")
            .output()
            .unwrap();
        output.status.success()
    }

    /// Copies the files of the database out of the namespace.
    fn copied(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        for file in ["wallet.db", "wallet.db-wal"] {
            let from = self.outside().join(file);
            if from.exists() {
                std::fs::copy(from, copy.path().join(file)).unwrap();
            }
        }
        copy
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Small { keeper, .. } = self {
            // The keeper ends with its input.
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }
}

/// Every kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriteKind {
    BulkEarn,
    Earn,
    Revoke,
    Redeem,
    Create,
    Switch,
    Audience,
    Customers,
    Import,
    AddClient,
}

use WriteKind::{AddClient, Audience, BulkEarn, Create, Customers, Earn, Import, Redeem, Revoke, Switch};

const WRITES: [WriteKind; 10] =
    [BulkEarn, Earn, Revoke, Redeem, Create, Switch, Audience, Customers, Import, AddClient];

/// A server on a disk, and its acknowledgements: each is a query that must return 1 from the file.
struct FullDiskServer {
    disk: Disk,
    process: Process,
    acknowledged: Vec<String>,
    /// Earned promotions to revoke and redeem, and promotions to deactivate.
    earned: Vec<String>,
    switchable: Vec<String>,
    number: u32,
}

impl FullDiskServer {
    fn start(disk: Disk) -> Self {
        let file = disk.outside().join("catalog.json");
        std::fs::write(&file, endless(catalog()).to_string()).unwrap();
        assert!(disk.run(None, &["import", disk.inside().join("catalog.json").to_str().unwrap()]));
        std::fs::remove_file(file).unwrap();
        let entering = disk.entering();
        let entering: Vec<_> = entering.iter().map(String::as_str).collect();
        let (url, directory) = (disk.url(), tempfile::tempdir().unwrap());
        let options = ["--database-url", &url, "--listen", "127.0.0.1:0"];
        let process = Process::start_under(directory.path(), &entering, &options);
        Self { disk, process, acknowledged: vec![], earned: vec![], switchable: vec![], number: 0 }
    }

    /// Prepares the records that the next writes need, while there is room.
    async fn prepare(&mut self) {
        while self.earned.len() < 2 * (WRITES_WHILE_FULL + 1) {
            self.number += 1;
            let request = one_entry(&format!("prepared {}", self.number), TEN_OFF, 8);
            let answer = self.process.caller.earn_once_recovered(Endpoint::Grpc, &request).await;
            self.earned.extend(earn_ids(&answer.body));
        }
        while self.switchable.len() < WRITES_WHILE_FULL + 1 {
            self.number += 1;
            let mut promotion = inactive(&format!("Switched {}", self.number));
            promotion["active"] = true.into();
            let request = json!({"promotion": promotion});
            let caller = &self.process.caller;
            let answer = call(caller, Endpoint::Grpc, Rpc::of_demo("CatalogService/CreatePromotion"), request).await;
            self.switchable.push(answer.body["data"]["id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned());
        }
    }

    /// Returns the method and the request of a write, and the query that finds the write.
    fn next(&mut self, write: WriteKind) -> (&'static str, Value, String) {
        self.number += 1;
        let number = self.number;
        let earned = || format!("SELECT count(*) FROM earned_promotions WHERE event_id = 'full {number}'");
        let became = |id: &str, status| {
            format!("SELECT count(*) FROM earned_promotions WHERE earn_id = '{id}' AND earned_status = '{status}'")
        };
        match write {
            BulkEarn => ("", one_entry(&format!("full {number}"), TEN_OFF, 1), earned()),
            Earn => {
                let mut request = crate::wallet::one_to_earn();
                request["eventDetails"]["id"] = format!("full {number}").into();
                ("EarnService/Earn", request, earned())
            }
            Revoke => {
                let id = self.earned.pop().unwrap();
                let details = json!([{"promotionId": TEN_OFF, "earnIds": [id]}]);
                let request = json!({"customerId": CUSTOMER, "earnRevokeDetails": details});
                ("WalletService/RevokeEarnedPromotions", request, became(&id, "REVOKED"))
            }
            Redeem => {
                let id = self.earned.pop().unwrap();
                let request = transaction(&format!("full {number}"), CUSTOMER, &[(TEN_OFF, &id)]);
                ("WalletService/Redeem", request, became(&id, "REDEEMED"))
            }
            Create => {
                let name = format!("Full {number}");
                let question = format!("SELECT count(*) FROM promotions WHERE name = '{name}'");
                ("CatalogService/CreatePromotion", json!({"promotion": inactive(&name)}), question)
            }
            Switch => {
                let id = self.switchable.pop().unwrap();
                let question = format!("SELECT count(*) FROM promotions WHERE id = '{id}' AND NOT active");
                ("CatalogService/DeactivatePromotion", json!({"promotionId": id}), question)
            }
            Audience => {
                let request = json!({"promotionId": TEN_OFF, "add": [number]});
                let question = format!("SELECT count(*) FROM audiences WHERE customer_id = {number}");
                ("CatalogService/ChangeAudience", request, question)
            }
            Customers => {
                let question = format!("SELECT count(*) FROM customers WHERE customer_id = 10000000 + {number}");
                let customer = json!([10_000_000 + number]);
                ("CustomerService/UpsertCustomers", json!({"customerIds": customer}), question)
            }
            Import | AddClient => unreachable!("no call"),
        }
    }

    /// Sends one write, or runs one command. Returns true if it succeeds. Any status but 200 and 503 fails the test.
    async fn write(&mut self, write: WriteKind, limit: Option<u64>) -> bool {
        let begun = Instant::now();
        let (done, question) = match write {
            Import => {
                self.number += 1;
                let name = format!("Imported {}", self.number);
                let mut promotion = inactive(&name);
                promotion["id"] = format!("{:024x}", 0x1_0000 + self.number).into();
                promotion["orgId"] = ORG.into();
                // The file is on another disk, because this one has no room for it.
                let file = tempfile::NamedTempFile::new().unwrap();
                std::fs::write(file.path(), json!({"promotions": [promotion]}).to_string()).unwrap();
                let done = self.disk.run(limit, &["import", file.path().to_str().unwrap()]);
                (done, format!("SELECT count(*) FROM promotions WHERE name = '{name}'"))
            }
            AddClient => {
                self.number += 1;
                let name = format!("client{}", self.number);
                let done = self.disk.run(limit, &["clients", "add", "--org", "3", &name]);
                (done, format!("SELECT count(*) FROM api_clients WHERE username = '{name}'"))
            }
            _ => {
                let (method, request, question) = self.next(write);
                let endpoint = ENDPOINTS[usize::try_from(self.number % 2).unwrap()];
                let caller = self.process.caller.clone();
                let answer = match method {
                    "" => caller.earn(endpoint, &request).await,
                    method => call(&caller, endpoint, Rpc::of_demo(method), request).await,
                };
                let may_pass = matches!(answer.status, 503 | 14);
                assert!(answer.code == 0 || may_pass, "{write:?}: {answer:?}");
                (answer.code == 0, question)
            }
        };
        assert!(begun.elapsed() < ANSWERED_WITHIN, "{write:?} took {:?}", begun.elapsed());
        if done {
            self.acknowledged.push(question);
        }
        done
    }

    /// Fills the disk, makes writes of this kind, and frees the room again. Returns the number of refused writes.
    async fn without_room(&mut self, write: WriteKind, pages: u64) -> usize {
        self.prepare().await;
        let limit = self.disk.fill(&self.process, pages);
        let mut refused = 0;
        for _ in 0..WRITES_WHILE_FULL {
            refused += usize::from(!self.write(write, limit).await);
        }
        self.disk.free(&self.process);
        let begun = Instant::now();
        while !self.write(write, None).await {
            assert!(begun.elapsed() < RECOVERED_WITHIN, "{write:?} is still refused");
            self.prepare().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // From here on every write is answered.
        for other in [BulkEarn, Customers, BulkEarn] {
            assert!(self.write(other, None).await, "{other:?} is refused after {write:?}, with room");
        }
        refused
    }

    /// Kills the server, and checks that every acknowledged write is in the file and that the file is intact.
    fn compare(mut self) {
        self.process.kill();
        let copy = self.disk.copied();
        let path = copy.path().join("wallet.db");
        let database = rusqlite::Connection::open(&path).unwrap();
        let held = |question: &String| database.query_row(question, [], |row| row.get::<_, i64>(0)).unwrap() == 1;
        let lost: Vec<_> = self.acknowledged.iter().filter(|question| !held(question)).collect();
        assert!(lost.is_empty(), "{} of {} are lost: {lost:#?}", lost.len(), self.acknowledged.len());
        drop(database);
        verify(&format!("sqlite://{}", path.display()));
    }
}

/// Fills the disk under one kind of write, at one page after the other. Each kind has a disk of its own: SQLite reuses
/// its log from the beginning once the log is long, and a full disk has room for that.
async fn without_room(write: WriteKind, disk: Disk) {
    let mut world = FullDiskServer::start(disk);
    let mut refused = 0;
    for pages in PAGES_LEFT {
        refused += world.without_room(write, pages).await;
    }
    assert!(refused > 0, "{write:?} was never refused: the disk does not fill up");
    world.compare();
}

#[tokio::test]
async fn what_is_answered_while_writes_fail_is_in_the_file_and_writes_go_on_afterwards() {
    for write in WRITES {
        without_room(write, Disk::failing()).await;
    }
}

#[tokio::test]
async fn what_is_answered_on_a_full_file_system_is_in_the_file_and_writes_go_on_afterwards() {
    for write in WRITES {
        let Some(disk) = Disk::small() else { return };
        without_room(write, disk).await;
    }
}

#[tokio::test]
async fn readiness_is_false_while_writes_fail_and_true_again_afterwards() {
    let mut world = FullDiskServer::start(Disk::failing());
    let caller = world.process.caller.clone();
    let ready = async |expected: u16| {
        let told = async {
            while caller.http().get(caller.url("/readyz")).send().await.unwrap().status() != expected {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(RECOVERED_WITHIN, told).await.unwrap_or_else(|_| panic!("/readyz is never {expected}"));
    };
    for write in [BulkEarn, Customers] {
        ready(200).await;
        world.prepare().await;
        let limit = world.disk.fill(&world.process, 0);
        while world.write(write, limit).await {}
        ready(503).await;
        world.disk.free(&world.process);
        ready(200).await;
        assert!(world.write(write, None).await, "{write:?}");
    }
    world.compare();
}
