//! The rows of the faults of an audit trail.

use super::{Row, UNVERIFIED};
use crate::error::TrailFault;

pub(super) fn row(fault: TrailFault) -> Row {
    let (code, hint) = match fault {
        TrailFault::Rewritten => (
            "audit-rewritten",
            "somebody with access to the server's stores changed the audit trail, or the server ran on an old backup: keep this output, and compare it with the pins of other operators; after a restore on purpose `logctl audit verify --repin` pins it again",
        ),
        TrailFault::Shorter => (
            "audit-shorter",
            "an older coordination store was put back, or the log `system` is halted: see `logctl doctor`; only if it was put back on purpose, remove the endpoint's file in $XDG_STATE_HOME/logctl/pins: the next contact is then a first one",
        ),
        TrailFault::OtherKey => (
            "audit-key-changed",
            "this is another server, or another trail under the same address: find out why; if it was replaced on purpose, `logctl audit verify --repin` pins it again",
        ),
        TrailFault::BadProof => (
            "audit-proof-invalid",
            "keep this output, and look at the whole trail with `logctl audit verify`",
        ),
        TrailFault::Unreadable => (
            "pins-unreadable",
            "put the file back from a backup, or remove it: the next contact is then a first one",
        ),
    };
    Row::new(UNVERIFIED, code, hint)
}
