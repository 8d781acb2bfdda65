//! Where settings come from: flags first, then the environment.
