//! The information about a running server that other users of the machine can see.

use crate::secrets::{OF_DATABASE, url_with_password};
use crate::server_process::Process;
use crate::support::*;

#[tokio::test]
async fn a_password_in_the_command_line_is_gone_from_it_when_the_server_serves() {
    let database = Database::new().await;
    import(&database, &endless(catalog())).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let url = url_with_password(&database);
    assert!(url.contains(OF_DATABASE), "{url}");
    for option in [vec!["--database-url", &url], vec![&format!("--database-url={url}")]] {
        let process = Process::start(directory.path(), &[&["--listen", "127.0.0.1:0"], &option[..]].concat());
        let seen = |file: &str| {
            let path = format!("/proc/{}/{file}", process.id());
            String::from_utf8(std::fs::read(path).unwrap()).unwrap().replace('\0', " ")
        };
        let command_line = seen("cmdline");
        assert!(command_line.contains("cart-promotions serve") && command_line.contains("--listen"), "{command_line}");
        assert!(!command_line.contains(OF_DATABASE) && !command_line.contains("postgres"), "{command_line}");
        // Only the process's own user may read its environment.
        assert!(seen("environ").contains(&format!("CART_PROMOTIONS_DATABASE_URL={url}")));
        // The server uses the database that was asked for.
        let answer = process.caller.earn(Endpoint::Grpc, &one_entry("event", TEN_OFF, 1)).await;
        assert_eq!(answer.code, 0, "{answer:?}");
    }
}
