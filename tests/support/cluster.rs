//! A throw-away PostgreSQL cluster on a free port of 127.0.0.1, for tests and benches.
//!
//! A shell script creates, runs and removes the cluster. The script runs until its standard input ends, so the cluster
//! goes when the value is dropped, and also when the program that started it is killed.

#![allow(dead_code, reason = "each program uses its part of it")]

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Time in which a cluster must be created and started, or must restart.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// Time between two checks of readiness.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Number of starts: each uses another port, because another process may have taken the free one.
const ATTEMPTS: usize = 3;
/// The user that runs PostgreSQL, which refuses to run as root.
const UNPRIVILEGED_USER: &str = "postgres";

/// The script. Its arguments are the folder of the programs, the port, then the options of the server.
const SCRIPT: &str = r#"
# A signal from the terminal is for the program that started this; its end is the sign here.
trap '' INT TERM HUP
bin=$1 port=$2
shift 2
directory=$(mktemp -d "${TMPDIR:-/tmp}/cluster.XXXXXXXX") || exit 1
trap 'rm -rf "$directory"' EXIT
cd "$directory" || exit 1
"$bin/initdb" --pgdata=data --username=postgres --auth=trust --encoding=UTF8 --no-locale --no-sync >log 2>&1 || {
    cat log >&2
    exit 1
}
start() {
    "$bin/postgres" -D data -p "$port" -k "$directory" -c listen_addresses=127.0.0.1 "$@" >>log 2>&1 &
    server=$!
}
end() {
    kill -QUIT "$server" 2>/dev/null
    wait "$server"
}
start "$@"
echo start
while read -r order; do
    case $order in
    stop) end ;;
    start) start "$@" ;;
    esac
    echo "$order"
done
end
"#;

/// A running cluster, which ends when this value is dropped; its files are then removed.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    port: u16,
    keeper: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Cluster {
    /// Creates a cluster with these settings over the defaults (`("fsync", "off")`), and waits until it accepts
    /// connections. Returns `None` if no PostgreSQL is installed.
    pub fn find_and_start(settings: &[(&str, &str)]) -> Option<Self> {
        let programs = find_programs()?;
        let started = (0..ATTEMPTS).find_map(|_| Self::start(&programs, settings));
        Some(started.unwrap_or_else(|| panic!("PostgreSQL of {} does not start", programs.display())))
    }

    fn start(programs: &Path, settings: &[(&str, &str)]) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut keeper = unprivileged("sh");
        keeper.args(["-c", SCRIPT, "cluster"]).arg(programs).arg(port.to_string());
        for (name, value) in settings {
            keeper.arg("-c").arg(format!("{name}={value}"));
        }
        keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut keeper = keeper.spawn().expect("sh");
        let orders = keeper.stdin.take();
        let answers = BufReader::new(keeper.stdout.take().expect("piped"));
        let mut cluster = Self { programs: programs.to_owned(), port, keeper, orders, answers };
        (cluster.hear() == "start" && cluster.becomes_ready()).then_some(cluster)
    }

    /// Returns the URL of a database of the cluster.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Creates an empty database, and returns its URL.
    pub fn create_database(&self, name: &str) -> String {
        let created = self.client("createdb").arg(name).status().expect("createdb");
        assert!(created.success(), "createdb {name}: {created}");
        self.url(name)
    }

    /// Ends the cluster as a crash would, without a checkpoint and cutting every connection.
    pub fn stop_immediate(&mut self) {
        self.order("stop");
    }

    /// Starts the cluster again after that. Returns when it accepts connections.
    pub fn start_again(&mut self) {
        self.order("start");
        assert!(self.becomes_ready(), "PostgreSQL does not come up again");
    }

    /// Sends an order to the script, and waits until it is done.
    fn order(&mut self, order: &str) {
        let orders = self.orders.as_mut().expect("open until dropped");
        writeln!(orders, "{order}").expect("the cluster's keeper");
        assert_eq!(self.hear(), order);
    }

    /// Returns the next line of the script, which is empty if the script has ended.
    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the cluster's keeper");
        line.trim_end().to_owned()
    }

    fn becomes_ready(&self) -> bool {
        let deadline = Instant::now() + READY_WITHIN;
        let ready = || self.client("pg_isready").arg("--quiet").status().expect("pg_isready").success();
        while !ready() {
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(LOOK_EVERY);
        }
        true
    }

    /// Returns a command of PostgreSQL with the address of the cluster.
    fn client(&self, program: &str) -> Command {
        let mut client = Command::new(self.programs.join(program));
        client.args(["--host=127.0.0.1", "--username=postgres"]).arg(format!("--port={}", self.port));
        client
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.keeper.wait();
    }
}

/// Returns the folder of PostgreSQL's programs: that of the `initdb` on the path, else the one that `pg_config` names,
/// else the newest where Debian installs them.
pub fn find_programs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).filter_map(|folder| folder.join("initdb").canonicalize().ok());
    let on_path = on_path.filter_map(|initdb| initdb.parent().map(Path::to_owned));
    let named = Command::new("pg_config").arg("--bindir").stderr(Stdio::null()).output();
    let named = named.into_iter().map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()));
    let complete = |folder: &PathBuf| {
        ["initdb", "postgres", "pg_isready", "createdb"].iter().all(|program| folder.join(program).is_file())
    };
    on_path.chain(named).chain(installed_by_debian()).find(complete)
}

fn installed_by_debian() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let mut versions: Vec<_> = versions.map(|version| version.path()).collect();
    let number = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<f64>().ok());
    versions.sort_by(|one, other| number(other).partial_cmp(&number(one)).expect("no version is NaN"));
    versions.into_iter().map(|version| version.join("bin")).collect()
}

/// Returns a command for `program`, run as another user if this process is root.
fn unprivileged(program: &str) -> Command {
    let id = Command::new("id").arg("-u").output().expect("id");
    if id.stdout.trim_ascii() != b"0" {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let user = [format!("--reuid={UNPRIVILEGED_USER}"), format!("--regid={UNPRIVILEGED_USER}")];
    command.args(user).args(["--clear-groups", program]);
    command
}
