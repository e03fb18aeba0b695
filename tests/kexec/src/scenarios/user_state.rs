//! State of a user of the library, in a memfd.

use anyhow::{Result, ensure};

use crate::scenario::{Context, Scenario, check_no_warnings, check_second_kernel};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("user-state-claimed", |context| {
            run(context, "user-state", "claim-user-state")
        }),
        Scenario::new("user-state-viewed-sealed", |context| {
            run(context, "sealed-user-state", "view-user-state")
        }),
        Scenario::new("memfd-noexec-comes-out-write-sealed", noexec),
    ]
}

/// Hands over nested sets in a memfd. After the kexec the agent claims and extends them, or views them
/// if the memfd is sealed.
fn run(context: &Context, create: &str, verify: &str) -> Result<String> {
    let mut machine = context.boot()?;
    machine.tell("create user")?;
    machine.tell(&format!("{create} user 1"))?;
    machine.kexec()?;
    check_second_kernel(&mut machine, &[])?;
    machine.tell("retrieve user")?;
    let entries = machine.tell(&format!("{verify} user 1"))?;
    machine.tell("finish user")?;
    machine.tell("absent user")?;
    check_no_warnings(&mut machine)?;
    Ok(format!("{entries} entries on three levels compared"))
}

/// A fault in the kernel: it hands over a memfd's seals and not its mode. The seal of a file that must
/// not become executable is put on one that is, which implies every seal against writing.
fn noexec(context: &Context) -> Result<String> {
    let mut machine = context.boot()?;
    machine.tell("create user")?;
    let mut seals = Vec::new();
    for (token, flag) in [(1, "exec"), (2, "noexec")] {
        seals.push((flag, token, machine.tell(&format!("memfd user {token} {flag}"))?));
    }
    machine.kexec()?;
    check_second_kernel(&mut machine, &[])?;
    machine.tell("retrieve user")?;
    let mut found = Vec::new();
    for (flag, token, before) in seals {
        let after = machine.tell(&format!("seals user {token}"))?;
        let expected =
            if flag == "exec" { before.as_str() } else { "SHRINK GROW WRITE FUTURE_WRITE EXEC" };
        let mut sorted: [Vec<&str>; 2] =
            [after.split(' ').collect(), expected.split(' ').collect()];
        sorted.iter_mut().for_each(|seals| seals.sort_unstable());
        ensure!(sorted[0] == sorted[1], "{flag}: {before:?}, then {after:?}");
        found.push(format!("{flag}: {before:?}, then {after:?}"));
    }
    machine.tell("finish user")?;
    check_no_warnings(&mut machine)?;
    Ok(found.join("; "))
}
