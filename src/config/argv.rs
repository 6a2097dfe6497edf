//! Taking a password out of the command line of this process, which every user of the machine can read. What is in the
//! environment only the user that it runs as can.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::database_url::has_password;

/// The option, and its variable.
const OPTION: &str = "--database-url";
const VARIABLE: &str = "CART_PROMOTIONS_DATABASE_URL";

/// Starts the program anew, as the same process, with the URL in the environment, if the command line has one with a
/// password. Then it does not return. To be called before anything else.
///
/// # Errors
/// When it cannot be started anew: the password stays where it is.
pub fn hide_password() -> io::Result<()> {
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_default();
    let Some((arguments, url)) = without_url(arguments.collect()) else { return Ok(()) };
    Err(Command::new(env::current_exe()?).arg0(name).args(arguments).env(VARIABLE, url).exec())
}

/// The arguments without the URL, and the URL; `None` where there is none with a password. What is given twice is refused
/// later, and is left for that.
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
                // What follows are no options.
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
