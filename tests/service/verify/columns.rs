//! Every column of every table of the schema: each mutation of a value is found, or is listed here as free, with the
//! reason. A new column must be added here.

use cart_promotions::{app, server};

use super::{filled, loose};
use crate::ENGINE;
use crate::database::{Database, DatabaseKind};
use crate::support::*;

/// A mutation of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValueMutation {
    /// A number one greater, or a text one character longer.
    More,
    /// A negative number.
    Negative,
    /// An empty text.
    Empty,
    /// A text with another first character.
    First,
    /// The other of two values.
    Not,
    /// No value.
    Null,
}
use ValueMutation::{Empty, First, More, Negative, Not, Null};

impl ValueMutation {
    fn of(kind: loose::ColumnKind) -> &'static [Self] {
        match kind {
            loose::ColumnKind::Integer => &[More, Negative, Null],
            loose::ColumnKind::Text => &[More, Empty, First, Null],
            loose::ColumnKind::Boolean => &[Not, Null],
        }
    }

    fn value(self, column: &str, kind: loose::ColumnKind) -> String {
        match (self, kind) {
            (More, loose::ColumnKind::Text) => format!("coalesce({column}, '') || 'x'"),
            (More, _) => format!("coalesce({column}, 0) + 1"),
            (Negative, _) => format!("-coalesce({column}, 0) - 1"),
            (Empty, _) => "''".to_owned(),
            (First, _) => {
                let text = format!("coalesce({column}, '0')");
                format!("CASE substr({text}, 1, 1) WHEN '0' THEN '1' ELSE '0' END || substr({text}, 2)")
            }
            (Not, _) => format!("NOT {column}"),
            (Null, _) => "NULL".to_owned(),
        }
    }
}

/// The mutated rows: their table, a name, and the condition.
const ROWS: &[(&str, &str, &str)] = &[
    ("api_clients", "client", "username = 'other'"),
    ("audiences", "member", "customer_id = 7"),
    ("cap_usage", "count", "customer_id = 566881933"),
    // A change with a content after it only, the last one of its version.
    ("catalog_changes", "members", "org_id = 100737 AND action = 'AUDIENCE_CHANGED'"),
    // A change with a content before and after it, the only one of its version.
    (
        "catalog_changes",
        "mark",
        "org_id = 100737 AND action = 'PROMOTION_EARNED' AND promotion_id = '0000000000000000000000a9'",
    ),
    ("customers", "customer", "customer_id = 566881933"),
    // A redeemed instance that is the second of its earning.
    ("earned_promotions", "redeemed", "event_id = 'six' AND ordinal = 2"),
    // The only instance of its earning, with details.
    ("earned_promotions", "detailed", "event_id = 'TXN_12345_ABC'"),
    // An instance that is valid for some days.
    ("earned_promotions", "short", "event_id = 'four' AND ordinal = 1"),
    // The former terms by which an instance was earned.
    ("former_terms", "former", "time_zone = 'Asia/Kolkata' AND promotion_id = '0000000000000000000000a7'"),
    ("orgs", "org", "id = 100737"),
    // A promotion with a cap, whose instances are valid until its end.
    ("promotions", "capped", "org_id = 100737 AND id = '0000000000000000000000a9'"),
    // A promotion whose instances are valid for some days.
    ("promotions", "days", "org_id = 100737 AND id = '0000000000000000000000a7'"),
    ("redemptions", "transaction", "transaction_identifier = 'txn'"),
    ("token_keys", "key", "kid = 'database'"),
];

