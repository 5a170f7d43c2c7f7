//! The hint for a Unix socket that no server answers on. It depends on which program made the folder of the socket.
//!
//! What must never happen: a hint makes its reader overwrite a folder in which a server keeps its logs.

use std::path::Path;

use logconfig::DEV_MARKER;

/// How the settings of `logd dev` began before it marked its folders.
const DEV_SETTINGS: &str = "# Written by `logd dev`";

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
            "is logd running? `logd dev --dir {}` starts it",
            word(folder)
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
}
