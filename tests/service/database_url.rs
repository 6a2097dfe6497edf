//! The ways to give the program the URL of its database: a file and a variable show nobody the password, and the command
//! line does, which a warning says.

use std::path::Path;
use std::process::Command;

use crate::secrets::{OF_DATABASE, url_with_password};
use crate::server_process::{Process, run};
use crate::support::*;

/// The variable of `--database-url-file`.
const FILE_VARIABLE: &str = "CART_PROMOTIONS_DATABASE_URL_FILE";
/// The beginning of the warning.
const WARNING: &str = "--database-url: other users of this machine can read the password";
/// The URL of a database that no server serves, with a password.
const UNREACHABLE: &str = "postgres://demo:database-5ecret@127.0.0.1:1/name";

/// Runs `migrate` with these variables and arguments. Returns true if it succeeded, and everything that it prints.
fn migrate(directory: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_cart-promotions"))
        .args(["migrate", "--log", "trace", "--database-timeout-ms", "100"])
        .args(arguments)
        .env_remove("CART_PROMOTIONS_DATABASE_URL")
        .env_remove(FILE_VARIABLE)
        .envs(variables.iter().copied())
        .current_dir(directory)
        .output()
        .unwrap();
    let printed = [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy).concat();
    assert!(!printed.contains(OF_DATABASE), "{printed}");
    (output.status.success(), printed)
}

// Waiting for the end of the process blocks a thread, and a gRPC connection needs another one to close.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_gives_the_url_over_the_command_line_and_over_the_environment() {
    let database = Database::new().await;
    import(&database, &endless(catalog())).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(path.join("url"), url_with_password(&database) + "\n").unwrap();
    let listen = ["--listen", "127.0.0.1:0"];
    for (variables, option) in [(&[][..], &["--database-url-file", "url"][..]), (&[(FILE_VARIABLE, "url")], &[])] {
        let process = Process::start_in(path, variables, &[&listen[..], &["--log", "trace"], option].concat());
        let event = format!("{variables:?}");
        let answer = process.caller.earn(Endpoint::Grpc, &one_entry(&event, TEN_OFF, 1)).await;
        assert_eq!(answer.code, 0, "{answer:?}");
        process.signal("TERM");
        let (success, log) = process.end();
        assert!(success);
        let text = format!("{log:?}");
        assert!(!text.contains(OF_DATABASE) && !text.contains(WARNING), "{text}");
        // The umask of the test run decides whether others can read the file.
        let is_loose = std::os::unix::fs::PermissionsExt::mode(&path.join("url").metadata().unwrap().permissions());
        assert_eq!(text.contains("other users have access to this file"), is_loose & 0o027 != 0, "{text}");
    }
}

#[test]
fn a_password_on_the_command_line_is_warned_of_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(path.join("url"), UNREACHABLE).unwrap();
    let joined = format!("--database-url={UNREACHABLE}");
    for (variables, arguments, warnings) in [
        (&[][..], &["--database-url", UNREACHABLE][..], 1),
        (&[], &[&joined], 1),
        (&[("CART_PROMOTIONS_DATABASE_URL", UNREACHABLE)], &["--database-url", UNREACHABLE], 1),
        (&[("CART_PROMOTIONS_DATABASE_URL", UNREACHABLE)], &[], 0),
        (&[(FILE_VARIABLE, "url")], &[], 0),
        (&[], &["--database-url-file", "url"], 0),
        (&[], &["--database-url", "postgres://demo@127.0.0.1:1/name"], 0),
    ] {
        let (success, printed) = migrate(path, variables, arguments);
        assert!(!success);
        assert_eq!(printed.matches(WARNING).count(), warnings, "{variables:?} {arguments:?}: {printed}");
    }
    let served = run(
        path,
        &["serve", "--listen", "127.0.0.1:0", "--wait-for-database-ms", "0", "--database-timeout-ms", "100", &joined],
    );
    let printed = String::from_utf8(served.stderr).unwrap();
    assert_eq!(printed.matches(WARNING).count(), 1, "{printed}");
    for way in ["CART_PROMOTIONS_DATABASE_URL", "--database-url-file"] {
        assert!(printed.contains(way), "{printed}");
    }
}

#[test]
fn a_file_that_gives_no_url_is_one_line_with_the_option_and_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for (file, content) in [
        ("empty", ""),
        ("blank", "\n"),
        ("lines", "sqlite://x.db\ndatabase-5ecret\n"),
        ("malformed", "database-5ecret"),
        ("unescaped", "postgres://demo:my?database-5ecret@db/name"),
        ("parameter", "postgres://demo@db/name?database-5ecret"),
        // Is not written.
        ("missing", "database-5ecret"),
    ] {
        if file != "missing" {
            std::fs::write(path.join(file), content).unwrap();
        }
        for (variables, arguments) in [(&[][..], &["--database-url-file", file][..]), (&[(FILE_VARIABLE, file)], &[])] {
            let (success, printed) = migrate(path, variables, arguments);
            assert!(!success && printed.lines().count() == 1, "{printed}");
            assert!(printed.starts_with("cart-promotions: ") && printed.contains(&format!("'{file}'")), "{printed}");
            assert!(printed.contains("--database-url-file"), "{printed}");
        }
    }
}

#[test]
fn a_url_and_a_file_together_are_an_error_of_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(path.join("url"), "sqlite://x.db").unwrap();
    let (url, file) = (["--database-url", UNREACHABLE], ["--database-url-file", "url"]);
    for (variables, arguments) in [
        (&[][..], &[&url[..], &file].concat()[..]),
        (&[("CART_PROMOTIONS_DATABASE_URL", UNREACHABLE)], &file),
        (&[(FILE_VARIABLE, "url")], &url),
        (&[(FILE_VARIABLE, "url"), ("CART_PROMOTIONS_DATABASE_URL", UNREACHABLE)], &[]),
    ] {
        let (success, printed) = migrate(path, variables, arguments);
        assert!(!success && printed.lines().count() == 1, "{printed}");
        for option in ["--database-url ", "--database-url-file ", "cannot be used with"] {
            assert!(printed.contains(option), "{variables:?} {arguments:?}: {printed}");
        }
    }
}