/// Mutations that break no invariant: row, column, mutations, reason.
const FREE: &[(&str, &str, &[ValueMutation], &str)] = &[
    ("client", "secret_hash", &[More], "a hash is of whichever secret"),
    ("members", "changed_at_ms", &[More, Negative], "any time; the trigger keeps it"),
    ("mark", "changed_at_ms", &[More, Negative], "any time; the trigger keeps it"),
    ("members", "actor", &[More, First], "any client or operator; the trigger keeps it"),
    ("mark", "actor", &[More, First], "any client or operator; the trigger keeps it"),
    ("members", "request_id", &[More, First], "any request; the trigger keeps it"),
    ("mark", "request_id", &[More, First], "any request; the trigger keeps it"),
    ("mark", "version", &[More], "no other row has the random part of a version that has passed"),
    ("count", "cap", &[More], "the cap of the last grant, which may have been another one since"),
    ("count", "last_change", &[More, Negative], "what the last write carried, which nothing reads"),
    ("customer", "customer_id", &[More], "unknown customers may have been accepted when it earned"),
    ("detailed", "customer_id", &[More], "no other row tells who earned it: one instance, no cap, not redeemed"),
    ("detailed", "earn_id", &[First], "no other row names it while it is not redeemed"),
    ("short", "earn_id", &[First], "no other row names it while it is not redeemed"),
    ("detailed", "event_id", &[More, First], "the caller's, of the only instance of its earning"),
    ("detailed", "earned_from_id", &[More, First], "the caller's, of the only instance of its earning"),
    ("detailed", "event_time_ms", &[More, Negative], "the caller's, of the only instance of its earning"),
    ("redeemed", "granted_at_ms", &[More, Negative], "any time at which it was valid; the clocks of servers differ"),
    ("detailed", "granted_at_ms", &[More, Negative], "any time at which it was valid; the clocks of servers differ"),
    ("short", "granted_at_ms", &[More, Negative], "any time at which it was valid; the clocks of servers differ"),
    ("detailed", "event_type", &[More, First, Null], "the caller's"),
    ("short", "event_type", &[More, First], "the caller's"),
    ("detailed", "event_payload", &[Null], "an earning needs none"),
    ("detailed", "supplementary_criteria", &[First, Null], "the caller's, and an earning needs none"),
    ("key", "pem", &[More], "a text after the end of a PEM file is no part of it"),
    ("former", "end_ms", &[More, Negative], "what is valid for some days does not go by it"),
];

fn is_free(row: &str, column: &str, mutation: ValueMutation) -> bool {
    FREE.iter().any(|(free, name, mutations, _)| *free == row && *name == column && mutations.contains(&mutation))
}

/// Returns true if the mutation does not change the value, or the engine cannot store the result.
async fn is_none(database: &Database, column: &loose::TableColumn, row: &str, mutation: ValueMutation) -> bool {
    if mutation != Null {
        return false;
    }
    let (table, name) = (&column.table, &column.name);
    let is_null = format!("SELECT count(*) FROM {table} WHERE {row} AND {name} IS NULL");
    !column.nullable && ENGINE == DatabaseKind::Sqlite || database.count(&is_null).await > 0
}

#[tokio::test]
async fn a_mutation_of_every_column_is_found_or_free() {
    let service = filled().await;
    let mut changed = catalog();
    changed["orgs"][0]["timeZone"] = "America/New_York".into();
    service.import(&changed).await;
    let database = service.database();
    loose::loosen(database).await;
    let store = server::open(&options(database.url(), &[]).common).await.unwrap();
    let found = async || {
        let mut checks = Vec::new();
        app::verify::verify(&store, |check| checks.push(check)).await.unwrap();
        checks.iter().any(|check| !check.breaches.is_empty())
    };
    assert!(!found().await, "nothing is wrong yet");
    let (mut surprises, mut seen) = (Vec::new(), Vec::new());
    for column in loose::columns(database).await {
        let rows: Vec<_> = ROWS.iter().filter(|(table, ..)| *table == column.table).collect();
        assert!(!rows.is_empty(), "no row of {} is put wrong", column.table);
        for (table, label, row) in rows {
            assert_eq!(database.count(&format!("SELECT count(*) FROM {table} WHERE {row}")).await, 1, "{label}");
            for mutation in ValueMutation::of(column.kind) {
                seen.push((*label, column.name.clone(), *mutation));
                if is_none(database, &column, row, *mutation).await {
                    continue;
                }
                let (name, value) = (&column.name, mutation.value(&column.name, column.kind));
                database.execute(&loose::statement(&format!("UPDATE {table} SET {name} = {value} WHERE {row}"))).await;
                let (found, free) = (found().await, is_free(label, name, *mutation));
                if found == free {
                    surprises
                        .push(format!("{table} ({label}).{name} {mutation:?}: found: {found}, listed as free: {free}"));
                }
                loose::restore(database).await;
            }
        }
    }
    store.close().await;
    for (row, column, mutations, _) in FREE {
        let placed = |mutation: &&ValueMutation| seen.contains(&(*row, (*column).to_owned(), **mutation));
        assert_eq!(mutations.iter().filter(placed).count(), mutations.len(), "{row}.{column} is not in the schema");
    }
    assert!(surprises.is_empty(), "\n{}", surprises.join("\n"));
}
