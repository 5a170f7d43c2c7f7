//! The hint for a Unix socket that no server answers on. It depends on which program made the folder of the socket.
//!
//! What must never happen: a hint makes its reader overwrite a folder in which a server keeps its logs.

use std::path::Path;

use logconfig::DEV_MARKER;

/// How the settings of `logd dev` began before it marked its folders.
const DEV_SETTINGS: &str = "# Written by `logd dev`";

/// What `logd dev` does without options.
const DEV_LISTEN: &str = "127.0.0.1:7070";
const DEV_ADMIN: &str = "127.0.0.1:7071";
const DEV_PROGRAMS: [&str; 4] = ["integrate", "replicate", "publish", "distribute"];

/// The advice for a socket.
pub(super) fn hint(socket: &Path) -> String {
    let folder = match socket.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let settings = folder.join("logd.toml");
    let there = |path: &Path| path.symlink_metadata().is_ok();
    let ours = || {
        let text = std::fs::read_to_string(&settings).unwrap_or_default();
        text.starts_with(DEV_SETTINGS)
    };
    if there(&folder.join(DEV_MARKER)) || ours() {
        return format!(
            "is logd running? `logd dev --dir {}{}` starts it",
            word(folder),
            dev_options(&settings)
        );
    }
    if there(&settings) {
        return format!(
            "is logd running? As a service, `systemctl status logd` tells; by hand, `logd serve --config {}` starts it",
            word(&settings)
        );
    }
    if !folder.is_dir() {
        return format!(
            "there is no folder {}: `logctl context show` says where this address comes from",
            word(folder)
        );
    }
    format!(
        "is logd running, with this socket in its settings? As a service, `systemctl status logd` tells; `logctl context show` says where this address comes from, and {} has no logd.toml",
        word(folder)
    )
}

/// The options of `logd dev` that made these settings, each with a space before it. Without them its next start would change the settings back.
fn dev_options(settings: &Path) -> String {
    let text = std::fs::read_to_string(settings).unwrap_or_default();
    let Ok(settings) = text.parse::<toml::Table>() else {
        return String::new();
    };
    let of = |table: &str, key: &str| settings.get(table)?.get(key);
    let mut options = String::new();
    for (table, option, default) in [
        ("data", "--listen", DEV_LISTEN),
        ("admin", "--admin", DEV_ADMIN),
        ("metrics", "--metrics", ""),
    ] {
        let address = of(table, "listen").and_then(toml::Value::as_str);
        if let Some(address) = address.filter(|address| *address != default) {
            options.push_str(&format!(" {option} {}", word(Path::new(address))));
        }
    }
    if of("data", "rekor").is_some() {
        options.push_str(" --rekor");
    }
    let programs = of("merge", "programs").and_then(toml::Value::as_array);
    let programs: Option<Vec<_>> =
        programs.map(|all| all.iter().filter_map(toml::Value::as_str).collect());
    if let Some(programs) = programs.filter(|programs| *programs != DEV_PROGRAMS) {
        options.push_str(" --merge");
        if !programs.is_empty() {
            options.push_str(&format!("={}", word(Path::new(&programs.join(",")))));
        }
    }
    options
}

/// A path as a word for a shell.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    match text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_fits_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| hint(&folder.path().join(name).join("admin.sock"));
        let make = |name: &str, file: &str, text: &str| {
            let folder = folder.path().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(file), text).unwrap();
        };
        let dev = "`logd dev --dir";
        make("production", "logd.toml", "[data]\n");
        let production = at("production");
        assert!(
            production.contains("production/logd.toml`") && !production.contains(dev),
            "{production}"
        );
        make("empty", "argon.yaml", "");
        let empty = at("empty");
        assert!(!empty.contains(dev) && !empty.contains("serve"), "{empty}");
        assert!(at("away").starts_with("there is no folder"));
        make("marked", DEV_MARKER, "");
        make(
            "of before",
            "logd.toml",
            &format!("{DEV_SETTINGS} at each start"),
        );
        assert!(at("marked").contains(dev) && at("of before").contains("of before'`"));
    }

    /// The texts are those that `logd dev` writes.
    #[test]
    fn the_advice_has_the_options_that_were_given() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(DEV_MARKER), "").unwrap();
        let all = r#"["integrate", "replicate", "publish", "distribute"]"#;
        for (rekor, addresses, metrics, programs, options) in [
            ("", ["127.0.0.1:7070", "127.0.0.1:7071"], "", all, ""),
            (
                r#"rekor = { v1 = "rekor-v1" }"#,
                ["127.0.0.1:7070", "127.0.0.1:7071"],
                "",
                all,
                " --rekor",
            ),
            (
                r#"rekor = { v2 = "rekor" }"#,
                ["[::1]:80", "127.0.0.1:0"],
                "[metrics]\nlisten = \"127.0.0.1:9\"",
                r#"["publish", "integrate"]"#,
                " --listen '[::1]:80' --admin 127.0.0.1:0 --metrics 127.0.0.1:9 --rekor --merge=publish,integrate",
            ),
            (
                "",
                ["127.0.0.1:7070", "127.0.0.1:7071"],
                "",
                "[]",
                " --merge",
            ),
        ] {
            let [listen, admin] = addresses;
            let text = format!(
                "{DEV_SETTINGS} at each start\n\n[data]\nlisten = \"{listen}\"\n{rekor}\n\n[admin]\nlisten = \"{admin}\"\n{metrics}\n\n[merge]\nprograms = {programs}\n"
            );
            std::fs::write(folder.path().join("logd.toml"), text).unwrap();
            let dir = word(folder.path());
            let advice = hint(&folder.path().join("admin.sock"));
            assert!(
                advice.contains(&format!("`logd dev --dir {dir}{options}`")),
                "{advice}"
            );
        }
    }
}
