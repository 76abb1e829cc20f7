//! Puts the controller together and runs it.
