//! The screens: a state machine (pure), a view of it, and a runtime that performs its effects.
