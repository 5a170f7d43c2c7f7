//! Remarks for a reader of the figures: broken promises, and writes that are in no figure.

use logctl::kit::latency;

use crate::figures::LoadReport;

impl LoadReport {
    /// One sentence for each.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        for stream in &self.streams {
            let name = &stream.name;
            if stream.promises.missed > 0 {
                remarks.push(format!(
                    "{name}: {} of {} promised entries were published late, by up to {}",
                    stream.promises.missed,
                    stream.promises.granted,
                    latency(stream.promises.worst_ms)
                ));
            }
            if stream.unsent > 0 {
                remarks.push(format!(
                    "{name}: {} writes were due and never sent, since all connections were busy; their wait is in no figure",
                    stream.unsent
                ));
            }
            if stream.unanswered > 0 {
                remarks.push(format!(
                    "{name}: {} requests were not answered ({})",
                    stream.unanswered,
                    stream.complaint.as_deref().unwrap_or("no reason known")
                ));
            }
            if stream.unpublished > 0 {
                remarks.push(format!(
                    "{name}: {} acknowledged entries were not published before the end",
                    stream.unpublished
                ));
            }
        }
        if let Some(verified) = self.verified.as_ref().filter(|verified| !verified.good()) {
            remarks.push(format!(
                "{} of {} acknowledged entries are wrong, {} are missing; the first at index {}",
                verified.wrong,
                verified.checked,
                verified.missing,
                verified.first_bad.unwrap_or_default()
            ));
        }
        remarks
    }
}
