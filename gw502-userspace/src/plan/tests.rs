use std::collections::BTreeMap;

use super::*;

/// A kernel that accepts every tracepoint, and says `fentry` and `kprobe` of functions.
fn kernel(fentry: Option<&str>, kprobe: Option<&str>) -> Vec<Trial> {
    let trials = Capability::ALL
        .into_iter()
        .flat_map(|capability| backends(capability).map(move |backend| (capability, backend)));
    trials
        .map(|(capability, backend)| Trial {
            capability,
            backend,
            refused: match backend {
                Backend::Fentry => fentry.map(str::to_owned),
                Backend::Kprobe => kprobe.map(str::to_owned),
                _ => None,
            },
        })
        .collect()
}

fn results(trials: &[Trial], wish: Wish) -> Choice {
    let plan = plan(trials, wish).unwrap();
    let mut choices = plan.choices.into_iter();
    let wanted = |choice: &Choice| choice.capability == Capability::ConnectResults;
    choices.find(wanted).unwrap()
}

#[test]
fn a_stock_kernel_needs_no_system_calls() {
    let choice = results(&kernel(None, None), Wish::default());
    assert_eq!(choice.backend, Some(Backend::Fentry));
    assert_eq!(choice.rejected, []);
}

#[test]
fn a_locked_down_kernel_says_why_the_better_ones_are_not_used() {
    let choice = results(&kernel(Some("EPERM"), Some("no kprobes")), Wish::default());
    assert_eq!(choice.backend, Some(Backend::SyscallTracepoint));
    assert_eq!(
        choice.rejected,
        [
            (Backend::Fentry, "EPERM".to_owned()),
            (Backend::Kprobe, "no kprobes".to_owned())
        ]
    );
}

#[test]
fn without_system_calls_it_is_blind_and_says_so() {
    let wish = Wish {
        syscalls: Syscalls::Off,
        ..Wish::default()
    };
    let choice = results(&kernel(Some("EPERM"), Some("no kprobes")), wish);
    assert_eq!(choice.backend, None);
    assert_eq!(choice.rejected.len(), 3);
    let choice = results(&kernel(None, None), wish);
    assert_eq!(choice.backend, Some(Backend::Fentry));
}

#[test]
fn a_forced_backend_is_taken_or_refused_with_its_reason() {
    let wish = Wish {
        backend: Some(Backend::Kprobe),
        ..Wish::default()
    };
    let choice = results(&kernel(None, None), wish);
    assert_eq!(choice.backend, Some(Backend::Kprobe));
    let error = plan(&kernel(None, Some("no kprobes")), wish).unwrap_err();
    assert_eq!(
        error.to_string(),
        "connect results by kprobe cannot be had: no kprobes"
    );

    let wish = Wish {
        backend: Some(Backend::Tracepoint),
        ..Wish::default()
    };
    let choice = results(&kernel(None, None), wish);
    assert_eq!(choice.backend, Some(Backend::SyscallTracepoint));
}

#[test]
fn system_calls_on_request_come_first() {
    let wish = Wish {
        syscalls: Syscalls::On,
        ..Wish::default()
    };
    let choice = results(&kernel(None, None), wish);
    assert_eq!(choice.backend, Some(Backend::SyscallTracepoint));
    // …where there are any.
    let plan = plan(&kernel(None, None), wish).unwrap();
    let queues = plan.backend(Capability::AcceptQueues);
    assert_eq!(queues, Some(Backend::Fentry));
}

#[test]
fn a_forced_backend_that_a_detail_does_not_have_is_a_blindness() {
    let wish = Wish {
        backend: Some(Backend::Tracepoint),
        ..Wish::default()
    };
    let mut trials = kernel(None, None);
    for trial in &mut trials {
        if trial.capability == Capability::AcceptQueues {
            trial.refused = Some("no such reason".to_owned());
        }
    }
    let plan = plan(&trials, wish).unwrap();
    assert_eq!(plan.backend(Capability::AcceptQueues), None);
    assert_eq!(plan.backend(Capability::IcmpErrors), None);
}

#[test]
fn what_has_one_backend_only_must_be_had() {
    let mut trials = kernel(None, None);
    for trial in &mut trials {
        if trial.capability == Capability::ConnectionState {
            trial.refused = Some("no such tracepoint".to_owned());
        }
    }
    let error = plan(&trials, Wish::default()).unwrap_err();
    assert_eq!(error.capability, Capability::ConnectionState);
}

#[test]
fn trials_survive_a_file() {
    let trials = kernel(Some("EPERM"), None);
    let text = serde_json::to_string(&trials).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Trial>>(&text).unwrap(), trials);
    let unknown = r#"[{"capability":"telepathy","backend":"fentry"}]"#;
    assert!(serde_json::from_str::<Vec<Trial>>(unknown).is_err());
}

/// What `gw502 doctor --output json` said on a real kernel.
#[derive(serde::Deserialize)]
struct Recorded {
    kernel: String,
    trials: Vec<Trial>,
    /// The backend that it chose for each capability.
    plan: BTreeMap<String, Option<String>>,
}

/// The plan for each kernel that was asked, as `kernel: what connect results, drops, accept queues and
/// ICMP errors are seen by`.
#[test]
fn the_plan_of_every_kernel_that_was_asked() {
    let plans: Vec<String> = [
        include_str!("fixtures/5.10.json"),
        include_str!("fixtures/6.1.json"),
        include_str!("fixtures/6.12.json"),
        include_str!("fixtures/6.18-lockdown.json"),
        include_str!("fixtures/7.x.json"),
    ]
    .into_iter()
    .map(|text| {
        let recorded: Recorded = serde_json::from_str(text).unwrap();
        let (kernel, trials) = (recorded.kernel, recorded.trials);
        let plan = plan(&trials, Wish::default()).unwrap();
        let chosen = plan.choices.iter().map(|choice| {
            let backend = choice.backend.map(|backend| backend.name().to_owned());
            (choice.capability.name().to_owned(), backend)
        });
        assert_eq!(
            chosen.collect::<BTreeMap<_, _>>(),
            recorded.plan,
            "{kernel}"
        );
        let by = |capability| plan.backend(capability).map_or("nothing", Backend::name);
        for choice in &plan.choices {
            let must = !choice.capability.is_detail();
            assert!(choice.backend.is_some() || !must, "{kernel}: {choice:?}");
        }
        let seen_by = [
            Capability::ConnectResults,
            Capability::Drops,
            Capability::AcceptQueues,
            Capability::IcmpErrors,
        ];
        format!("{kernel}: {}", seen_by.map(by).join(", "))
    })
    .collect();
    assert_eq!(
        plans,
        [
            "Linux 5.10.0-46-cloud-amd64: fentry, nothing, fentry, fentry",
            // Taking trampolines out can lock it up.
            "Linux 6.1.0-50-cloud-amd64: kprobe, tracepoint, kprobe, kprobe",
            "Linux 6.12.107+deb13-cloud-amd64: fentry, tracepoint, fentry, fentry",
            "Linux 6.18, locked down, without kprobes: syscall-tracepoint, tracepoint, tracepoint, nothing",
            "Linux 7.3.4+deb13-cloud-amd64: fentry, tracepoint, fentry, fentry",
        ]
    );
}
