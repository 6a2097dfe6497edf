//! The URL of the database, which may contain a password and is displayed without it.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// Accepted query parameters of a PostgreSQL URL. The driver ignores other names, and logs their values.
const PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// Least number of bytes of a password that is replaced in messages. A shorter one is in other words by chance, and no
/// message has it alone.
const LEAST_REDACTED: usize = 4;

/// Violation of the form of the URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlViolation {
    /// The URL names a database that ends with its connection.
    #[error("a database in memory would keep nothing; name a file")]
    InMemory,
    /// The URL of an SQLite database has no path.
    #[error("no file is named: use sqlite://FILE")]
    NoFile,
    /// The URL is of no database that the program uses.
    #[error("neither sqlite://FILE nor postgres://USER:PASSWORD@HOST/NAME")]
    Scheme,
    /// The URL cannot be parsed.
    #[error("not a PostgreSQL URL: use postgres://USER:PASSWORD@HOST/NAME")]
    Syntax,
    /// The query has a parameter that the driver would ignore.
    #[error("the parameter {0:?} is not known")]
    Parameter(String),
}

/// The URL of the database. Displayed without its password.
#[derive(Clone)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// Returns the URL as given, with its password.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns true when the URL names an SQLite file, which has one writer at a time.
    pub fn is_sqlite(&self) -> bool {
        self.0.starts_with("sqlite:")
    }

    /// Returns the name of the database system.
    pub fn engine(&self) -> &'static str {
        if self.is_sqlite() { "sqlite" } else { "postgresql" }
    }

    /// Returns the text with everything in it that is secret in the URL replaced by its value: the URL by what is shown of
    /// it, and the password, as it is written in the URL and as it is meant.
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.replace(&self.0, &self.to_string());
        for password in self.passwords().iter().filter(|password| password.len() >= LEAST_REDACTED) {
            text = text.replace(password, "…");
        }
        text
    }

    fn passwords(&self) -> Vec<String> {
        let Some(url) = Url::parse(&self.0).ok().filter(|_| !self.is_sqlite()) else { return Vec::new() };
        let written = url.password().map(str::to_owned);
        let decode = |written: &str| {
            form_urlencoded::parse(format!("={}", written.replace('+', "%2B")).as_bytes())
                .next()
                .map(|(_, meant)| meant.into_owned())
        };
        let meant = written.as_deref().and_then(decode);
        let in_query = url.query_pairs().filter(|(name, _)| name == "password").map(|(_, value)| value.into_owned());
        written.into_iter().chain(meant).chain(in_query).collect()
    }

    /// Returns true when the URL has a password, in its user part or in its query.
    pub fn has_password(&self) -> bool {
        !self.is_sqlite()
            && Url::parse(&self.0)
                .is_ok_and(|url| url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password"))
    }
}

impl FromStr for DatabaseUrl {
    type Err = UrlViolation;

    fn from_str(url: &str) -> Result<Self, UrlViolation> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            if path.contains(":memory:") || path.contains("mode=memory") {
                return Err(UrlViolation::InMemory);
            }
            // SQLite takes an empty path for a temporary file that is deleted with the connection.
            if path.trim_start_matches("//").split('?').next().is_none_or(str::is_empty) {
                return Err(UrlViolation::NoFile);
            }
            return Ok(Self(url.to_owned()));
        }
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let url = format!("postgres://{}", rest.ok_or(UrlViolation::Scheme)?);
        let parsed = Url::parse(&url).map_err(|_| UrlViolation::Syntax)?;
        for (name, _) in parsed.query_pairs() {
            if !PARAMETERS.contains(&&*name) && !name.starts_with("options[") {
                return Err(UrlViolation::Parameter(name.into_owned()));
            }
        }
        Ok(Self(url))
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_sqlite() { f.write_str(&self.0) } else { f.write_str(&without_passwords(&self.0)) }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns the text that stands in messages for a value of `--database-url`, which may be malformed.
pub(super) fn shown(value: &str) -> String {
    match value.split_once(':') {
        Some(("sqlite", _)) => value.to_owned(),
        Some((_, rest)) if rest.starts_with("//") => without_passwords(value),
        _ => "…".to_owned(),
    }
}

