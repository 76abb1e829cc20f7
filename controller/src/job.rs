//! Jobs: sagas of steps with undo, replayed from their events.
