//! Cells that are not the same each time.

use std::collections::BTreeMap;

/// The words in the cells of one run, by kernel, backend and trial.
type Words = BTreeMap<(&'static str, String, String), &'static str>;

/// One line for each cell that differs between runs: what it was, in their order.
pub(super) fn flaky(runs: &[Words]) -> Vec<String> {
    let Some((first, others)) = runs.split_first() else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    for (key, word) in first {
        let mut words = vec![*word];
        words.extend(
            others
                .iter()
                .map(|run| run.get(key).copied().unwrap_or("?")),
        );
        if words.iter().any(|other| other != word) {
            let (series, backend, trial) = key;
            lines.push(format!("{series} {backend} {trial}: {}", words.join(", ")));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: [&'static str; 2]) -> Words {
        let trials = ["a", "b"].into_iter();
        let key = |trial: &str| ("6.1", "kprobe".to_owned(), trial.to_owned());
        trials.map(key).zip(words).collect()
    }

    #[test]
    fn a_cell_that_changes_is_named_with_its_history() {
        let same = [run(["ok", "FAIL"]), run(["ok", "FAIL"])];
        assert!(flaky(&same).is_empty());
        let differ = [run(["ok", "ok"]), run(["ok", "FAIL"]), run(["ok", "ok"])];
        assert_eq!(flaky(&differ), ["6.1 kprobe b: ok, FAIL, ok"]);
        assert!(flaky(&[]).is_empty());
    }
}
