//! The schema: checked without a change, and required instead of brought up to date.

use crate::server_process::run;
use crate::support::*;

#[tokio::test]
async fn a_schema_is_checked_and_required_without_a_change() {
    let database = Database::new().await;
    let directory = tempfile::tempdir().unwrap();
    let told = |arguments: &[&str]| {
        let output = run(directory.path(), &[arguments, &["--database-url", database.url()]].concat());
        let text = [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy).concat();
        (output.status.code(), text)
    };
    // Creates the file of SQLite, whose absence is another error.
    database.execute("CREATE TABLE of_another_program (a integer)").await;
    let lacks = "is missing; run cart-promotions migrate";
    for arguments in [&["migrate", "--check"][..], &["serve", "--no-migrate", "--listen", "127.0.0.1:0"], &["verify"]] {
        let (code, text) = told(arguments);
        assert!(code == Some(1) && text.contains(lacks), "{arguments:?}: {text}");
    }
    assert_eq!(told(&["migrate"]).0, Some(0));
    let (code, text) = told(&["migrate", "--check"]);
    assert!(code == Some(0) && text.contains("is up to date"), "{text}");
    database.execute("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_later', 0)").await;
    for arguments in
        [&["migrate"][..], &["migrate", "--check"], &["serve", "--listen", "127.0.0.1:0"], &["clients", "list"]]
    {
        let (code, text) = told(arguments);
        let newer = "the schema of the database is newer than this version of cart-promotions (migration m9999_later)";
        assert!(code == Some(1) && text.contains(newer), "{arguments:?}: {text}");
    }
    let missing = run(directory.path(), &["migrate", "--check", "--database-url", "sqlite://missing.db"]);
    assert!(!missing.status.success() && !directory.path().join("missing.db").exists());
}
