//! The command line: arguments → one command → output and exit code.
