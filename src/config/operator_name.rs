//! The name under which the changes of the operator who runs this process are recorded.

/// Environment variables that name the user, in the order in which they count: `sudo` sets the first one.
const USER_VARIABLES: [&str; 3] = ["SUDO_USER", "USER", "LOGNAME"];
/// Limits the characters of the user and of the machine each: POSIX and DNS allow fewer.
const MAX_CHARACTERS: usize = 100;

/// Returns `USER@HOST`. The user is what the environment says, which is no proof, else the number of the user.
pub fn operator_name() -> String {
    let user = USER_VARIABLES.iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let user = user.unwrap_or_else(|| rustix::process::getuid().as_raw().to_string());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let cut = |text: &str| text.chars().take(MAX_CHARACTERS).collect::<String>();
    format!("{}@{}", cut(&user), cut(&host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_is_named_by_user_and_machine() {
        let name = operator_name();
        let (user, host) = name.split_once('@').unwrap();
        assert!(!user.is_empty() && !host.is_empty() && name.chars().count() <= 2 * MAX_CHARACTERS + 1, "{name}");
    }
}
