//! Removes a password from the command line of this process, which every user of the machine can read. Only the
//! process's own user can read its environment.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::database_url::has_password;

/// The option and its environment variable.
const OPTION: &str = "--database-url";
const VARIABLE: &str = "CART_PROMOTIONS_DATABASE_URL";

/// Restarts the program as the same process, with the URL in the environment, if the URL on the command line has a
/// password. Does not return then. Must be called before anything else.
///
/// # Errors
/// Returns an error when the restart fails: the password stays on the command line.
pub fn hide_password() -> io::Result<()> {
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_default();
    let Some((arguments, url)) = without_url(arguments.collect()) else { return Ok(()) };
    Err(Command::new(env::current_exe()?).arg0(name).args(arguments).env(VARIABLE, url).exec())
}

/// Returns the arguments without the URL, and the URL; `None` when there is no URL with a password. An option that is
/// given twice is left for the parser to refuse.
fn without_url(arguments: Vec<OsString>) -> Option<(Vec<OsString>, String)> {
    let (mut rest, mut urls) = (Vec::new(), Vec::new());
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let text = argument.to_str().unwrap_or_default();
        if let Some(url) = text.strip_prefix(OPTION).and_then(|value| value.strip_prefix('=')) {
            urls.push(url.to_owned());
        } else if text == OPTION {
            urls.push(arguments.next()?.into_string().ok()?);
        } else {
            let end = text == "--";
            rest.push(argument);
            if end {
                // The arguments after `--` are not options.
                rest.extend(arguments);
                break;
            }
        }
    }
    let url = urls.pop().filter(|url| urls.is_empty() && has_password(url))?;
    Some((rest, url))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(arguments: &str) -> Option<(String, String)> {
        let (rest, url) = without_url(arguments.split(' ').map(OsString::from).collect())?;
        Some((rest.into_iter().map(|each| each.into_string().unwrap()).collect::<Vec<_>>().join(" "), url))
    }

    #[test]
    fn a_url_with_a_password_is_taken_out_wherever_it_is() {
        let url = "postgres://u:p@h/d";
        let expected = |rest: &str| Some((rest.to_owned(), url.to_owned()));
        assert_eq!(hidden(&format!("serve --database-url {url} --demo")), expected("serve --demo"));
        assert_eq!(hidden(&format!("serve --demo --database-url={url}")), expected("serve --demo"));
        assert_eq!(
            hidden(&format!("import --database-url {url} -- --database-url x")),
            expected("import -- --database-url x")
        );
    }

    #[test]
    fn anything_else_is_left_as_it_is() {
        for arguments in [
            "serve",
            "serve --database-url",
            "serve --database-url postgres://u@h/d",
            "serve --database-url sqlite://a:b@c.db",
            "serve --database-url postgres://u:p@h/d --database-url postgres://u:p@h/d",
            "import -- --database-url postgres://u:p@h/d",
        ] {
            assert_eq!(hidden(arguments), None, "{arguments}");
        }
    }
}
