//! The configurations in `docs/pipeline.md`: what is printed there is what is tested.

/// The block after the mark with this name.
#[track_caller]
pub(crate) fn named(name: &str) -> String {
    let page = include_str!("../../docs/pipeline.md");
    let mark = format!("<!-- tests/ship runs this: {name} -->\n```");
    let (_, after) = page.split_once(&mark).expect("docs/pipeline.md has it");
    let (_, block) = after.split_once('\n').expect("a block has lines");
    let (block, _) = block.split_once("```").expect("a block ends");
    block.to_owned()
}

/// The block with other paths in it; each must stand there.
#[track_caller]
pub(crate) fn with(name: &str, paths: &[(&str, String)]) -> String {
    paths.iter().fold(named(name), |text, (from, to)| {
        assert!(text.contains(from), "{name} has no {from}");
        text.replace(from, to)
    })
}
