//! docs/blind-spots.md is made of the one list of blind spots.

use std::fmt::Write as _;

use gw502_common::hooks::Capability;

use super::{backends, blind_to};

fn page() -> String {
    let mut page = "# What gw502 declares not to see\n\n\
         By capability, and by the backend that it is seen with; `gw502 doctor` says which one this\n\
         kernel has. A test makes each that can be made, and looks whether it is so.\n\n\
         | capability | backend | id | not seen |\n|---|---|---|---|\n"
        .to_owned();
    for capability in Capability::ALL {
        let ways = backends(capability).map(Some).chain([None]);
        for backend in ways {
            for blind in blind_to(capability, backend) {
                let name = capability.name();
                let backend = backend.map_or("none", |backend| backend.name());
                writeln!(
                    page,
                    "| {name} | {backend} | `{}` | {} |",
                    blind.id, blind.what
                )
                .unwrap();
            }
        }
    }
    page
}

#[test]
fn the_page_of_blind_spots_is_made_of_the_list() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/blind-spots.md");
    if std::env::var_os("GW502_BLESS").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap_or_default(),
        page(),
        "run the tests with GW502_BLESS=1 and read the difference"
    );
}
