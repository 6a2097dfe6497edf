//! Options from the command line, the environment and a file, in this order of precedence.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use crate::server_process::Process;

/// Runs the program with these variables and arguments. Returns its exit code, and everything that it prints.
fn run(directory: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_cart-promotions"))
        .args(arguments)
        .env_remove("CART_PROMOTIONS_DATABASE_URL")
        .env_remove("CART_PROMOTIONS_DATABASE_URL_FILE")
        .envs(variables.iter().copied())
        .current_dir(directory)
        .output()
        .unwrap();
    (output.status.code(), [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy).concat())
}

/// Runs `migrate`, which prints the database that it takes.
fn migrate(directory: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    run(directory, variables, &[&["migrate"], arguments].concat())
}

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).unwrap();
}

#[test]
fn the_command_line_comes_before_the_environment_and_that_before_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    // Options of other commands are passed over.
    write(
        path,
        "c.toml",
        "listen = \"127.0.0.1:0\"\ndatabase-url = \"sqlite://of-file.db\"\ndatabase-timeout-ms = 4_000\n",
    );
    write(path, "url", "sqlite://of-url-file.db");
    let variable = ("CART_PROMOTIONS_DATABASE_URL", "sqlite://of-environment.db");
    let (config, file) = (("CART_PROMOTIONS_CONFIG", "c.toml"), ("CART_PROMOTIONS_DATABASE_URL_FILE", "url"));
    for (variables, arguments, taken) in [
        (&[][..], &["--config", "c.toml"][..], "of-file"),
        (&[], &["--config=c.toml"], "of-file"),
        (&[config], &[], "of-file"),
        (&[config, variable], &[], "of-environment"),
        (&[config, variable], &["--database-url", "sqlite://of-argument.db"], "of-argument"),
        (&[config], &["--database-url=sqlite://of-argument.db"], "of-argument"),
        // An option that excludes one of the file takes precedence in the same way.
        (&[config, file], &[], "of-url-file"),
        (&[config], &["--database-url-file", "url"], "of-url-file"),
    ] {
        let told = migrate(path, variables, arguments);
        assert_eq!(told, (Some(0), format!("sqlite://{taken}.db is up to date\n")), "{variables:?} {arguments:?}");
    }
}

#[test]
fn a_wrong_file_is_one_line_with_its_name_and_line_and_without_values() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let url = "database-url = \"postgres://demo:database-5ecret@db/x\"\n";
    for (text, expected) in [
        (
            format!("{url}listn = \":8080\"\n"),
            "c.toml:2: \"listn\" is no option of a file; the nearest known name is listen\n",
        ),
        (format!("{url}\n[serve]\nlisten = \":8080\"\n"), "c.toml:3: \"serve\" is no option of a file\n"),
        (format!("{url}org = 1\n"), "c.toml:2: \"org\" is no option of a file\n"),
        ("config = \"other.toml\"\n".to_owned(), "c.toml:1: \"config\" is no option of a file\n"),
        ("demo = \"yes\"\n".to_owned(), "c.toml:1: demo must be true or false"),
        ("listen = 1979-05-27\n".to_owned(), "c.toml:1: listen must be a text or a number"),
        ("listen = true\n".to_owned(), "c.toml:1: listen must be a text or a number"),
        (format!("{url}listen = \":8080\n"), "c.toml:2: "),
        (format!("{url}{url}"), "c.toml:2: duplicate key"),
        (url.replace("postgres:", "mysql:"), "for '--database-url <URL>'"),
        (format!("{url}database-timeout-ms = 0\n"), "(from c.toml:2)"),
        ("\u{0}".to_owned(), "c.toml:1: "),
    ] {
        write(path, "c.toml", &text);
        let (code, told) = migrate(path, &[], &["--config", "c.toml"]);
        assert_eq!((code, told.lines().count()), (Some(2), 1), "{text}: {told}");
        assert!(told.starts_with("cart-promotions: ") && told.contains(expected), "{text}: {told}");
        assert!(!told.contains("database-5ecret"), "{told}");
    }
    std::fs::write(path.join("c.toml"), b"\xff\xfel\0").unwrap();
    let (_, told) = migrate(path, &[], &["--config", "c.toml"]);
    assert!(told.contains("--config: c.toml is UTF-16 (little-endian); save it as UTF-8"), "{told}");
    let (_, told) = migrate(path, &[], &["--config", "missing.toml"]);
    assert!(told.contains("--config: missing.toml cannot be read: No such file"), "{told}");
}

#[test]
fn an_unknown_variable_is_refused_by_name_and_those_of_kubernetes_and_of_tests_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (code, told) = migrate(path, &[("CART_PROMOTIONS_DATABASE_TIMEOUT", "database-5ecret")], &[]);
    let expected = "cart-promotions: the environment variable CART_PROMOTIONS_DATABASE_TIMEOUT is not known; the \
                    nearest known name is CART_PROMOTIONS_DATABASE_TIMEOUT_MS\n";
    assert_eq!((code, told.as_str()), (Some(2), expected));
    assert!(!path.join("cart-promotions.db").exists());
    let kubernetes = [("CART_PROMOTIONS_PORT", "tcp://10.0.0.1:80"), ("CART_PROMOTIONS_SERVICE_HOST", "10.0.0.1")];
    assert_eq!(migrate(path, &kubernetes, &[]).0, Some(0));
    assert_eq!(migrate(path, &[("CART_PROMOTIONS_TEST_X", "y")], &[]).0, Some(0));
    let (code, told) = migrate(path, &[("CART_PROMOTIONS_DATABASE_TIMEOUT_MS", "soon")], &[]);
    assert!(code == Some(2) && told.ends_with("(from CART_PROMOTIONS_DATABASE_TIMEOUT_MS)\n"), "{told}");
}

// Waiting for the end of the process blocks a thread.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_takes_its_options_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let text = "listen = \"localhost:0\"\ndemo = true\ntrusted-proxies = [\"10.0.0.0/8\", \"::1\"]\nlog = \"warn\"\n";
    write(path, "c.toml", text);
    let process = Process::start_in(path, &[("CART_PROMOTIONS_LOG", "info")], &["--config", "c.toml"]);
    process.signal("TERM");
    let (success, log) = process.end();
    let text = format!("{log:?}");
    assert!(success && text.contains("demo/demo"), "{text}");
}

#[test]
fn a_help_that_cannot_be_written_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["--help"][..], &["--version"], &["serve", "--help"], &["export", "--help"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_cart-promotions"))
            .args(arguments)
            .stdout(full)
            .current_dir(directory.path())
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(told.starts_with("cart-promotions: cannot write to standard output: No space left"), "{told}");
    }
}
