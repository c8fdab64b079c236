//! Formats by name.

use super::layout::JSON;

/// A format that many servers write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name, for `--format`.
    pub name: &'static str,
    /// Its `access_log_format`, or `json`.
    pub format: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
}

macro_rules! default_and {
    ($suffix:literal) => {
        concat!(r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#, $suffix)
    };
}

/// The plainer of two formats that read the same lines comes first.
static PRESETS: [Preset; 14] = [
    Preset { name: "gunicorn", format: default_and!(""), about: "Gunicorn's default format" },
    Preset {
        name: "combined",
        format: default_and!(""),
        about: "the combined format of nginx and Apache, the same as Gunicorn's default",
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
        about: "Gunicorn's default format and a whole number, taken as microseconds, %(D)s; if it \
                is milliseconds or seconds, give the format with %(M)s or %(T)s",
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
        about: "Gunicorn's default format and whole seconds",
    },
    Preset {
        name: "django-audit-logger",
        format: r#"%(h)s - "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(M)sms"#,
        about: "the file of django-audit-logger: no time, a status like 200 OK, milliseconds",
    },
    Preset {
        name: "uvicorn",
        format: r#"%(h)s - "%(r)s" %(s)s"#,
        about: "Gunicorn with Uvicorn workers: no time",
    },
    Preset {
        name: "uvicorn-console",
        format: r#"INFO:     %(h)s - "%(r)s" %(s)s"#,
        about: "Uvicorn's own output: no time, a status like 200 OK",
    },
    Preset {
        name: "json",
        format: JSON,
        about: "an object a line, {\"log\":\"request\",…} or {\"log\":\"gunicorn\",…}",
    },
];

/// All presets.
pub fn presets() -> &'static [Preset] {
    &PRESETS
}

/// The preset with that name.
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

pub(super) fn names() -> String {
    PRESETS.map(|preset| preset.name).join(", ")
}

/// The name with the fewest letters changed; the first of them if there are several.
pub(super) fn nearest(word: &str) -> &'static str {
    let closest = PRESETS.iter().min_by_key(|preset| distance(word.as_bytes(), preset.name));
    closest.map_or("gunicorn", |preset| preset.name)
}

/// Letters to add, drop or change. The word is cut at 64 bytes: beyond them nothing is near.
fn distance(word: &[u8], name: &str) -> usize {
    let mut row: Vec<usize> = (0..=name.len()).collect();
    for (nth, letter) in word.iter().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = nth + 1;
        for (column, other) in name.bytes().enumerate() {
            let changed = diagonal + usize::from(!letter.eq_ignore_ascii_case(&other));
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[name.len()]
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
    fn a_slip_of_the_keyboard_finds_its_preset() {
        assert_eq!(nearest("uvicorn_console"), "uvicorn-console");
        assert_eq!(nearest("Combined"), "combined");
        assert_eq!(nearest(""), "json");
    }
}
