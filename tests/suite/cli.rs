//! The program as people and scripts run it: what it prints, where, and how it ends.

mod bad_input;
mod commands;

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::run_with_input;

/// A run of the program, with nothing of the user's environment that could change it.
pub(crate) fn ebb(arguments: &[&str]) -> Run {
    ebb_with_input(arguments, "")
}

pub(crate) fn ebb_with_input(arguments: &[&str], input: &str) -> Run {
    Run(
        run_with_input(command().args(arguments), input),
        arguments.join(" "),
    )
}

pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebb"));
    for variable in ["EBB_DATABASE", "DATABASE_URL", "EBB_PERSON"] {
        command.env_remove(variable);
    }
    command.env("RUST_BACKTRACE", "0");
    command
}

/// What came of it.
pub(crate) struct Run(Output, String);

impl Run {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    /// It must have ended with this code.
    pub(crate) fn ends_with(self, code: i32) -> Self {
        let ended = self.0.status.code();
        assert_eq!(
            ended,
            Some(code),
            "ebb {}\n{}\n{}",
            self.1,
            self.stdout(),
            self.stderr()
        );
        assert!(!self.stderr().contains("panicked"), "{}", self.stderr());
        self
    }

    /// Its standard output as one JSON object.
    pub(crate) fn object(&self) -> Value {
        let objects = self.objects();
        assert_eq!(objects.len(), 1, "ebb {}: {}", self.1, self.stdout());
        objects[0].clone()
    }

    /// Its standard output as one JSON object a line.
    pub(crate) fn objects(&self) -> Vec<Value> {
        let parsed = |line: &str| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("ebb {}: {error}: {line}", self.1))
        };
        self.stdout().lines().map(parsed).collect()
    }

    /// The failure that it printed with `--json`.
    pub(crate) fn error(&self) -> Value {
        assert_eq!(self.stdout(), "", "ebb {}", self.1);
        let stderr = self.stderr();
        let last = stderr.lines().last().unwrap_or_default();
        let error: Value = serde_json::from_str(last)
            .unwrap_or_else(|error| panic!("ebb {}: {error}: {stderr}", self.1));
        error["error"].clone()
    }
}
