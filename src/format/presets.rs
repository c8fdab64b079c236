//! Formats by name.

use super::layout::{JSON, JSON_KEYS};

/// A format that many servers write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// The name, for `--format`.
    pub name: &'static str,
    /// The format string, or `json` or `json-keys`.
    pub format: &'static str,
    /// A description in one sentence.
    pub about: &'static str,
}

macro_rules! default_and {
    ($suffix:literal) => {
        concat!(r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#, $suffix)
    };
}

/// All presets. Of two formats that match the same lines, the plainer comes first.
static PRESETS: [Preset; 25] = [
    Preset { name: "gunicorn", format: default_and!(""), about: "Gunicorn's default format" },
    Preset {
        name: "combined",
        format: default_and!(""),
        about: "the combined format of Apache, the same as Gunicorn's default",
    },
    Preset {
        name: "nginx",
        format: "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
                 \"$http_referer\" \"$http_user_agent\"",
        about: "the combined format of nginx, whose quotes are written \\x22",
    },
    Preset {
        name: "common",
        format: r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s"#,
        about: "the common log format: no referer and no agent",
    },
    Preset {
        name: "forwarded-for-first",
        format: r#"%({x-forwarded-for}i)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#,
        about: "Gunicorn's default format with X-Forwarded-For in place of the address",
    },
    Preset {
        name: "forwarded-for-last",
        format: default_and!(r#" "%({x-forwarded-for}i)s""#),
        about: "Gunicorn's default format and X-Forwarded-For in quotes",
    },
    Preset {
        name: "gunicorn-microseconds",
        format: default_and!(" %(D)s"),
        about: "Gunicorn's default format and a whole number of microseconds, %(D)s",
    },
    Preset {
        name: "gunicorn-microseconds-unit",
        format: default_and!(" %(D)sµs"),
        about: "Gunicorn's default format and microseconds with their unit, like 205µs",
    },
    Preset {
        name: "gunicorn-milliseconds",
        format: default_and!(" %(M)sms"),
        about: "Gunicorn's default format and milliseconds with their unit, like 12ms",
    },
    Preset {
        name: "gunicorn-decimal-seconds",
        format: default_and!(" %(L)s"),
        about: "Gunicorn's default format and decimal seconds, like 0.000205",
    },
    Preset {
        name: "gunicorn-seconds",
        format: default_and!(" %(T)s"),
        about: "Gunicorn's default format and a whole number of seconds, %(T)s",
    },
    Preset {
        name: "django-audit-logger",
        format: r#"%(h)s - "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(M)sms"#,
        about: "the file of django-audit-logger: no time, a status like 200 OK, milliseconds",
    },
    Preset {
        name: "uvicorn",
        format: r#"%({port}h)s - "%(r)s" %(s)s"#,
        about: "Gunicorn with Uvicorn workers: no time",
    },
    Preset {
        name: "uvicorn-console",
        format: r#"INFO:     %({port}h)s - "%(r)s" %(s)s"#,
        about: "Uvicorn's own output: no time, a status like 200 OK",
    },
    Preset {
        name: "hypercorn",
        format: r#"%({port}h)s - - %(t)s "%({version}r)s" %(s)s %(b)s "%(f)s" "%(a)s""#,
        about: "Hypercorn: a port after the address, the bare version in the request",
    },
    Preset {
        name: "granian",
        format: r#"[%({iso}t)s] %(h)s - "%(r)s" %(s)s %({ms}L)s"#,
        about: "Granian: decimal milliseconds",
    },
    Preset {
        name: "daphne",
        format: r#"%({port}h)s - - [%({clf}t)s] "%(r)s" %(s)s %(b)s"#,
        about: "Daphne: a port after the address, a time without zone, taken as UTC",
    },
    Preset {
        name: "werkzeug",
        format: r#"%(h)s - - [%({clf}t)s] "%(r)s" %(s)s %(b)s"#,
        about: "Werkzeug and Python's http.server: a time without zone, taken as UTC",
    },
    Preset {
        name: "runserver",
        format: r#"[%({clf}t)s] "%(r)s" %(s)s %(b)s"#,
        about: "Django's runserver: no address, a time without zone, taken as UTC",
    },
    Preset {
        name: "uwsgi",
        format: "[pid: %(p)s|app: %({app}x)s|req: %({requests}x)s] %(h)s (%(u)s) {%({vars}n)s vars in %({request_bytes}n)s bytes} \
                 [%({ctime}t)s] %(m)s %({query}U)s => generated %(b)s bytes in %(M)s msecs \
                 (%(H)s %(s)s) %({headers}n)s headers in %({header_bytes}n)s bytes (%({switches}n)s switches on core %({core}n)s)",
        about: "uWSGI's own lines: a time without zone, taken as UTC",
    },
    Preset {
        name: "waitress",
        format: default_and!(""),
        about: "Waitress with Paste's TransLogger, the same as Gunicorn's default",
    },
    Preset {
        name: "traefik",
        format: r#"%(h)s - %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %({requests}x)s "%({router}x)s" "%({server}x)s" %(M)sms"#,
        about: "Traefik's common log format",
    },
    Preset {
        name: "apache-vhost",
        format: r#"%v:%p %h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i""#,
        about: "Apache's vhost_combined: name and port of the virtual host first",
    },
    Preset {
        name: "json-keys",
        format: JSON_KEYS,
        about: "an object a line of nginx, Caddy, Traefik, python-json-logger or structlog",
    },
    Preset {
        name: "json",
        format: JSON,
        about: "an object a line, {\"log\":\"request\",…} or {\"log\":\"gunicorn\",…}",
    },
];

/// Returns all presets.
pub fn presets() -> &'static [Preset] {
    &PRESETS
}

/// Returns the preset with this name.
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// Returns the name of the preset with this format, or the format itself.
pub fn name_of(format: &str) -> &str {
    PRESETS.iter().find(|preset| preset.format == format).map_or(format, |preset| preset.name)
}

pub(super) fn names() -> String {
    PRESETS.map(|preset| preset.name).join(", ")
}

/// Returns the name with the fewest changed letters, and the first of several such names.
pub(super) fn nearest(word: &str) -> &'static str {
    // No name is longer: a whole format in place of a name must not cost its length squared.
    let word: String = word.chars().take(64).collect::<String>().to_ascii_lowercase();
    let closest = PRESETS.iter().min_by_key(|preset| strsim::levenshtein(&word, preset.name));
    closest.map_or("gunicorn", |preset| preset.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Layout;

    #[test]
    fn every_preset_compiles_and_is_found_by_its_name() {
        for preset in presets() {
            let layout = Layout::named_or_format(preset.name).unwrap();
            assert_eq!(layout.format(), preset.format);
            assert_eq!(find(preset.name), Some(preset));
        }
    }

    #[test]
    fn a_mistyped_name_suggests_its_preset() {
        assert_eq!(nearest("uvicorn_console"), "uvicorn-console");
        assert_eq!(nearest("Combined"), "combined");
        assert_eq!(nearest(""), "json");
    }
}
