//! The service under a service manager: what systemd is told of its state.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::server_process::Process;
use crate::support::*;

/// Time in which the service tells a state that it has reached.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

// Waiting for a message blocks a thread.
#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_when_calls_are_answered_and_when_the_service_stops() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(TOLD_WITHIN)).unwrap();
    let told = || {
        let mut message = [0; 256];
        let length = socket.recv(&mut message).expect("the service tells its state");
        String::from_utf8(message[..length].to_vec()).unwrap()
    };

    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let process = Process::start_in(directory.path(), &environment, &["--demo", "--listen", "127.0.0.1:0"]);
    assert_eq!(told().trim_end(), "READY=1");
    let answer = process.caller.earn(Endpoint::Json, &documented_request()).await;
    assert_eq!(answer.code, 0, "{answer:?}");

    process.signal("TERM");
    assert_eq!(told().trim_end(), "STOPPING=1");
    assert!(process.end().0);
}
