//! The commands for operators, with and without a running service.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cart_promotions::app::import::ImportOptions;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server_process::{run, send_signal};
use crate::support::*;
use crate::terms::{self, CAP, EXPIRY};

/// 2035-12-31T23:59:59.999Z: a promotion with this end runs by the clock of the machine, and by that of the servers
/// here.
const END: &str = "2082758399999";
/// Start of the promotions.
const START: &str = "2025-01-01T00:00:00+05:30";

/// The outcome of a command.
#[derive(Debug)]
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Done {
    /// Returns the standard output; the command must have succeeded without remarks.
    fn out(self) -> String {
        assert!(self.code == Some(0) && self.err.is_empty(), "{self:?}");
        self.out
    }

    /// Returns the one line with the reason of a failed command.
    fn refusal(&self) -> &str {
        assert!(self.code == Some(1) && self.err.lines().count() == 1, "{self:?}");
        self.err.trim_end().strip_prefix("cart-promotions: ").unwrap_or_else(|| panic!("{self:?}"))
    }

    /// Returns each line of JSON in the output.
    fn objects(self) -> Vec<Value> {
        self.out().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }
}

/// The workplace of an operator: a folder for files, and a database.
struct Desk<'a> {
    directory: TempDir,
    database: &'a Database,
}

impl<'a> Desk<'a> {
    fn at(database: &'a Database) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), database }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, arguments: &[&str]) -> Done {
        let common = ["--database-url", self.database.url()];
        let output = run(self.path(), &[arguments, &common].concat());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs `promotions create` with a period that includes the present, and further fields. Returns the id.
    fn create(&self, org: &str, name: &str, more: &Value) -> String {
        let fixed = ["promotions", "create", "--org", org, "--json", "--time-zone", "Asia/Kolkata"];
        let fields = json!({"name": name, "type": "EARNING", "startDateISO": START, "endDate": END});
        let fields = terms::arguments(&terms::with(fields, more));
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        let objects = self.run(&[&fixed[..], &fields].concat()).objects();
        assert_eq!(objects.len(), 1);
        objects[0]["id"].as_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }
}

/// Returns a database with a small shop: an organization with at most two active promotions, and customer 7.
async fn shop() -> Database {
    let database = Database::new().await;
    let file = json!({"orgs": [{"id": 1, "name": "Shop", "maxActivePromotions": 2}, {"id": 2, "name": "Other"}],
        "customers": [{"orgId": 1, "customerId": 7}]});
    import(&database, &file).await.unwrap();
    database
}

#[tokio::test]
async fn tables_are_for_people_and_json_is_for_programs() {
    let database = shop().await;
    let desk = Desk::at(&database);
    assert_eq!(
        desk.run(&["promotions", "list", "--org", "1"]).out(),
        "ID  NAME  TYPE  ACTIVE  START  END  CAP  VALID  AUDIENCE\n"
    );
    let create = ["promotions", "create", "--org", "1", "--id", "6912CED9D39E256F754A83F8"];
    let fields = json!({"name": "Ten off", "type": "EARNING", "startDateISO": START, "endDate": END});
    let rules = terms::with(terms::with(terms::cap(3), &terms::days(30)), &terms::limited(true));
    let fields = terms::arguments(&terms::with(fields, &rules));
    let fields: Vec<_> = fields.iter().map(String::as_str).collect();
    let table = "\
ID                        NAME     TYPE     ACTIVE  START                 END                   CAP  VALID    AUDIENCE
6912ced9d39e256f754a83f8  Ten off  EARNING  yes     2024-12-31T18:30:00Z  2035-12-31T23:59:59Z  3    30 days  limited
";
    assert_eq!(desk.run(&[&create[..], &fields].concat()).out(), table);
    let off = desk.create("1", "Later", &json!({"active": false}));
    assert_eq!(desk.run(&["promotions", "list", "--org", "1", "--active"]).out(), table);
    let all = desk.run(&["promotions", "list", "--org", "1", "--json", "--time-zone", "Asia/Kolkata"]).objects();
    let mut later = json!({"id": off, "orgId": 1, "name": "Later", "type": "EARNING", "active": false,
        "startDate": 1_735_669_800_000_i64, "startDateISO": "2025-01-01T00:00:00+05:30",
        "endDate": END.parse::<i64>().unwrap(), "endDateISO": "2036-01-01T05:29:59+05:30"});
    terms::set(&mut later, &terms::defaults());
    let ids: Vec<_> = all.iter().map(|each| each["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted() && ids.len() == 2, "{ids:?}");
    assert!(all.contains(&later), "{all:#?}");
    assert!(all.iter().any(|each| each[CAP] == 3 && each[EXPIRY]["days"] == 30), "{all:#?}");
    assert_eq!(
        desk.run(&["wallet", "show", "--org", "1", "7"]).out(),
        "EARN ID  PROMOTION  STATUS  VALID TILL  GRANTED  EVENT\n"
    );
    assert_eq!(desk.run(&["wallet", "show", "--org", "1", "7", "--json"]).out(), "");
    assert_eq!(desk.run(&["clients", "list"]).out(), "USERNAME  ORG  ACCESS  PER MINUTE  DISABLED\n");
}

#[tokio::test]
async fn a_refusal_is_one_line_with_the_documented_number_or_the_option() {
    let database = shop().await;
    let desk = Desk::at(&database);
    desk.write("customers.txt", "7\n");
    let create = ["promotions", "create", "--org", "1", "type=EARNING"];
    let create = |more: &[&'static str]| [&create[..], more].concat();
    let [no_cap, no_days] = [terms::cap(0), terms::days(0)].map(|fields| terms::arguments(&fields));
    let valid = ["name=a", "startDate=5", "endDate=6"];
    for (fields, expected) in [
        (&no_cap, format!("400: {CAP}: must be 1 or more, not 0")),
        (&no_days, format!("400: {EXPIRY}.days: must be from 1 to 36500")),
    ] {
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        let done = desk.run(&[&create(&valid)[..], &fields].concat());
        assert_eq!(done.refusal(), expected);
    }
    for (arguments, expected) in [
        (vec!["promotions", "list", "--org", "9"], "404: there is no organization 9"),
        (create(&["name=a", "startDateISO=soon", "endDate=5"]), "400: startDateISO: must be ISO 8601 with an offset"),
        (create(&["name=a", "startDate=6", "endDate=5"]), "400: endDate: must not be before startDate"),
        (create(&["name=", "active=maybe"]), "400: active: must be true or false"),
        (
            create(&["name=a", "name=b", "endDate=6"]),
            "400: name: is given more than once; startDate: is required, or startDateISO",
        ),
        (
            vec!["promotions", "create", "--org", "1", "name=a", "type=gift", "startDate=1", "endDate=2"],
            "400: type: must be one of",
        ),
        (
            create(&[&valid[..], &["--id", "x"]].concat()),
            "725: a promotion id must be 24 hexadecimal digits, not \"x\"",
        ),
        (create(&valid), "706: "),
        (vec!["promotions", "activate", "--org", "1", "x"], "725: "),
        (vec!["promotions", "activate", "--org", "1", TEN_OFF], "404: promotion 6912ced9d39e256f754a83f8 not found"),
        (vec!["promotions", "deactivate", "--org", "9", TEN_OFF], "404: there is no organization 9"),
        (vec!["wallet", "show", "--org", "1", "8"], "404: customer 8 not found"),
        (vec!["wallet", "show", "--org", "9", "7"], "404: there is no organization 9"),
        (vec!["wallet", "show", "--org", "1", "0"], "1006: CUSTOMER: must be a positive integer, not 0"),
        (vec!["wallet", "show", "--org", "1", "-7"], "1006: CUSTOMER: must be a positive integer, not -7"),
        (
            vec!["wallet", "show", "--org", "1", "7", "--promotion", "x"],
            "400: --promotion: must be 24 hexadecimal digits",
        ),
        (
            vec!["customers", "import", "--org", "9", "--format", "csv", "customers.txt"],
            "404: there is no organization 9",
        ),
        (
            vec!["customers", "import", "--org", "1", "customers.txt"],
            "400: customers.txt: name the format with --format",
        ),
        (vec!["customers", "import", "--org", "1", "missing.csv"], "cannot read missing.csv: "),
        (vec!["customers", "import", "--org", "1", "-"], "400: -: name the format with --format"),
        (vec!["clients", "add", "--org", "9", "till"], "404: there is no organization 9"),
        (vec!["clients", "add", "--org", "1", "a:b"], "400: USERNAME: must not contain a colon"),
        (vec!["clients", "add", "--org", "1", "till", "--new-secret"], "404: there is no client \"till\""),
        (vec!["clients", "disable", "till"], "404: there is no client \"till\""),
        (vec!["clients", "enable", "till"], "404: there is no client \"till\""),
        (vec!["clients", "list", "--org", "9"], "404: there is no organization 9"),
    ] {
        let done = desk.run(&arguments);
        assert!(done.refusal().starts_with(expected), "{arguments:?}: {done:?}");
        assert!(done.out.is_empty(), "{arguments:?}: {done:?}");
    }
    for table in ["promotions", "api_clients"] {
        assert_eq!(database.count(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_wrong_command_line_exits_with_2_and_names_the_option() {
    let database = Database::new().await;
    let desk = Desk::at(&database);
    for (arguments, expected) in [
        (&["promotions", "list"][..], "--org"),
        (&["promotions", "list", "--org", "0"], "--org"),
        (&["promotions", "activate", "--org", "1"], "ID"),
        (&["promotions", "create", "--org", "1"], "FIELD=VALUE"),
        (&["promotions", "create", "--org", "1", "name"], "must be FIELD=VALUE"),
        (&["promotions", "create", "--org", "1", "nam=a"], "the fields are name, type, "),
        (&["promotions", "create", "--org", "1", "id=a"], "there is no such field"),
        (&["customers", "import", "--org", "1", "a.csv", "--format", "xml"], "ndjson"),
        (&["customers", "import", "--org", "1", "a.csv", "--from-line", "0"], "--from-line"),
        (&["wallet", "show", "--org", "1"], "CUSTOMER"),
        (&["wallet", "show", "--org", "1", "7", "--status", "LOST"], "REVOKED"),
        (&["wallet", "show", "--org", "1", "7", "--limit", "0"], "--limit"),
        (&["clients", "add", "--org", "1", "till", "--access", "everything"], "earn:write"),
        (&["clients", "disable"], "USERNAME"),
    ] {
        let done = run(desk.path(), arguments);
        let line = String::from_utf8(done.stderr).unwrap();
        assert_eq!((done.status.code(), line.lines().count()), (Some(2), 1), "{arguments:?}: {line}");
        assert!(line.starts_with("cart-promotions: ") && line.contains(expected), "{arguments:?}: {line}");
    }
    for command in ["promotions create", "customers import", "wallet show", "clients add"] {
        let help = run(desk.path(), &[&command.split(' ').collect::<Vec<_>>()[..], &["--help"]].concat());
        let help = String::from_utf8(help.stdout).unwrap();
        let example = format!("cart-promotions {command} --org");
        assert!(help.split("Example").nth(1).is_some_and(|examples| examples.contains(&example)), "{help}");
    }
}

#[tokio::test]
async fn a_promotion_created_beside_a_running_server_earns_at_once() {
    let service = Service::start().await;
    let desk = Desk::at(service.database());
    // The server has the catalog in memory by now.
    assert_eq!(service.earn(Endpoint::Json, &documented_request()).await.code, 0);
    let id = desk.create(&ORG.to_string(), "By hand", &terms::cap(2));
    let earned = service.earn(Endpoint::Grpc, &one_entry("by hand", &id, 3)).await;
    assert_eq!(earn_ids(&earned.body).len(), 2, "{earned:?}");
    let table = desk.run(&["promotions", "deactivate", "--org", &ORG.to_string(), &id]).out();
    assert!(table.contains("By hand  EARNING  no "), "{table}");
    let refused = service.earn(Endpoint::Json, &one_entry("too late", &id, 1)).await;
    assert_eq!(refused.body["data"][0]["errorDetails"]["errorCode"], 709, "{refused:?}");
}

#[tokio::test]
async fn activating_obeys_the_rules_of_the_catalog_and_says_which() {
    let database = shop().await;
    let desk = Desk::at(&database);
    let inactive = json!({"active": false});
    let (first, same) = (desk.create("1", "A", &json!({})), desk.create("1", "A", &inactive));
    let (second, third) = (desk.create("1", "B", &inactive), desk.create("1", "C", &inactive));
    let create = ["promotions", "create", "--org", "1", "name=Old", "type=REWARD", "startDate=5", "endDate=6"];
    let old = desk.run(&[&create[..], &["active=false", "--json"]].concat()).objects()[0]["id"].clone();
    let activate = |ids: &[&str]| desk.run(&[&["promotions", "activate", "--org", "1"], ids].concat());
    let done = activate(&[&same]);
    assert_eq!(done.refusal(), format!("716: \"A\" is the name of active promotion {first}"));
    let done = activate(&[old.as_str().unwrap()]);
    assert!(
        done.refusal().starts_with("706: ") && done.refusal().ends_with("it ended at 1970-01-01T00:00:00.006Z"),
        "{done:?}"
    );
    // The command takes the ids in order: the second is active when the third is refused, and is shown.
    let done = activate(&[&second, &third]);
    assert!(done.refusal().starts_with("705: the organization has 2 active promotions, and may have 2"), "{done:?}");
    assert!(done.out.contains(&second) && !done.out.contains(&third), "{done:?}");
    // Activating an active promotion changes nothing, and does not count again.
    assert!(activate(&[&second]).out().contains("  yes  "));
    desk.run(&["promotions", "deactivate", "--org", "1", &first]).out();
    assert!(activate(&[&third]).out().contains(&third));
    let active = desk.run(&["promotions", "list", "--org", "1", "--active", "--json"]).objects();
    let mut names: Vec<_> = active.iter().map(|each| each["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["B", "C"]);
    // If one id is malformed, no promotion is changed.
    assert!(activate(&[&first, "x"]).refusal().starts_with("725: "));
    assert_eq!(desk.run(&["promotions", "list", "--org", "1", "--active", "--json"]).objects().len(), 2);
}

async fn customers(database: &Database) -> Vec<i64> {
    let rows = database.rows("SELECT customer_id FROM customers WHERE org_id = 1 ORDER BY customer_id").await;
    rows.iter().map(|row| row["customer_id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn customers_of_csv_and_ndjson_are_recorded_up_to_the_first_wrong_line() {
    let database = shop().await;
    let desk = Desk::at(&database);
    desk.write("a.csv", "name,customerId\n\"Doe, Jane\",7\nJohn,\"8\"\nJohn,8\n");
    desk.write("b.jsonl", "{\"customerId\":\"9\"}\n\n{\"customerId\":10,\"orgId\":1,\"name\":\"Jane\"}\n");
    desk.write("c.csv", "11\n12\nx\n13\n");
    desk.write("d.ndjson", "{\"customerId\":14}\n{\"customerId\":15,\"orgId\":2}\n");
    let import = |more: &[&str]| desk.run(&[&["customers", "import", "--org", "1"], more].concat());
    assert_eq!(import(&["a.csv"]).out(), "recorded 3 customers of a.csv: 1 new, 2 known\n");
    assert_eq!(import(&["b.jsonl", "--json"]).objects(), [json!({"rows": 2, "added": 2})]);
    assert_eq!(customers(&database).await, [7, 8, 9, 10]);
    let wrong = "c.csv:3: column 1: customerId: must be a positive integer, not \"x\"; \
         the lines before it are recorded: put it right and go on with --from-line 3";
    for _ in 0..2 {
        assert_eq!(import(&["c.csv"]).refusal(), wrong);
        assert_eq!(
            customers(&database).await,
            [7, 8, 9, 10, 11, 12],
            "what is before it is recorded, and nothing more"
        );
    }
    assert_eq!(import(&["c.csv", "--from-line", "4"]).out(), "recorded 1 customers of c.csv: 1 new, 0 known\n");
    assert!(import(&["d.ndjson"]).refusal().starts_with("d.ndjson:2: orgId: must be 1, or absent, not 2; "));
    assert_eq!(customers(&database).await, [7, 8, 9, 10, 11, 12, 13, 14]);
    // `--format` counts, not the name.
    assert!(import(&["a.csv", "--format", "ndjson"]).refusal().starts_with("a.csv:1: is no JSON object"));
}

/// Starts an import of its standard input, which the test writes to.
fn import_stdin(desk: &Desk<'_>, more: &[&str]) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_cart-promotions"))
        .args(["customers", "import", "--org", "1", "--format", "csv", "-", "--database-url", desk.database.url()])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until this number of customers is recorded.
async fn recorded(database: &Database, many: i64) {
    let begun = Instant::now();
    while database.count("SELECT count(*) FROM customers").await < many {
        assert!(begun.elapsed() < Duration::from_mins(1), "{many} are not recorded");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn numbers(range: std::ops::RangeInclusive<u32>) -> String {
    range.map(|number| number.to_string() + "\n").collect()
}

#[tokio::test]
async fn an_interrupted_import_says_where_to_go_on() {
    use std::io::Write as _;
    let database = shop().await;
    let desk = Desk::at(&database);
    let mut import = import_stdin(&desk, &[]);
    let mut input = import.stdin.take().unwrap();
    // The input has two batches and a part of one, which is not recorded while the rest of it may come.
    input.write_all(numbers(1..=20_500).as_bytes()).unwrap();
    input.flush().unwrap();
    recorded(&database, 20_000).await;
    // After it has recorded the second batch, the command waits for input.
    tokio::time::sleep(Duration::from_millis(500)).await;
    send_signal(&import, "INT");
    let output = import.wait_with_output().unwrap();
    drop(input);
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert_eq!(
        line,
        "cart-promotions: interrupted; the lines of standard input before 20001 are recorded: \
         go on with --from-line 20001\n"
    );
    assert_eq!(customers(&database).await.len(), 20_000);
    let mut import = import_stdin(&desk, &["--from-line", "20001", "--json"]);
    import.stdin.take().unwrap().write_all(numbers(1..=20_500).as_bytes()).unwrap();
    let output = import.wait_with_output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), json!({"rows": 500, "added": 500}));
    assert_eq!(customers(&database).await.len(), 20_500);
}

#[tokio::test]
async fn an_import_that_waits_for_the_database_can_be_interrupted() {
    use std::io::Write as _;
    let database = shop().await;
    let desk = Desk::at(&database);
    let mut import = import_stdin(&desk, &["--database-timeout-ms", "60000"]);
    let mut input = import.stdin.take().unwrap();
    input.write_all(numbers(1..=10_000).as_bytes()).unwrap();
    recorded(&database, 10_000).await;
    let blocker = database.block_lookups().await;
    input.write_all(numbers(10_001..=20_000).as_bytes()).unwrap();
    tokio::time::sleep(ACCEPTED_WITHIN).await;
    let told = Instant::now();
    send_signal(&import, "TERM");
    let output = import.wait_with_output().unwrap();
    assert!(told.elapsed() < Duration::from_secs(10), "it waits on");
    blocker.release().await;
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && line.ends_with("go on with --from-line 10001\n"), "{line}");
    assert_eq!(customers(&database).await.len(), 10_000);
}

#[tokio::test]
async fn imported_customers_earn_beside_the_import() {
    let service = Service::start().await;
    let desk = Desk::at(service.database());
    desk.write("customers.csv", "customer_id\n555\n");
    let mut request = one_entry("newcomer", TEN_OFF, 1);
    request["customerId"] = 555.into();
    assert_eq!(service.earn(Endpoint::Json, &request).await.code, 404);
    desk.run(&["customers", "import", "--org", &ORG.to_string(), "customers.csv"]).out();
    assert_eq!(earn_ids(&service.earn(Endpoint::Json, &request).await.body).len(), 1);
}

#[tokio::test]
async fn a_client_works_until_it_is_disabled_and_nothing_shows_its_secret_again() {
    let service = Service::start().await;
    let (desk, org) = (Desk::at(service.database()), ORG.to_string());
    let secret = desk.run(&["clients", "add", "--org", &org, "till", "--access", "earn:write"]).out();
    let secret = secret.strip_suffix('\n').unwrap();
    assert!(secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "{secret}");
    let old = format!("till:{secret}");
    let code =
        async |credentials: &str| service.earn_as(Endpoint::Grpc, Some(credentials), &documented_request()).await.code;
    let becomes = async |credentials: &str, expected: i64| {
        let since = Instant::now();
        while code(credentials).await != expected {
            assert!(since.elapsed() < CLIENT_CHANGED_WITHIN, "not {expected} in time");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert_eq!(code(&old).await, 0);
    let list = desk.run(&["clients", "list", "--org", &org]).out();
    assert_eq!(
        list,
        "USERNAME  ORG     ACCESS      PER MINUTE  DISABLED\n\
         demo      100737  *           default     no\n\
         till      100737  earn:write  default     no\n"
    );

    assert_eq!(
        desk.run(&["clients", "add", "--org", "3", "till"]).refusal(),
        "400: \"till\" is a client of organization 100737 already"
    );
    assert_eq!(
        desk.run(&["clients", "add", "--org", "3", "till", "--new-secret"]).refusal(),
        "400: \"till\" is a client of organization 100737 already"
    );
    assert_eq!(code(&old).await, 0, "a refused command changes nothing");

    let disabled = desk.run(&["clients", "disable", "till"]);
    assert_eq!((disabled.code, &*disabled.out, &*disabled.err), (Some(0), "", "\"till\" is disabled\n"));
    becomes(&old, 401).await;
    let objects = desk.run(&["clients", "list", "--json"]).objects();
    let till = objects.iter().find(|client| client["username"] == "till");
    assert_eq!(till, Some(&json!({"username": "till", "orgId": ORG, "access": ["earn:write"], "disabled": true})));
    assert!(objects.iter().any(|client| client["access"] == json!(["*"])), "{objects:?}");

    // A new secret does not enable the client. After enabling, only the new secret is accepted.
    let renewed = desk.run(&["clients", "add", "--org", &org, "till", "--new-secret", "--json"]).objects();
    let new = format!("till:{}", renewed[0]["secret"].as_str().unwrap());
    assert_eq!((renewed[0]["username"].as_str(), renewed[0]["orgId"].as_i64()), (Some("till"), Some(ORG)));
    assert_eq!(code(&new).await, 401);
    desk.run(&["clients", "enable", "till"]);
    becomes(&new, 0).await;
    becomes(&old, 401).await;
    let rows = service.database().rows("SELECT * FROM api_clients WHERE username = 'till'").await;
    assert_eq!((rows.len(), rows[0]["access"].as_str()), (1, Some("earn:write")), "its access stays");
    let recorded = rows[0]["secret_hash"].as_str().unwrap();
    assert!(recorded.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{recorded}");
    for shown in [desk.run(&["clients", "list"]).out(), desk.run(&["clients", "list", "--json"]).out()] {
        assert!(!shown.contains("argon2") && !shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn of_clients_of_one_name_that_are_added_at_once_one_is() {
    let database = shop().await;
    let desk = Desk::at(&database);
    let add = || desk.run(&["clients", "add", "--org", "1", "till"]);
    let done: Vec<_> = std::thread::scope(|scope| {
        let adding: Vec<_> = (0..6).map(|_| scope.spawn(add)).collect();
        adding.into_iter().map(|added| added.join().unwrap()).collect()
    });
    let (added, refused): (Vec<_>, Vec<_>) = done.into_iter().partition(|done| done.code == Some(0));
    assert_eq!((added.len(), refused.len()), (1, 5), "{added:?} {refused:?}");
    for refused in refused {
        assert_eq!(refused.refusal(), "400: \"till\" is a client of organization 1 already");
    }
}

#[tokio::test]
async fn an_import_leaves_a_disabled_client_disabled() {
    let service = Service::start().await;
    let desk = Desk::at(service.database());
    assert_eq!(service.earn_as(Endpoint::Json, Some("demo:demo"), &documented_request()).await.code, 0);
    desk.run(&["clients", "disable", "demo"]);
    let mut changed = catalog();
    changed["apiClients"][0]["password"] = "other".into();
    let replaced = ImportOptions { replace_secrets: true, ..ImportOptions::default() };
    import_with(service.database(), &changed, replaced).await.unwrap();
    // An enabled client with this secret would be admitted by then.
    tokio::time::sleep(CLIENT_CHANGED_WITHIN).await;
    assert_eq!(service.earn_as(Endpoint::Json, Some("demo:other"), &documented_request()).await.code, 401);
    desk.run(&["clients", "enable", "demo"]);
    tokio::time::sleep(CLIENT_CHANGED_WITHIN).await;
    assert_eq!(service.earn_as(Endpoint::Json, Some("demo:other"), &documented_request()).await.code, 0);
}

/// Posts to the JSON API. The call must be answered.
async fn post(service: &Service, path: &str, body: &Value) -> Value {
    let request = service.http().post(service.url(path)).header("authorization", basic("demo:demo"));
    let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_wallet_shows_what_is_granted_redeemed_and_revoked() {
    let service = Service::start().await;
    let (desk, org, customer) = (Desk::at(service.database()), ORG.to_string(), CUSTOMER.to_string());
    let (id, other) = (desk.create(&org, "By hand", &json!({})), desk.create(&org, "Another", &terms::days(14)));
    let earned = earn_ids(&service.earn(Endpoint::Json, &one_entry("granted", &id, 3)).await.body);
    let expired = earn_ids(&service.earn(Endpoint::Json, &one_entry("old", &other, 1)).await.body);
    let line = json!({"promotionId": id, "earnedPromotionId": earned[0], "redemptionCount": 1, "discount": 1,
        "discountAppliedOnQuantity": 1, "promotionAppliedOnQuantity": 1});
    let redeem = json!({"customerId": CUSTOMER, "transactionIdentifier": "t", "transactionNumber": "1",
        "transactionDate": NOW_MS, "amount": 10, "redemptions": [line]});
    post(&service, "/api_gateway/v1/promotions/redemptions", &redeem).await;
    let revoke = json!({"customerId": CUSTOMER, "earnRevokeDetails": [{"promotionId": id, "earnIds": [earned[1]]}]});
    post(&service, "/api_gateway/v1/promotions/revokeEarn", &revoke).await;

    let show = |more: &[&str]| desk.run(&[&["wallet", "show", "--org", &org, &customer], more].concat());
    let table = show(&[]).out();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 1 + 4, "{table}");
    for (earn_id, status, event) in [
        (&earned[0], "REDEEMED", "granted"),
        (&earned[1], "REVOKED", "granted"),
        (&earned[2], "UNLOCKED", "granted"),
        (&expired[0], "EXPIRED", "old"),
    ] {
        let line =
            lines.iter().find(|line| line.starts_with(&**earn_id)).unwrap_or_else(|| panic!("{earn_id}: {table}"));
        assert!(line.contains(status) && line.ends_with(event), "{line}");
    }
    let ids = |more: &[&str]| {
        let objects = show(&[more, &["--json"]].concat()).objects();
        objects.iter().map(|entry| entry["earnedPromotionId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&["--status", "REDEEMED"]), earned[..1]);
    assert_eq!(ids(&["--status", "revoked", "--status", "expired"]), [&earned[1..2], &expired].concat());
    assert_eq!(ids(&["--promotion", &other]), expired);
    let entry = &show(&["--json", "--status", "UNLOCKED", "--time-zone", "Asia/Kolkata"]).objects()[0];
    assert_eq!(
        (&entry["promotionName"], &entry["validTill"], &entry["eventDetails"]["id"], &entry["unlockedDateISO"]),
        (
            &json!("By hand"),
            &json!(END.parse::<i64>().unwrap()),
            &json!("granted"),
            &json!("2025-11-11T11:30:00+05:30")
        )
    );
}

#[tokio::test]
async fn a_large_wallet_is_shown_page_by_page_up_to_the_limit() {
    let service = Service::start().await;
    let (desk, org, customer) = (Desk::at(service.database()), ORG.to_string(), CUSTOMER.to_string());
    let mut earned = Vec::new();
    for event in ["first", "second"] {
        earned.extend(earn_ids(&service.earn(Endpoint::Json, &one_entry(event, TEN_OFF, 700)).await.body));
    }
    earned.sort_unstable();
    assert_eq!(earned.len(), 1_400);
    for (limit, shown, more) in
        [("100", 100, true), ("1200", 1_200, true), ("1400", 1_400, false), ("2000", 1_400, false)]
    {
        let done = desk.run(&["wallet", "show", "--org", &org, &customer, "--limit", limit, "--json"]);
        let told = format!("more follow: these are the first {limit}; raise --limit\n");
        assert_eq!((done.code, &*done.err), (Some(0), if more { &*told } else { "" }), "{limit}");
        let ids: Vec<_> = done
            .out
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["earnedPromotionId"].as_str().unwrap().to_owned())
            .collect();
        // All have the same end of validity, so they are ordered by earn id.
        assert_eq!(ids, earned[..shown], "{limit}");
    }
    let by_default = desk.run(&["wallet", "show", "--org", &org, &customer]);
    assert_eq!(by_default.out.lines().count(), 1 + 100);
}
