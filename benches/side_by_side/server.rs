//! The release server as a process of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use crate::processes;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cart-promotions");
/// The folder for files in memory, if the system has one. On the disk of the database a log grows until the system
/// writes tens of megabytes of it at once, and commits can wait behind them.
const IN_MEMORY: &str = "/dev/shm";
/// Time in which the server must become ready.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Options of the server over its defaults: arguments, and environment variables.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServerOptions<'a> {
    pub arguments: &'a [&'a str],
    pub environment: &'a [(&'a str, &'a str)],
}

/// A running server, which is killed when this value is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: NamedTempFile,
    pub address: SocketAddr,
    /// The time from the start to the first successful readiness probe.
    pub ready_after: Duration,
}

impl Server {
    /// Starts the server in `directory` with these options. Returns when it is ready.
    pub fn start(directory: &Path, options: ServerOptions<'_>) -> Self {
        let address = free_address();
        let log = NamedTempFile::new_in(IN_MEMORY).or_else(|_| NamedTempFile::new()).unwrap();
        let lines = log.reopen().unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--listen", &address.to_string(), "--log-format", "json"]).args(options.arguments);
        // By default there is no request limit; an option overrides this variable.
        command.env("CART_PROMOTIONS_REQUESTS_PER_MINUTE", "0").envs(options.environment.iter().copied());
        let begun = Instant::now();
        let child = command.current_dir(directory).stdout(Stdio::null()).stderr(lines).spawn().unwrap();
        let mut server = Self { child, log, address, ready_after: Duration::ZERO };
        while !ready(address) {
            assert!(begun.elapsed() < READY_WITHIN, "the server does not become ready");
            assert!(server.child.try_wait().unwrap().is_none(), "{}", server.log());
            std::thread::sleep(Duration::from_millis(1));
        }
        server.ready_after = begun.elapsed();
        server
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn resident_mib(&self) -> f64 {
        processes::resident_mib(self.process())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// Stops the server and waits until it ends by itself.
    pub fn stop(mut self) {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` there is no process to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns an address of this machine on which nothing listens.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Imports `file` into the database at `url`, which also brings the schema up to date.
pub fn import(url: &str, file: &Path) {
    let imported = Command::new(PROGRAM).args(["import", "--database-url", url]).arg(file).output().unwrap();
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
}

fn ready(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let mut answer = [0; 12];
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && &answer == b"HTTP/1.1 200"
}
