//! Bytes between agents: the named streams of an image, direct or relayed.
