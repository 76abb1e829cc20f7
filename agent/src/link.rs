//! The one session with the controller: dialled, kept, dialled again.
