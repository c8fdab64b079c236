//! Lines that a server writes of itself among its access lines: its start, its workers, its errors.

use super::prefix::Prefix;

/// What such lines begin with, if they have neither a time nor a level.
const BEGINNINGS: [&str; 22] = [
    "Serving on http",
    "serving on http",
    "Listening at",
    "Listening on",
    "Starting server at",
    "Starting development server at",
    "Starting ASGI/",
    "Watching for file changes with",
    "Performing system checks",
    "System check identified",
    "Quit the server with",
    "Django version ",
    "Press CTRL+C to quit",
    "HTTP/2 support ",
    "Configuring endpoint ",
    " * Running on ",
    " * Serving Flask app",
    " * Debug mode:",
    " * Debugger ",
    " * Restarting with",
    "*** Starting uWSGI",
    "spawned uWSGI ",
];

/// Returns whether a line is one of the server's own. The caller has found that it is not an access line.
pub(super) fn is_server_log(line: &str) -> bool {
    if BEGINNINGS.iter().any(|beginning| line.starts_with(beginning)) {
        return true;
    }
    let line = Prefix::Colours.strip(line).map_or_else(|| line.into(), |found| found.rest);
    match (Prefix::Log.strip(&line), Prefix::Syslog.strip(&line)) {
        (Some(found), _) => !is_request(&found.rest),
        (None, Some(found)) => found.prefix.contains("gunicorn") && !is_request(&found.rest),
        (None, None) => false,
    }
}

/// Returns whether a text looks like an access line that its format does not read: a request line, and a
/// status after it. Such a line is a reject of the usual kind, so that it is not missed.
pub(super) fn is_request(text: &str) -> bool {
    text.match_indices(" HTTP/").any(|(at, protocol)| {
        let after = text[at + protocol.len()..]
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let after = after.trim_start_matches(['"', '\'']);
        let status = after.strip_prefix(' ').and_then(|status| status.get(..3));
        status.is_some_and(|status| status.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_servers_are_known() {
        for line in [
            "[2026-11-25 23:41:42 +0000] [7845] [INFO] Starting gunicorn 27.0.1",
            "[INFO] Starting granian (main PID: 4305)",
            "INFO:     Started server process [123]",
            "<14>gunicorn.aapp.wapp.error: [7906] Handling signal: term\0",
            "Serving on http://127.0.0.1:28729",
            "[2026-11-25 02:22:54 +0530] [48] [WARNING] Invalid HTTP request line: 'GET /x HTTP/1.1'",
        ] {
            assert!(is_server_log(line), "{line}");
        }
        for line in [
            "127.0.0.1 - - [25/Nov/2026:22:54:28 +0000] \"GET / HTTP/1.1\" 200",
            "INFO:     127.0.0.1:5 - \"GET / HTTP/1.1\" 200 x",
            "Traceback (most recent call last):",
            "",
        ] {
            assert!(!is_server_log(line), "{line}");
        }
    }
}
