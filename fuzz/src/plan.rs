//! The decoder of a plan's file.

use logconfig::{Plan, diff};

/// Bytes are a plan whose parts agree and which is written as it was read, or are refused with a reason.
pub fn check(data: &[u8]) {
    match Plan::decode(data) {
        Ok(plan) => {
            assert_eq!(plan.base.config.log, plan.log);
            assert_eq!(plan.next.config.log, plan.log);
            assert_eq!(plan.next.etag, plan.next.config.etag(plan.next.generation));
            assert_eq!(plan.differences, diff(&plan.base.config, &plan.next.config));
            let written = plan.encode();
            assert_eq!(Plan::decode(written.as_ref()).as_ref(), Ok(&plan));
        }
        Err(finding) => {
            assert!(!finding.message.is_empty());
            assert!(finding.pointer.is_empty() || finding.pointer.starts_with('/'));
        }
    }
}
