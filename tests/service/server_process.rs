//! `cart-promotions serve` as a process of its own, for tests that kill it.

#![allow(dead_code, reason = "each suite uses its part of it")]

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::TestCaller;

/// A running process, which is killed when this value is dropped: nothing that a test starts outlives it.
pub struct Process {
    child: Child,
    pub caller: TestCaller,
    /// Address of the admin listener, if there is one.
    pub admin: Option<SocketAddr>,
    stdout: BufReader<ChildStdout>,
    /// The reader of the log, which runs all the time unless a test reads the log itself.
    log: Option<JoinHandle<Vec<Value>>>,
    unread: Option<ChildStderr>,
}

/// The way to start a process.
struct Start<'a> {
    /// The limit of the size of each file, in KiB.
    limit: &'a str,
    /// Another program that starts the process, with its arguments.
    program: &'a [&'a str],
    environment: &'a [(&'a str, &'a str)],
    options: &'a [&'a str],
}

impl Start<'_> {
    const PLAIN: Self = Self { limit: "unlimited", program: &[], environment: &[], options: &[] };

    /// Starts the process, with its output in pipes.
    fn child(&self, directory: &Path) -> Child {
        Command::new("bash")
            .args(["-c", r#"trap "" XFSZ; ulimit -Sf "$1"; shift; exec "$@""#, "bash", self.limit])
            .args(self.program)
            .args([env!("CARGO_BIN_EXE_cart-promotions"), "serve", "--log-format", "json"])
            .args(self.options)
            // Most tests send more requests than the default limit allows; an option overrides this variable.
            .env("CART_PROMOTIONS_REQUESTS_PER_MINUTE", "0")
            .envs(self.environment.iter().copied())
            .current_dir(directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// Shell code that starts its arguments with the environment before `--`. The library that shifts clocks names what it
/// shares between processes after the id of the process, does not start where that exists, and leaves it behind when
/// the process is killed; so the code removes what an earlier process of this id left.
const UNDER_A_CLOCK: &str = r#"rm -f /dev/shm/faketime_shm_$$ /dev/shm/sem.faketime_sem_$$; exec env "$@""#;

/// Paths of the library that shifts the clock of a process, as the loader reads them.
const CLOCK_LIBRARIES: [&str; 3] = [
    "/usr/$LIB/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
];

/// Returns the start of a command that runs with this clock ("+3h").
fn under_a_clock(library: &str, clock: &str) -> Vec<String> {
    // Durations are measured by a monotonic clock, which is not shifted.
    let environment = [format!("LD_PRELOAD={library}"), format!("FAKETIME={clock}")];
    let shell = ["bash", "-c", UNDER_A_CLOCK, "bash", "FAKETIME_DONT_FAKE_MONOTONIC=1"].map(str::to_owned);
    shell.into_iter().chain(environment).collect()
}

/// Finds the library that shifts the clock of a process. Returns `None`, with a note, if `faketime` is not installed.
/// With `CART_PROMOTIONS_TEST_FAKETIME=required` the test fails instead.
pub fn clock_library() -> Option<&'static str> {
    let mut told = Vec::new();
    for library in CLOCK_LIBRARIES {
        let command = under_a_clock(library, "@2001-02-03 04:05:06");
        let output = Command::new(&command[0]).args(&command[1..]).args(["date", "+%Y"]).output().unwrap();
        if output.stdout.trim_ascii() == b"2001" {
            return Some(library);
        }
        told.push(output);
    }
    let given = std::env::var("CART_PROMOTIONS_TEST_FAKETIME").unwrap_or_default();
    assert!(given != "required", "faketime does not work, and this test requires it: {told:?}");
    let _ = writeln!(std::io::stderr(), "faketime is not installed: nothing was tested with clocks that differ");
    None
}

impl Process {
    /// Starts the process in `directory` with these options, and waits until it accepts calls.
    pub fn start(directory: &Path, options: &[&str]) -> Self {
        Self::start_with_disk(directory, "unlimited", options)
    }

    /// Starts a process like [`Self::start`], with a limit of the size of each file, in KiB.
    pub fn start_with_disk(directory: &Path, limit: &str, options: &[&str]) -> Self {
        Self::spawn(directory, &Start { limit, options, ..Start::PLAIN })
    }

    /// Starts a process like [`Self::start`], with these environment variables.
    pub fn start_in(directory: &Path, environment: &[(&str, &str)], options: &[&str]) -> Self {
        Self::spawn(directory, &Start { environment, options, ..Start::PLAIN })
    }

    /// Starts a process with a clock that this library, if there is one, shifts by `clock` ("+3h").
    pub fn start_by_clock(library: Option<&str>, clock: &str, options: &[&str]) -> Self {
        let program = library.map(|library| under_a_clock(library, clock)).unwrap_or_default();
        let program: Vec<_> = program.iter().map(String::as_str).collect();
        Self::start_under(Path::new("."), &program, options)
    }

    /// Starts the process as an argument of another program, such as one that enters a namespace.
    pub fn start_under(directory: &Path, program: &[&str], options: &[&str]) -> Self {
        Self::spawn(directory, &Start { program, options, ..Start::PLAIN })
    }

    /// Starts the process with `--demo` and these options. Its log is not read until [`Process::read_log`].
    pub fn start_unread(directory: &Path, options: &[&str]) -> Self {
        let options: Vec<_> = ["--demo", "--listen", "127.0.0.1:0"].iter().chain(options).copied().collect();
        let mut child = Start { options: &options, ..Start::PLAIN }.child(directory);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let curl = printed_until(&mut stdout, "}'");
        let address = curl.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap();
        let caller = TestCaller::of(address.parse().unwrap());
        let unread = child.stderr.take();
        Self { child, caller, admin: None, stdout, log: None, unread }
    }

    /// Reads the log from now on. Returns a channel of its lines.
    pub fn read_log(&mut self) -> mpsc::Receiver<Value> {
        let (tell, lines) = mpsc::channel();
        let stderr = BufReader::new(self.unread.take().expect("nobody reads it yet"));
        self.log = Some(std::thread::spawn(move || {
            stderr.lines().map(|line| json_line(&line.unwrap())).inspect(|line| drop(tell.send(line.clone()))).collect()
        }));
        lines
    }

    /// Waits for the end without reading the log. Returns true if the process succeeded, and `None` if it takes longer.
    pub fn ends_within(&mut self, limit: Duration) -> Option<bool> {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status.success());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    fn spawn(directory: &Path, start: &Start) -> Self {
        Self::started(start.child(directory))
    }

    /// Waits until the process accepts calls.
    fn started(mut child: Child) -> Self {
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, started) = mpsc::channel();
        let log = std::thread::spawn(move || {
            let mut lines = Vec::new();
            for line in stderr.lines() {
                let line = json_line(&line.unwrap());
                let address = |name: &str| line[name].as_str().map(|address| address.parse::<SocketAddr>().unwrap());
                if let Some(public) = address("address") {
                    let _ = tell.send((public, address("admin")));
                }
                lines.push(line);
            }
            lines
        });
        let (address, admin) = started.recv().expect("the server starts");
        Self { child, caller: TestCaller::of(address), admin, stdout, log: Some(log), unread: None }
    }

    /// Limits the size of every file that the process writes from now on, in bytes, or removes the limit.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let status = Command::new("prlimit")
            .args(["--pid", &self.child.id().to_string(), &format!("--fsize={limit}:")])
            .status()
            .expect("prlimit");
        assert!(status.success());
    }

    /// Returns the output up to the line with this end.
    pub fn printed_until(&mut self, end: &str) -> String {
        printed_until(&mut self.stdout, end)
    }

    /// Returns the id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        send_signal(&self.child, name);
    }

    /// Kills the process like `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the end. Returns true if the process succeeded, and the log.
    pub fn end(mut self) -> (bool, Vec<Value>) {
        let log = self.log.take().unwrap().join().unwrap();
        (self.child.wait().unwrap().success(), log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for shared in ["faketime_shm", "sem.faketime_sem"] {
            let _ = std::fs::remove_file(format!("/dev/shm/{shared}_{}", self.child.id()));
        }
        // The log helps to explain a failed test.
        if let (true, Some(Ok(log))) = (std::thread::panicking(), self.log.take().map(JoinHandle::join)) {
            let complaints = log.iter().filter(|line| !matches!(line["level"].as_str(), Some("INFO" | "DEBUG")));
            for line in complaints {
                let _ = writeln!(std::io::stderr(), "{}: {line}", self.child.id());
            }
        }
    }
}

/// Sends a signal to a process. The program `kill` is not installed everywhere.
pub fn send_signal(child: &Child, name: &str) {
    let signal = match name {
        "CONT" => Signal::CONT,
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "KILL" => Signal::KILL,
        "STOP" => Signal::STOP,
        "TERM" => Signal::TERM,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        other => panic!("{other}"),
    };
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn json_line(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))
}

fn printed_until(stdout: &mut BufReader<ChildStdout>, end: &str) -> String {
    let mut text = String::new();
    while !text.trim_end().ends_with(end) {
        assert!(stdout.read_line(&mut text).unwrap() > 0, "no more than {text}");
    }
    text
}

/// Runs the program with these arguments to its end, which `timeout` enforces after a minute with code 124: a server that
/// should not start must not run for ever.
pub fn run(directory: &Path, arguments: &[&str]) -> Output {
    Command::new("timeout")
        .args(["60", env!("CARGO_BIN_EXE_cart-promotions")])
        .args(arguments)
        .current_dir(directory)
        // The environment of the test run must not reach the program.
        .env_remove("CART_PROMOTIONS_DATABASE_URL")
        .env_remove("CART_PROMOTIONS_DATABASE_URL_FILE")
        .output()
        .unwrap()
}

/// Runs `verify`, which must find nothing.
pub fn verify(url: &str) {
    let output = run(&std::env::temp_dir(), &["verify", "--database-url", url, "--log-format", "json"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().count() >= 5 && text.lines().all(|line| line.starts_with("ok ")), "{text}");
}
