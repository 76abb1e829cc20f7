//! Runs the user-count checks that the controller scheduled.
