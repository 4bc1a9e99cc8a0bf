//! Every member takes the workspace's lints: a table that nobody inherits protects nobody.

use super::Breach;

/// Members of a workspace manifest.
pub(super) fn list(manifest: &str) -> Vec<String> {
    let Some((_, after)) = manifest.split_once("\nmembers") else {
        return Vec::new();
    };
    let Some((_, open)) = after.split_once('[') else {
        return Vec::new();
    };
    let Some((inside, _)) = open.split_once(']') else {
        return Vec::new();
    };
    // Every second piece between quotes is inside them.
    inside
        .split('"')
        .skip(1)
        .step_by(2)
        .map(ToOwned::to_owned)
        .collect()
}

/// Looks for `workspace = true` in the `[lints]` section.
pub(super) fn check(file: &str, manifest: &str) -> Option<Breach> {
    let inherits = manifest
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[lints]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .any(|line| line.replace(' ', "") == "workspace=true");
    (!inherits).then(|| Breach {
        file: file.to_owned(),
        line: 0,
        what: "does not take the workspace's lints: add `[lints]` and `workspace = true`".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_and_default_members_are_not_taken_for_them() {
        let manifest = "[workspace]\nresolver = \"3\"\nmembers = [\n  \"a\",\n  \"b-c\",\n]\n\
                        default-members = [\"a\"]\n";
        assert_eq!(list(manifest), ["a", "b-c"]);
    }

    #[test]
    fn lints_must_be_inherited_in_their_own_section() {
        assert_eq!(
            check("Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n"),
            None
        );
        assert!(check("Cargo.toml", "[lints]\n[dependencies]\nworkspace = true\n").is_some());
        assert!(check("Cargo.toml", "[package]\n").is_some());
    }
}
