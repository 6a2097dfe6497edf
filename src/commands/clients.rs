//! `clients`: issues and withdraws credentials.

use serde::Serialize;

use super::error::FieldOption;
use super::table::Table;
use super::{CommandError, note, on_database, print, show};
use crate::access::secret::Secret;
use crate::app::clients::{self, RecordedClient};
use crate::clock::Clock;
use crate::config::clients::{AddClient, Clients, ListClients, ShowClient, SwitchClient};
use crate::earning::OrgId;
use crate::proto;
use crate::server;
use crate::storage::Store;
use crate::wire::files::catalog::parse_client;

/// The options for the fields of a client.
const OPTIONS: [FieldOption; 3] = [
    ("client.username", "USERNAME"),
    ("client.access", "--access"),
    ("client.requestsPerMinute", "--requests-per-minute"),
];

/// A client as printed with `--json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClientJson<'a> {
    username: &'a str,
    org_id: i64,
    /// Access groups; `["*"]` means everything.
    access: Vec<String>,
    disabled: bool,
    /// Limit of its own; 0 means no limit, absent means the default of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_per_minute: Option<u32>,
}

/// A client with its new secret, as printed with `--json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NewClientJson<'a> {
    username: &'a str,
    org_id: i64,
    secret: &'a str,
}

/// Runs the command.
///
/// # Errors
/// Returns why it failed.
pub async fn run(command: &Clients, clock: &Clock) -> Result<(), CommandError> {
    match command {
        Clients::Add(options) => add(options, clock).await,
        Clients::List(options) => list(options).await,
        Clients::Show(options) => show_one(options).await,
        Clients::Remove(options) => remove(options, clock).await,
        Clients::Disable(options) => switch(options, true, clock).await,
        Clients::Enable(options) => switch(options, false, clock).await,
    }
}

async fn add(options: &AddClient, clock: &Clock) -> Result<(), CommandError> {
    let secret = Secret::random();
    let client = proto::ApiClient {
        username: options.username.clone(),
        password: Some(secret.reveal().to_owned()),
        org_id: Some(options.org.id),
        access: (!options.access.is_empty()).then(|| proto::AccessGroups { values: options.access.clone() }),
        requests_per_minute: options.requests_per_minute,
    };
    let client = parse_client(client).map_err(|violations| CommandError::of_violations(&violations, &OPTIONS))?;
    let origin = server::operator(clock);
    let added = async |store: &Store| {
        if options.new_secret {
            Ok(clients::renew(store, &client, &origin).await?)
        } else {
            Ok(clients::add(store, &client, &origin).await?)
        }
    };
    on_database(&options.output.common, added).await?;
    let told = if options.output.json {
        let new = NewClientJson { username: &client.username, org_id: client.org_id.0, secret: secret.reveal() };
        show(true, &[new], || Table::new(&[]))
    } else {
        // The secret is printed alone, so that a script can capture it.
        print(&format!("{}\n", secret.reveal()))
    };
    told.inspect_err(|_| note("the secret was not printed, and is not kept: make another with --new-secret"))
}

async fn list(options: &ListClients) -> Result<(), CommandError> {
    let found = async |store: &Store| Ok(clients::list(store, options.org.map(OrgId)).await?);
    let found = on_database(&options.output.common, found).await?;
    show_clients(options.output.json, &found)
}

async fn show_one(options: &ShowClient) -> Result<(), CommandError> {
    let found = async |store: &Store| Ok(clients::one(store, &options.username).await?);
    let found = on_database(&options.output.common, found).await?;
    show_clients(options.output.json, &[found])
}

fn show_clients(json: bool, found: &[RecordedClient]) -> Result<(), CommandError> {
    let objects: Vec<_> = found.iter().map(to_json).collect();
    show(json, &objects, || {
        let mut table = Table::new(&["USERNAME", "ORG", "ACCESS", "PER MINUTE", "DISABLED"]);
        for client in &objects {
            let disabled = if client.disabled { "yes" } else { "no" };
            let access = client.access.join(" ");
            let requests = match client.requests_per_minute {
                None => "default".to_owned(),
                Some(0) => "no limit".to_owned(),
                Some(requests) => requests.to_string(),
            };
            let (username, org_id) = (client.username.to_owned(), client.org_id.to_string());
            table.row([username, org_id, access, requests, disabled.to_owned()]);
        }
        table
    })
}

fn to_json(client: &RecordedClient) -> ClientJson<'_> {
    ClientJson {
        username: &client.username,
        org_id: client.org_id.0,
        access: client.access.to_string().split_whitespace().map(str::to_owned).collect(),
        disabled: client.disabled,
        requests_per_minute: client.requests_per_minute,
    }
}

async fn switch(options: &SwitchClient, disabled: bool, clock: &Clock) -> Result<(), CommandError> {
    let origin = server::operator(clock);
    let switched = async |store: &Store| Ok(clients::set_disabled(store, &options.username, disabled, &origin).await?);
    on_database(&options.common, switched).await?;
    note(&format!("{:?} is {}", options.username, if disabled { "disabled" } else { "enabled" }));
    Ok(())
}

async fn remove(options: &SwitchClient, clock: &Clock) -> Result<(), CommandError> {
    let origin = server::operator(clock);
    let removed = async |store: &Store| Ok(clients::remove(store, &options.username, &origin).await?);
    on_database(&options.common, removed).await?;
    note(&format!("{:?} is removed", options.username));
    Ok(())
}
