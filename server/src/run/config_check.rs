//! `logd config check`.

use std::path::Path;

use super::print;
use crate::args::ReportFormat;
use crate::error::Error;
use crate::exit::Ended;
use crate::settings;

/// Lists every mistake in a settings file.
pub(super) fn run(file: &Path, output: ReportFormat) -> Result<Ended, Error> {
    let text = settings::read_text(file)?;
    let problems = settings::check(&text, file);
    match output {
        ReportFormat::Json => {
            let list: Vec<_> = problems
                .iter()
                .map(|p| serde_json::json!({ "line": p.line, "problem": p.what, "remedy": p.remedy }))
                .collect();
            let report = serde_json::json!({ "file": file, "problems": list });
            print(&format!("{report:#}\n"))?;
        }
        ReportFormat::Table => {
            for problem in &problems {
                let line = problem.line.map(|line| format!(":{line}"));
                print(&format!(
                    "{}{}: {}\n  {}\n",
                    file.display(),
                    line.unwrap_or_default(),
                    problem.what,
                    problem.remedy
                ))?;
            }
            let said = match problems.len() {
                0 => "nothing is wrong".to_owned(),
                1 => "1 problem".to_owned(),
                many => format!("{many} problems"),
            };
            print(&format!("{}: {said}\n", file.display()))?;
        }
    }
    Ok(match problems.is_empty() {
        true => Ended::Done,
        false => Ended::Refused,
    })
}