/// Returns `text` without possible passwords in a URL in it, even if the URL is malformed: removes the part between the
/// scheme and the last `@`, except the username, and the query.
fn without_passwords(text: &str) -> String {
    let Some((before, url)) = text.split_once("://") else { return text.to_owned() };
    let (user, rest) = match url.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, url),
    };
    let user = user.map_or(String::new(), |user| match user.split_once([':', '/', '?']) {
        Some((name, _)) => format!("{name}:…@"),
        None => format!("{user}@"),
    });
    // The query of an SQLite file has no password, and tells how the file is opened.
    let shown = match rest.split_once('?') {
        Some((host, query)) if !before.ends_with("sqlite") => {
            let after = query.find(['\'', '"', ' ']).map_or("", |end| &query[end..]);
            format!("{host}{after}")
        }
        _ => rest.to_owned(),
    };
    format!("{before}://{user}{shown}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password_and_its_query() {
        for (given, shown) in [
            ("postgres://demo:hunter2@db:5432/name", "postgres://demo:…@db:5432/name"),
            ("postgresql://demo:hunter2@db/name?sslmode=require&password=hunter2", "postgres://demo:…@db/name"),
            ("postgres://demo:hunter2:hunter2@db/name", "postgres://demo:…@db/name"),
            ("postgres://db/name?password=hunter2", "postgres://db/name"),
            ("postgres://demo@db/name", "postgres://demo@db/name"),
            ("postgres://demo@db/password", "postgres://demo@db/password"),
            ("sqlite://a/b.db?mode=rwc", "sqlite://a/b.db?mode=rwc"),
            ("sqlite://a:b@c.db", "sqlite://a:b@c.db"),
        ] {
            let url: DatabaseUrl = given.parse().unwrap();
            assert_eq!((url.to_string().as_str(), format!("{url:?}").as_str()), (shown, shown));
            assert_eq!(url.has_password(), given.contains("hunter2"), "{given}");
        }
        assert_eq!(without_passwords("postgres://?password=hunter2&@"), "postgres://:…@");
        assert_eq!(
            without_passwords("invalid value 'mysql://demo:p@ss hunter2@db/x?y=z' for '--database-url'"),
            "invalid value 'mysql://demo:…@db/x' for '--database-url'"
        );
    }

    #[test]
    fn the_secrets_of_a_url_are_replaced_by_their_value_in_any_text() {
        let url: DatabaseUrl = "postgres://demo:p%40ss+5ecret@db/name?password=other-5ecret".parse().unwrap();
        let text = "p%40ss+5ecret, p@ss+5ecret, other-5ecret, postgres://other:kept@host, demo";
        assert_eq!(url.redact(text), "…, …, …, postgres://other:kept@host, demo");
        assert_eq!(url.redact(&format!("at {}!", url.expose())), "at postgres://demo:…@db/name!");
        let url: DatabaseUrl = "sqlite://a.db?mode=rwc".parse().unwrap();
        assert_eq!(url.redact("sqlite://a.db?mode=rwc"), "sqlite://a.db?mode=rwc");
    }

    #[test]
    fn a_parameter_that_the_driver_would_pass_over_is_refused_without_its_value() {
        let problem = "postgres://db/name?pasword=hunter2".parse::<DatabaseUrl>().unwrap_err();
        assert_eq!(problem.to_string(), "the parameter \"pasword\" is not known");
    }

    proptest! {
        #[test]
        fn whatever_is_given_is_taken_or_refused_and_its_password_is_never_shown(
            (before, after) in (".{0,20}", ".{0,20}"),
            kind in prop::sample::select(vec!["postgres://u:hunter2@", "postgres://?password=hunter2&", "x://:hunter2@", "sqlite:", ""]),
        ) {
            let text = format!("{before}{kind}{after}");
            for text in [text.as_str(), &text[before.len()..]] {
                if let Ok(url) = text.parse::<DatabaseUrl>() {
                    prop_assert!(!url.to_string().contains("hunter2"), "{}", url);
                } else {
                    prop_assert!(!without_passwords(&text[text.find(kind).unwrap_or_default()..]).contains("hunter2"));
                }
            }
        }
    }
}
