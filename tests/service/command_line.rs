//! The command line: an error of it is reported in one line.

use crate::server_process::run;

#[test]
fn a_bad_option_or_file_is_one_clear_line_and_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    file("broken.json", "{");
    file("wrong.json", r#"{"orgs":[{"id":0,"name":"x"}],"promotions":[{"id":"y"}]}"#);
    file("orphan.json", r#"{"customers":[{"orgId":1,"customerId":1}]}"#);
    file("not-a-database.db", &"x".repeat(5_000));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, expected) in [
        (&["sing"][..], "sing"),
        (&["serve", "--frob"], "--frob"),
        (&["serve", "--listen", "here"], "the port is missing: use ADDRESS:PORT"),
        (&["serve", "postgres://demo:5ecret@db/name"], "'postgres://demo:…@db/name'"),
        (&["serve", "--listen", "127.0.0.1:0", "--database-url", "mysql://x"], "--database-url"),
        (&["serve", "--listen", "127.0.0.1:0", "--database-url", "sqlite::memory:"], "memory"),
        (&["serve", "--listen", "127.0.0.1:0", "--database-url", "sqlite://"], "no file is named"),
        (&["serve", "--database-timeout-ms", "18446744073709551615"], "--database-timeout-ms"),
        (&["serve", "--time-zone", "Mars"], "--time-zone"),
        (&["serve", "--max-entries", "0"], "--max-entries"),
        (&["serve", "--requests-per-minute", "many"], "--requests-per-minute"),
        (&["serve", "--log", "loud"], "--log"),
        (
            &["serve", "--listen", "127.0.0.1:0", "--database-url", "sqlite:///no/such/folder/x.db"],
            "/no/such/folder/x.db",
        ),
        (&["serve", "--listen", "127.0.0.1:0", "--database-url", "sqlite://not-a-database.db"], "not a database"),
        (&["serve", "--listen", &taken], &taken),
        (&["serve", "--listen", &taken], "end it, or take another port with --listen)"),
        (&["serve", "--listen", "127.0.0.1:0", "--admin-listen", &taken], "take another port with --admin-listen)"),
        (&["serve", "--listen", "192.0.2.1:80"], "this machine has no such address"),
        (&["serve", "--database-url", "sqlite:///no/such/folder/x.db", "--listen", ":0"], "create the folder"),
        (
            &["migrate", "--database-timeout-ms", "500", "--database-url", "postgres://u@127.0.0.1:1/x"],
            "cannot use the database postgres://u@127.0.0.1:1/x (nothing listens there: start the server",
        ),
        (&["import"], "FILE"),
        (&["import", "missing.json"], "missing.json"),
        (&["import", "broken.json"], "broken.json"),
        (&["import", "wrong.json"], "promotions[0].id: must be 24 hexadecimal digits"),
        (&["import", "wrong.json"], "orgs[0].id: must be a positive integer, not 0"),
        (&["import", "orphan.json"], "customers[0].orgId: there is no organization 1"),
    ] {
        let output = run(directory.path(), arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 1, "{arguments:?}: {text}");
        let left_behind = directory.path().join("cart-promotions.db");
        assert_eq!(left_behind.exists(), arguments == ["import", "orphan.json"], "{arguments:?}");
        // A service that does not start says so in the format of its log, which is JSON where nobody reads along.
        let said = match serde_json::from_str::<serde_json::Value>(lines[0]) {
            Ok(line) => {
                assert_eq!((arguments[0], &line["level"]), ("serve", &"ERROR".into()), "{text}");
                format!("cart-promotions: {}", line["message"].as_str().unwrap())
            }
            Err(_) => lines[0].to_owned(),
        };
        assert_eq!(said == lines[0], arguments[0] != "serve", "{arguments:?}: {text}");
        assert!(said.starts_with("cart-promotions: ") && said.contains(expected), "{arguments:?}: {text}");
    }
}

#[test]
fn help_and_version_are_no_failures() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["--help"][..], &["serve", "--help"], &["import", "--help"], &["--version"]] {
        let output = run(directory.path(), arguments);
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}");
        assert!(String::from_utf8(output.stdout).unwrap().contains("cart-promotions"), "{arguments:?}");
    }
}

#[test]
fn without_a_command_there_is_the_help_and_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, usage) in [(&[][..], "Usage: cart-promotions <COMMAND>"), (&["promotions"], "promotions <COMMAND>")]
    {
        let output = run(directory.path(), arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{arguments:?}");
        assert!(text.contains(usage) && text.contains("Commands:"), "{arguments:?}: {text}");
    }
}

#[test]
fn the_descriptor_set_has_the_service_and_its_http_rules() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(directory.path(), &["descriptor-set"]);
    let pool = prost_reflect::DescriptorPool::decode(output.stdout.as_slice()).unwrap();
    let service = pool.get_service_by_name("cartpromotions.v1.EarnService").unwrap();
    let http = pool.get_extension_by_name("google.api.http").unwrap();
    assert!(service.methods().all(|method| method.options().has_extension(&http)));
    for needed_by_gateways in ["google.rpc.ErrorInfo", "google.rpc.BadRequest", "google.rpc.RetryInfo"] {
        assert!(pool.get_message_by_name(needed_by_gateways).is_some(), "{needed_by_gateways}");
    }
}
