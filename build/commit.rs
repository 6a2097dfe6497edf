//! The commit that the program is built from, for logs and metrics.

use std::env;
use std::path::Path;
use std::process::Command;

/// Gives it where there is no repository, as in an image.
const VARIABLE: &str = "BUILD_COMMIT";
/// Digits of the commit's name.
const DIGITS: usize = 12;
/// Changes with each commit and each checkout.
const HISTORY: &str = ".git/logs/HEAD";

/// Passes the commit to the compiler: that of the variable, or of the repository; "unknown" where there is neither. A
/// development build is "dev", as it need not be of any commit.
pub fn tell() {
    println!("cargo:rerun-if-env-changed={VARIABLE}");
    let given = env::var(VARIABLE).ok().filter(|commit| !commit.is_empty());
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = match given {
        Some(commit) => commit.chars().filter(char::is_ascii_alphanumeric).take(DIGITS).collect(),
        None if is_release => of_repository().unwrap_or_else(|| "unknown".to_owned()),
        None => "dev".to_owned(),
    };
    println!("cargo:rustc-env={VARIABLE}={commit}");
}

fn of_repository() -> Option<String> {
    if !Path::new(HISTORY).exists() {
        return None;
    }
    println!("cargo:rerun-if-changed={HISTORY}");
    let told = Command::new("git").args(["rev-parse", "HEAD"]).output().ok().filter(|told| told.status.success())?;
    Some(String::from_utf8(told.stdout).ok()?.trim().chars().take(DIGITS).collect())
}
